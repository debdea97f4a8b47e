//! How is it kept what a user of ours has to do with a room that this server is not in?

use std::sync::Arc;

use kith_store::{
    Change, Json,
    tables::{self, OutsideRow, Verdict},
};
use ruma::{CanonicalJsonObject, OwnedEventId};

use super::RoomWriter;
use crate::room::{
    RoomError,
    event::{Event, Standing},
    index,
};

impl RoomWriter {
    /// Adds a member event of one of our users without a place in the room's graph: neither its state
    /// nor its timeline change, only the user's membership. Nothing else may have been appended.
    pub(in crate::room) async fn commit_outside(
        mut self,
        event_id: OwnedEventId,
        pdu: &CanonicalJsonObject,
        outside: OutsideRow,
    ) -> Result<Arc<Event>, RoomError> {
        let (number, index) = (self.room.number, self.state.head.next_event);
        let unreadable =
            |reason: String| RoomError::UnreadableEvent(self.room.room_id.clone(), index, reason);
        let standing = Standing {
            index,
            verdict: Verdict::Outlier,
            state_before: 0,
            apart: false,
            redacted_by: None,
        };
        let event = Event::from_pdu(event_id, self.room.room_id.clone(), pdu, standing)
            .map_err(|error| unreadable(error.to_string()))?;
        let user_id = index::member_of(&event);
        let user_id = user_id.ok_or_else(|| unreadable("it is no member event".to_owned()))?;
        let event = Arc::new(event);
        self.state.head.next_event += 1;
        let before = self.member(&user_id).await?;
        let row = index::member_row(&event, before.as_ref());
        index::count(&mut self.state.head, before.as_ref(), &row);

        let batch = &mut self.batch;
        batch.put(&tables::EVENTS, &(number, index), &event.to_row());
        batch.put(&tables::OUTSIDE_EVENTS, &(number, index), &Json(outside));
        batch.put(&tables::ROOM_HEADS, &number, &self.state.head);
        if let Some(before) = before {
            // The user hears of the newest alone.
            let key = (number, before.event);
            if self.rooms.store().get(&tables::OUTSIDE_EVENTS, &key).await?.is_some() {
                batch.put(&tables::OUTSIDE_EVENTS, &key, &Json(OutsideRow::default()));
            }
        }
        batch.publish(Change::Membership { room: number, user: user_id.clone() });
        let member = (user_id.clone(), row.clone());
        batch.at_position(move |position, batch| {
            let (user_id, row) = member;
            index::put_member(batch, number, user_id, index::at(row, position));
        });
        let (rooms, room, new) = (self.rooms.clone(), Arc::clone(&self.room), Arc::clone(&event));
        let mut lock = self.lock;
        // Should the commit fail, the next writer starts from what is durable.
        *lock = None;
        let state = self.state;
        self.batch.on_commit(move |position| {
            *room.head.write() = Arc::new(state.head.clone());
            rooms.keep_open(&room);
            rooms.remember(&room, new);
            rooms.members().update(&user_id, number, index::at(row, position));
            if rooms.team().is_ours(&user_id) {
                room.set_local_joined(&user_id, false);
            }
            *lock = Some(state);
        });
        self.rooms.store().commit(self.batch).await?;
        Ok(event)
    }
}
