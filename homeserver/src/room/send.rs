//! How do messages, state and redactions that users send become events?

use std::sync::Arc;

use kith_store::tables::{self, EventIndex};
use ruma::{
    OwnedEventId, OwnedTransactionId, TransactionId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{
    Room, Rooms,
    draft::Draft,
    event::{ANNOTATION, Event, Relation, SentBy, THREAD},
    persist::SendError,
    relations::Child,
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
            transaction_scope(room, &draft, &transaction_id),
        );
        // Under the room's lock, since two requests with one ID may arrive together. What is on its
        // way to the disk is not in the table yet.
        let mut writer = self.writer(room).await?;
        if let Some(event_id) = self.transactions_in_flight().get(&key) {
            drop(writer);
            self.store().settled().await?;
            return Ok(event_id);
        }
        if let Some(event_id) = self.store().get(&tables::TRANSACTION_IDS, &key).await? {
            return Ok(event_id);
        }
        self.check_relation(room, &draft).await?;
        let device_id = requester.device_id.clone();
        let draft = Draft { sent_by: Some(SentBy { device_id, transaction_id }), ..draft };
        let event = writer.append(draft).await?;
        writer.batch().put(&tables::TRANSACTION_IDS, &key, &event.event_id);
        let _in_flight = self.transactions_in_flight().hold(key, event.event_id.clone());
        writer.commit().await?;
        Ok(event.event_id.clone())
    }

    /// Whether the room's rules allow such an event now. Nothing is sent.
    pub async fn check_allowed(&self, room: &Arc<Room>, draft: &Draft) -> Result<(), SendError> {
        self.writer(room).await?.template(draft).await.map(drop)
    }

    /// What the auth rules know nothing of. Call it under the room's lock.
    async fn check_relation(&self, room: &Room, draft: &Draft) -> Result<(), SendError> {
        let Some(relation) = Relation::of(&draft.content) else { return Ok(()) };
        let (Some(rel_type), Some(target)) = (&relation.rel_type, &relation.event_id) else {
            return Ok(());
        };
        if rel_type != ANNOTATION && rel_type != THREAD {
            return Ok(());
        }
        let Some(target) = self.event_by_id(room, target).await? else { return Ok(()) };
        match &relation.key {
            Some(key) if rel_type == ANNOTATION => {
                self.check_annotation(room, draft, &target, key).await
            }
            _ if rel_type == THREAD && target.is_child() => Err(SendError::NoThreadRoot),
            _ => Ok(()),
        }
    }

    /// Nobody annotates one event twice with the same type and key.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#avoiding-duplicate-annotations)
    async fn check_annotation(
        &self,
        room: &Room,
        draft: &Draft,
        target: &Event,
        key: &str,
    ) -> Result<(), SendError> {
        // Under the room's lock nothing new is on its way: what was may be the same annotation.
        self.store().settled().await?;
        let children = self.children(room, target.index()).await?;
        let own = |child: &&Child| {
            child.rel_type == ANNOTATION && child.sender == draft.sender && child.kind == draft.kind
        };
        let own: Vec<EventIndex> = children.read().iter().filter(own).map(|c| c.index).collect();
        for index in own {
            let other = self.event(room, index).await?;
            if other.relation().and_then(|relation| relation.key.as_deref()) == Some(key) {
                return Err(SendError::DuplicateAnnotation);
            }
        }
        Ok(())
    }

    /// Sends a state event; one with the same content as the current one answers that.
    pub async fn send_state(
        &self,
        room: &Arc<Room>,
        mut draft: Draft,
    ) -> Result<OwnedEventId, SendError> {
        if draft.kind == TimelineEventType::RoomMember {
            draft = self.complete_member(room, draft).await?;
        }
        if let Some(target) = self.invites_elsewhere(&draft) {
            return self.invite_elsewhere(room, &draft, &target).await;
        }
        let mut writer = self.writer(room).await?;
        if draft.kind == TimelineEventType::RoomCanonicalAlias {
            writer.check_canonical_alias(&draft).await?;
        }
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
        self.reconsider_after(room, &event).await?;
        if kind == StateEventType::RoomGuestAccess && !self.guests_may_join(room).await? {
            self.remove_guests(room).await?;
        }
        Ok(event.event_id.clone())
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

    /// A room that the user is in or may be about to enter. Guests enter only where they may.
    pub async fn room_to_enter(
        &self,
        room_id: &ruma::RoomId,
        requester: &Requester,
    ) -> Result<Arc<Room>, SendError> {
        let room = self.get(room_id).await?.ok_or(SendError::UnknownRoom)?;
        self.check_guest(&room, &requester.user_id, requester.guest).await?;
        Ok(room)
    }

    /// Guests enter only where they may.
    pub(super) async fn check_guest(
        &self,
        room: &Room,
        user_id: &UserId,
        is_guest: bool,
    ) -> Result<(), SendError> {
        if is_guest
            && !self.members().is_joined(room.number, user_id).await?
            && !self.guests_may_join(room).await?
        {
            return Err(SendError::NotForGuests);
        }
        Ok(())
    }
}

/// A transaction ID is good for one device and one path: the room, the event's type, and for the
/// redaction endpoint the event that is to be redacted.
fn transaction_scope(room: &Room, draft: &Draft, transaction_id: &TransactionId) -> String {
    let redacts = draft.redacts.as_ref().map_or("", |event_id| event_id.as_str());
    format!("{}/{}/{redacts}/{transaction_id}", room.number, draft.kind)
}

fn same_json(a: &RawValue, b: &RawValue) -> bool {
    let parse = |json: &RawValue| serde_json::from_str::<serde_json::Value>(json.get()).ok();
    parse(a) == parse(b)
}
