//! How does an event of another server become part of a room here?
//!
//! What it stands on is fetched first, without the room's lock; then it is judged and stored under
//! that lock, by the same [`super::RoomWriter`] as local events.

use std::sync::Arc;

use ruma::{RoomId, ServerName};
use serde_json::value::RawValue;

use super::{
    Received, Room, RoomError, Rooms,
    pdu::{Pdu, PduError},
    persist::{Arrival, Gaps, ReceiveError},
};

/// Why an event of a transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RefusedPdu {
    #[error("this server is not in the room")]
    UnknownRoom,
    #[error("the server may not take part in the room")]
    Acl,
    #[error(transparent)]
    Pdu(#[from] PduError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl Rooms {
    /// An event as it came in a transaction.
    pub async fn receive_raw(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        raw: &RawValue,
    ) -> Result<Received, RefusedPdu> {
        let room = self.get(room_id).await?.ok_or(RefusedPdu::UnknownRoom)?;
        if !self.is_resident(&room).await.map_err(RoomError::from)? {
            let pdu = self.check_pdu(&room.rules, raw).await?;
            let taken = self.receive_outside(&room, origin, &pdu).await?;
            return taken.map(Received::Accepted).ok_or(RefusedPdu::UnknownRoom);
        }
        if !self.check_acl(&room, origin).await? {
            return Err(RefusedPdu::Acl);
        }
        let pdu = self.check_pdu(&room.rules, raw).await?;
        Ok(self.receive(&room, origin, pdu).await?)
    }

    /// Fetches what the event stands on from the server that sent it, then judges and stores it.
    pub async fn receive(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: Pdu,
    ) -> Result<Received, ReceiveError> {
        self.receive_as(room, origin, pdu, Arrival::New).await
    }

    /// As [`Self::receive`], for an event by which a user of that server enters or leaves: the other
    /// servers of the room hear of it from this one.
    pub(super) async fn receive_handed_in(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: Pdu,
    ) -> Result<Received, ReceiveError> {
        self.receive_as(room, origin, pdu, Arrival::HandedIn).await
    }

    async fn receive_as(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: Pdu,
        arrival: Arrival,
    ) -> Result<Received, ReceiveError> {
        if let Some(known) = self.placed_event(room, &pdu.event_id).await? {
            return self.receive_again(room, known, pdu).await;
        }
        for earlier in self.fetch_earlier(room, origin, &pdu).await? {
            let event_id = earlier.event_id.clone();
            if let Err(error) = self.receive_one(room, origin, earlier, Arrival::New).await {
                tracing::debug!(%event_id, %error, "an earlier event is not taken");
            }
        }
        let received = self.receive_one(room, origin, pdu, arrival).await;
        self.join_extremities(room).await?;
        received
    }

    /// What the event stands on is there, but for its auth events and gaps before it.
    pub(super) async fn receive_one(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: Pdu,
        arrival: Arrival,
    ) -> Result<Received, ReceiveError> {
        self.fetch_auth_events(room, origin, &pdu).await?;
        let mut gaps = Gaps::new();
        for event_id in &pdu.prev_events {
            if self.placed_event(room, event_id).await?.is_none()
                && let Some(state) = self.fetch_state_after(room, origin, event_id).await?
            {
                gaps.insert(event_id.clone(), state);
            }
        }
        let (pdu, arrival) = match arrival {
            Arrival::New | Arrival::HandedIn => self.recommended(room, pdu, arrival).await?,
            past => (pdu, past),
        };
        let received = self.writer(room).await?.receive(pdu, &gaps, arrival).await?;
        if let (Received::Accepted(event), Arrival::New | Arrival::HandedIn) = (&received, arrival)
        {
            self.reconsider_after(room, event).await?;
        }
        Ok(received)
    }
}
