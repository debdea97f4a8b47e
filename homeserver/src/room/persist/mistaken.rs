//! What if those who invited us into a room told a wrong version of it?
//!
//! Until we join, anybody may say anything of a room. What the servers say that are in it counts: then the
//! room begins anew, under another number, and what was kept under the old one is forgotten.

use std::sync::Arc;

use kith_store::{Json, tables};
use ruma::events::room::member::MembershipState;

use super::{RoomWriter, WriterState};
use crate::room::{Room, RoomError, Rooms, index};

/// The state of a room that this server never was in.
const NEVER_ENTERED: u64 = 0;

impl Rooms {
    /// Whether all that is known of the room is what those outside were told.
    pub(in crate::room) fn is_hearsay(room: &Room) -> bool {
        room.head().snapshot == NEVER_ENTERED
    }

    /// The writer of a room that takes the place of one of which nothing but invites are known.
    pub(super) async fn writer_instead_of(
        &self,
        old: &Arc<Room>,
        new: &Arc<Room>,
    ) -> Result<RoomWriter, RoomError> {
        let lock = Arc::clone(&new.writer).lock_owned().await;
        let state = WriterState::default();
        let mut writer = RoomWriter::new(self, new, lock, state);
        let row = tables::RoomRow { room_id: new.room_id.clone(), version: new.version.clone() };
        let batch = &mut writer.batch;
        batch.expect(&tables::ROOMS, &new.number, None);
        batch.put(&tables::ROOMS, &new.number, &Json(row));
        batch.expect(&tables::ROOM_NUMBERS, &new.room_id, Some(&old.number));
        batch.put(&tables::ROOM_NUMBERS, &new.room_id, &new.number);
        for (user_id, mut row) in self.members().of_room(old.number).await? {
            row.membership = MembershipState::Leave;
            row.forgotten = true;
            index::put_member(batch, old.number, user_id.clone(), row.clone());
            let (members, number) = (self.members().clone(), old.number);
            batch.on_commit(move |_| members.update(&user_id, number, row));
        }
        Ok(writer)
    }
}
