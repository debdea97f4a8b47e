//! From whom are an erased account's messages hidden?
//!
//! Who asks for erasure when they close their account is not redacted: those who could read their
//! messages before still can. Who joins a room later gets redacted copies of the messages and of the
//! account's own member events. What it set for the whole room, such as its name, stays.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountdeactivate)

use std::collections::HashMap;

use kith_store::{Batch, Scan, Store, StreamPosition, tables};
use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId, events::TimelineEventType};

use super::{Room, RoomError, Rooms, event::Event};

/// Erased accounts, and where the stream stood when they asked for it. There are few of them, so that
/// all are kept in memory.
pub(super) struct Erased(RwLock<HashMap<OwnedUserId, StreamPosition>>);

impl Erased {
    pub(super) async fn load(store: &Store) -> Result<Self, kith_store::Error> {
        let rows = store.scan(&tables::ERASED_USERS, Scan::all()).await?;
        Ok(Self(RwLock::new(rows.into_iter().collect())))
    }
}

impl Rooms {
    /// From now on nobody new sees what the user has sent. Said again it changes nothing.
    pub async fn erase(&self, user_id: &UserId) -> Result<(), kith_store::Error> {
        if self.0.erased.0.read().contains_key(user_id) {
            return Ok(());
        }
        let position = self.store().stream().position();
        let mut batch = Batch::new();
        batch.put(&tables::ERASED_USERS, &user_id.to_owned(), &position);
        self.store().commit(batch).await?;
        self.0.erased.0.write().insert(user_id.to_owned(), position);
        Ok(())
    }

    /// Whether other servers get the event only without its content, since its sender's account is
    /// erased.
    pub(super) fn is_erased_for_servers(&self, event: &Event) -> bool {
        let about_the_room = event.is_state() && event.kind != TimelineEventType::RoomMember;
        !about_the_room && self.0.erased.0.read().contains_key(&event.sender)
    }

    /// The copy of the event that somebody gets from whom its sender's account is hidden; `None` if
    /// they may see the event itself.
    pub(super) async fn erased_copy(
        &self,
        room: &Room,
        event: &Event,
        viewer: &UserId,
    ) -> Result<Option<Event>, RoomError> {
        let erased = self.0.erased.0.read().get(&event.sender).copied();
        let Some(erased) = erased else { return Ok(None) };
        let about_the_room = event.is_state() && event.kind != TimelineEventType::RoomMember;
        if about_the_room || viewer == event.sender {
            return Ok(None);
        }
        let member = self.members().get(room.number, viewer).await?;
        let was_there =
            member.and_then(|row| row.joined_at).is_some_and(|joined_at| joined_at <= erased);
        if was_there {
            return Ok(None);
        }
        let copy = event.pruned(&room.rules.redaction, event.standing);
        copy.map(Some).map_err(|reason| {
            RoomError::UnreadableEvent(room.room_id.clone(), event.index(), reason)
        })
    }
}
