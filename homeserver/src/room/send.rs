//! How do messages, state and redactions that users send become events?

use std::sync::Arc;

use kith_store::{Batch, tables};
use ruma::{
    OwnedEventId, OwnedTransactionId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{
    Room, Rooms,
    draft::Draft,
    event::{Event, SentBy},
    persist::{RoomWriter, SendError},
};
use crate::users::Requester;

impl Rooms {
    /// Sends an event once: the same transaction ID of the same device answers the same event.
    pub async fn send_once(
        &self,
        requester: &Requester,
        room: &Arc<Room>,
        transaction_id: OwnedTransactionId,
        draft: Draft,
    ) -> Result<OwnedEventId, SendError> {
        let key = (
            requester.user_id.clone(),
            requester.device_id.clone(),
            format!("{}/{}", room.number, transaction_id),
        );
        if let Some(event_id) = self.store().get(&tables::TRANSACTION_IDS, &key).await? {
            return Ok(event_id);
        }
        let mut writer = self.writer(room).await?;
        // Again under the room's lock: two requests with one ID may arrive together. What is on its
        // way to the disk is not in the table yet.
        if let Some(event_id) = self.transactions_in_flight().get(&key) {
            drop(writer);
            // Batches are written in order: when this empty one is answered, that one is durable.
            self.store().commit(Batch::new()).await?;
            return Ok(event_id);
        }
        if let Some(event_id) = self.store().get(&tables::TRANSACTION_IDS, &key).await? {
            return Ok(event_id);
        }
        let device_id = requester.device_id.clone();
        let draft = Draft { sent_by: Some(SentBy { device_id, transaction_id }), ..draft };
        let event = self.append_checked(&mut writer, draft).await?;
        writer.batch().put(&tables::TRANSACTION_IDS, &key, &event.event_id);
        let _in_flight = self.transactions_in_flight().hold(key, event.event_id.clone());
        writer.commit().await?;
        Ok(event.event_id.clone())
    }

    /// Sends a state event; one with the same content as the current one answers that.
    pub async fn send_state(
        &self,
        room: &Arc<Room>,
        draft: Draft,
    ) -> Result<OwnedEventId, SendError> {
        let mut writer = self.writer(room).await?;
        let kind = StateEventType::from(draft.kind.to_string());
        let state_key = draft.state_key.clone().unwrap_or_default();
        if let Some(current) = writer.state_event(&kind, &state_key).await?
            && current.sender == draft.sender
            && same_json(&current.content, &draft.content)
        {
            return Ok(current.event_id.clone());
        }
        let event = writer.append(draft).await?;
        writer.commit().await?;
        Ok(event.event_id.clone())
    }

    /// A redaction needs its own check, which is not part of the auth rules.
    async fn append_checked(
        &self,
        writer: &mut RoomWriter,
        draft: Draft,
    ) -> Result<Arc<Event>, SendError> {
        if draft.kind == TimelineEventType::RoomRedaction {
            let room = Arc::clone(writer.room());
            if let Some(target) = &draft.redacts {
                let target = self.event_by_id(&room, target).await?;
                let target = target.ok_or(SendError::UnknownEvent)?;
                self.check_redaction(&room, &draft.sender, &target).await?;
            }
        }
        writer.append(draft).await
    }

    /// Users may redact their own events, and those of others with the room's redact level.
    async fn check_redaction(
        &self,
        room: &Room,
        sender: &UserId,
        target: &Event,
    ) -> Result<(), SendError> {
        let power_levels = self.power_levels(room).await?;
        let allowed = if target.sender == sender {
            power_levels.user_can_redact_own_event(sender)
        } else {
            power_levels.user_can_redact_event_of_other(sender)
        };
        if !allowed {
            return Err(SendError::Unauthorized("the sender may not redact this event".to_owned()));
        }
        Ok(())
    }

    /// The room, if the user is joined to it.
    pub async fn joined_room(
        &self,
        room_id: &ruma::RoomId,
        user_id: &UserId,
    ) -> Result<Arc<Room>, SendError> {
        let not_joined = || SendError::Unauthorized("you are not joined to this room".to_owned());
        let room = self.get(room_id).await?.ok_or_else(not_joined)?;
        match self.members().membership(room.number, user_id).await? {
            MembershipState::Join => Ok(room),
            _ => Err(not_joined()),
        }
    }
}

fn same_json(a: &RawValue, b: &RawValue) -> bool {
    let parse = |json: &RawValue| serde_json::from_str::<serde_json::Value>(json.get()).ok();
    parse(a) == parse(b)
}
