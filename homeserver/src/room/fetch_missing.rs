//! What does this server lack of a room's graph, and who gives it?
//!
//! Everything that is fetched is checked like any other event, and bounded: a server that names events
//! which do not exist costs a few requests, to itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kith_federation::remotes::Limits;
use kith_store::tables::{SnapshotId, Verdict};
use ruma::{
    EventId, OwnedEventId, ServerName, UInt,
    api::federation::{
        authorization::get_event_authorization,
        event::{get_event, get_missing_events, get_room_state, get_room_state_ids},
    },
    events::StateEventType,
};
use serde_json::value::RawValue;

use super::{
    Room, RoomError, Rooms,
    event::Event,
    pdu::{Pdu, in_order},
};

/// How many events before a new one are fetched at most, and how many at once.
const MOST_EARLIER: usize = 2_000;
const EARLIER_AT_ONCE: u32 = 50;
/// How many events of a state are fetched one by one before the whole state is asked for instead.
const SINGLE_EVENTS: usize = 100;
const SINGLE_AT_ONCE: usize = 8;
/// An answer that holds the whole state of a room.
const WHOLE_STATE: Limits = Limits { timeout: Duration::from_secs(60), body: 100 * 1024 * 1024 };

impl Rooms {
    /// An event that has its place in the graph, whatever was decided about it.
    pub(super) async fn placed_event(
        &self,
        room: &Room,
        event_id: &EventId,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let event = self.stored_event(room, event_id).await?;
        Ok(event.filter(|event| event.standing.verdict != Verdict::Outlier))
    }

    /// The events between what this server has and `pdu`, the earliest first.
    pub(super) async fn fetch_earlier(
        &self,
        room: &Room,
        origin: &ServerName,
        pdu: &Pdu,
    ) -> Result<Vec<Pdu>, RoomError> {
        let mut found: HashMap<OwnedEventId, Pdu> = HashMap::new();
        if !self.lacks_previous(room, pdu, &found).await? {
            return Ok(Vec::new());
        }
        let mut earliest = Vec::new();
        for index in &room.head().forward_extremities {
            earliest.push(self.event(room, *index).await?.event_id.clone());
        }
        earliest.truncate(20);
        let mut latest = vec![pdu.event_id.clone()];
        while !latest.is_empty() && found.len() < MOST_EARLIER {
            let mut request = get_missing_events::v1::Request::new(
                room.room_id.clone(),
                earliest.clone(),
                latest,
            );
            request.limit = UInt::from(EARLIER_AT_ONCE);
            let answer = match self.remotes().request(origin, request).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(%origin, room_id = %room.room_id, %error, "no earlier events");
                    break;
                }
            };
            let mut new = Vec::new();
            for earlier in self.checked(room, &answer.events).await {
                let event_id = earlier.event_id.clone();
                if event_id != pdu.event_id
                    && !found.contains_key(&event_id)
                    && self.placed_event(room, &event_id).await?.is_none()
                {
                    new.push(event_id.clone());
                    found.insert(event_id, earlier);
                }
            }
            latest = Vec::new();
            for event_id in new {
                if self.lacks_previous(room, &found[&event_id], &found).await? {
                    latest.push(event_id);
                }
            }
            latest.truncate(20);
        }
        Ok(in_order(found.into_values().collect(), |event| &event.prev_events))
    }

    async fn lacks_previous(
        &self,
        room: &Room,
        pdu: &Pdu,
        found: &HashMap<OwnedEventId, Pdu>,
    ) -> Result<bool, RoomError> {
        for event_id in &pdu.prev_events {
            if !found.contains_key(event_id) && self.placed_event(room, event_id).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of these events that are events of this room.
    pub(super) async fn checked(&self, room: &Room, raws: &[Box<RawValue>]) -> Vec<Pdu> {
        let mut checked = Vec::with_capacity(raws.len());
        for result in self.check_pdus(&room.rules, raws).await {
            match result {
                Ok(pdu) if pdu.room_id == room.room_id => checked.push(pdu),
                Ok(_) => {}
                Err(error) => tracing::debug!(room_id = %room.room_id, %error, "not an event"),
            }
        }
        checked
    }

    /// Fetches the auth events of an event that are not there, with all that they stand on.
    pub(super) async fn fetch_auth_events(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Pdu,
    ) -> Result<(), RoomError> {
        let mut missing = false;
        for event_id in &pdu.auth_events {
            missing |= self.stored_event(room, event_id).await?.is_none();
        }
        if !missing {
            return Ok(());
        }
        let (room_id, event_id) = (room.room_id.clone(), pdu.event_id.clone());
        let request = get_event_authorization::v1::Request::new(room_id, event_id);
        let answer = match self.remotes().request_with(origin, request, WHOLE_STATE).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%origin, event_id = %pdu.event_id, %error, "no auth chain");
                return Ok(());
            }
        };
        let chain = self.checked(room, &answer.auth_chain).await;
        self.store_outliers(room, chain).await
    }

    async fn store_outliers(&self, room: &Arc<Room>, pdus: Vec<Pdu>) -> Result<(), RoomError> {
        let mut new = Vec::with_capacity(pdus.len());
        for pdu in pdus {
            if self.stored_event(room, &pdu.event_id).await?.is_none() {
                new.push(pdu);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer(room).await?;
        self.store().settled().await?;
        writer.add_outliers(new).await?;
        writer.commit().await?;
        Ok(())
    }

    /// The state after an event that this server does not have, as another server knows it; `None` if
    /// it does not say.
    pub(super) async fn fetch_state_after(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        event_id: &EventId,
    ) -> Result<Option<SnapshotId>, RoomError> {
        let request =
            get_room_state_ids::v1::Request::new(event_id.to_owned(), room.room_id.clone());
        let answer = match self.remotes().request_with(origin, request, WHOLE_STATE).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%origin, %event_id, %error, "no state");
                return Ok(None);
            }
        };
        let mut missing: Vec<OwnedEventId> = Vec::new();
        let named: HashSet<&OwnedEventId> =
            answer.pdu_ids.iter().chain(&answer.auth_chain_ids).collect();
        for named in named {
            if self.stored_event(room, named).await?.is_none() {
                missing.push(named.clone());
            }
        }
        let mut fetched = match missing.len() {
            0 => Vec::new(),
            1..=SINGLE_EVENTS => self.fetch_events(room, origin, missing).await,
            _ => self.fetch_state(room, origin, event_id).await,
        };
        // The event itself, should it be state.
        let itself = match self.stored_event(room, event_id).await? {
            Some(_) => None,
            None => self.fetch_events(room, origin, vec![event_id.to_owned()]).await.pop(),
        };
        fetched.extend(itself);
        let mut state = answer.pdu_ids;
        let mut writer = self.writer(room).await?;
        self.store().settled().await?;
        writer.add_outliers(fetched).await?;
        let itself = writer.stored(event_id).await?;
        state.extend(itself.filter(|event| event.is_state()).map(|event| event.event_id.clone()));
        let snapshot = writer.snapshot_of(&state).await?;
        let whole = writer.has_state(snapshot, &StateEventType::RoomCreate).await?;
        writer.commit().await?;
        Ok(whole.then_some(snapshot))
    }

    async fn fetch_events(
        &self,
        room: &Room,
        origin: &ServerName,
        event_ids: Vec<OwnedEventId>,
    ) -> Vec<Pdu> {
        let wanted: HashSet<OwnedEventId> = event_ids.iter().cloned().collect();
        let requests = event_ids
            .into_iter()
            .map(|event_id| self.remotes().request(origin, get_event::v1::Request::new(event_id)));
        let answers: Vec<_> = stream::iter(requests).buffered(SINGLE_AT_ONCE).collect().await;
        let raws: Vec<_> =
            answers.into_iter().filter_map(|answer| Some(answer.ok()?.pdu)).collect();
        let mut events = self.checked(room, &raws).await;
        events.retain(|event| wanted.contains(&event.event_id));
        events
    }

    async fn fetch_state(&self, room: &Room, origin: &ServerName, event_id: &EventId) -> Vec<Pdu> {
        let request = get_room_state::v1::Request::new(event_id.to_owned(), room.room_id.clone());
        match self.remotes().request_with(origin, request, WHOLE_STATE).await {
            Ok(answer) => {
                let raws: Vec<_> = answer.auth_chain.into_iter().chain(answer.pdus).collect();
                self.checked(room, &raws).await
            }
            Err(error) => {
                tracing::debug!(%origin, %event_id, %error, "no whole state");
                Vec::new()
            }
        }
    }
}
