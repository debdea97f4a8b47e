//! What a writer collected becomes durable, and then known in memory.

use std::sync::Arc;

use kith_store::{
    Change, StreamPosition, Submitted,
    tables::{self, RoomHead},
};
use ruma::events::room::member::MembershipState;

use super::{Appended, Redacted, RoomWriter, Spot};
use crate::room::{
    Room, RoomError, Rooms,
    index::{self, Related},
};

impl RoomWriter {
    /// Writes everything and answers when it is durable: the stream position of the first event.
    pub async fn commit(self) -> Result<StreamPosition, RoomError> {
        Ok(self.submit().await?.answered().await?)
    }

    async fn submit(mut self) -> Result<Submitted, RoomError> {
        let number = self.room.number;
        self.batch.put(&tables::ROOM_HEADS, &number, &self.state.head);
        let (mut rows, mut events) = (Vec::new(), Vec::with_capacity(self.appended.len()));
        for appended in self.appended {
            let index = appended.event.index();
            let mut row = appended.row.clone();
            match appended.spot {
                Spot::Live => {
                    self.batch.publish(Change::Event { room: number, index });
                    let (members, related) = (appended.members.clone(), appended.related.clone());
                    rows.push((index, row, members, related));
                }
                Spot::Past(position) => {
                    row.position = position;
                    self.batch.put(&tables::EVENTS, &(number, index), &row);
                    self.batch.put(&tables::TIMELINE, &(number, position), &index);
                    if let Some(related) = appended.related.clone() {
                        index::put_relation(&mut self.batch, number, &related.at(position));
                    }
                }
                Spot::Nowhere => self.batch.put(&tables::EVENTS, &(number, index), &row),
            }
            for child in &appended.children {
                index::put_relation(&mut self.batch, number, child);
            }
            events.push(appended);
        }
        // After the events, whose positions are consecutive: whose membership the state's resolution
        // changed, without an event of this commit that says so.
        for appended in &events {
            for (user, _) in &appended.members {
                let own = index::member_of(&appended.event).as_ref() == Some(user);
                if !own && appended.spot == Spot::Live && self.rooms.team().is_ours(user) {
                    self.batch.publish(Change::Membership { room: number, user: user.clone() });
                }
            }
        }
        self.batch.at_position(move |first, batch| {
            for (position, (index, mut row, members, related)) in (first..).zip(rows) {
                row.position = position.cast_signed();
                batch.put(&tables::EVENTS, &(number, index), &row);
                batch.put(&tables::TIMELINE, &(number, position.cast_signed()), &index);
                for (user_id, row) in members {
                    index::put_member(batch, number, user_id, index::at(row, position));
                }
                if let Some(related) = related {
                    index::put_relation(batch, number, &related.at(position.cast_signed()));
                }
            }
        });
        let store = self.rooms.store().clone();
        let after = AfterCommit {
            rooms: self.rooms,
            room: self.room,
            head: Arc::new(self.state.head.clone()),
            events,
            redacted: self.redacted,
        };
        if self.keeps_lock {
            let mut lock = self.lock;
            // Should the commit fail, the next writer starts from what is durable.
            *lock = None;
            let state = self.state;
            self.batch.on_commit(move |first| {
                after.apply(first);
                *lock = Some(state);
            });
            Ok(store.submit(self.batch).await?)
        } else {
            self.batch.on_commit(move |first| after.apply(first));
            let submitted = store.submit(self.batch).await?;
            *self.lock = Some(self.state);
            Ok(submitted)
        }
    }
}

/// What is brought up to date in memory when a commit is durable.
struct AfterCommit {
    rooms: Rooms,
    room: Arc<Room>,
    head: Arc<RoomHead>,
    events: Vec<Appended>,
    redacted: Vec<Redacted>,
}

impl AfterCommit {
    fn apply(self, first: StreamPosition) {
        let Self { rooms, room, head, events, redacted } = self;
        *room.head.write() = Arc::clone(&head);
        rooms.keep_open(&room);
        let mut live = first..;
        for Appended { event, spot, row: _, members, related, children } in events {
            let position = match spot {
                Spot::Live => live.next().map_or(0, StreamPosition::cast_signed),
                Spot::Past(position) => position,
                Spot::Nowhere => 0,
            };
            event.set_position(position);
            for (user_id, row) in members {
                if rooms.team().is_ours(&user_id) {
                    room.set_local_joined(&user_id, row.membership == MembershipState::Join);
                }
                let row = index::at(row, position.unsigned_abs());
                rooms.members().update(&user_id, room.number, row);
            }
            rooms.has_no_children(&room, event.index());
            if let Some(related) = related {
                let Related { parent, child } = related.at(position);
                rooms.add_child(&room, parent, child);
            }
            for Related { parent, child } in children {
                rooms.add_child(&room, parent, child);
            }
            rooms.remember(&room, event);
        }
        if !redacted.is_empty() {
            rooms.listings().forget(room.number, head.snapshot);
        }
        for Redacted { event, member, parent } in redacted {
            if let Some(parent) = parent {
                rooms.remove_child(&room, parent, event.index());
            }
            if let Some((user_id, row)) = member {
                rooms.members().update(&user_id, room.number, row);
            }
            rooms.remember(&room, event);
        }
    }
}
