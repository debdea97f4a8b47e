//! Members of a room that this server joined without them: how they become known, one by one and all.

use std::{collections::HashSet, sync::Arc};

use kith_store::{
    Change, Json, Scan,
    tables::{self, EventIndex, PartialJoinRow, SnapshotId, StateKeyIndex, StatesApart, Verdict},
};
use ruma::{OwnedEventId, OwnedServerName, events::StateEventType};

use super::RoomWriter;
use crate::room::{
    RoomError,
    authorise::authorise_in,
    event::{Event, Standing},
    index,
};

/// A state of the room without the members, and the same with them. What follows changes both alike.
#[derive(Clone, Copy)]
struct Filled {
    without: SnapshotId,
    with: SnapshotId,
}

impl RoomWriter {
    /// A state with those members of whom it says nothing, and on whose member events another event
    /// rests; `learned` gets those events.
    pub(super) async fn with_members_of(
        &mut self,
        snapshot: SnapshotId,
        auth_events: &[Arc<Event>],
        learned: &mut Vec<EventIndex>,
    ) -> Result<SnapshotId, RoomError> {
        let mut state = snapshot;
        for event in auth_events {
            let Some(user_id) = index::member_of(event) else { continue };
            if event.standing.verdict == Verdict::Rejected {
                continue;
            }
            let kind = StateEventType::RoomMember;
            let (rooms, room) = (&self.rooms, &self.room);
            let known = rooms.pending_state(&self.batch, room, state, &kind, user_id.as_str());
            if known.await?.is_some() {
                continue;
            }
            let next = &mut self.state.head.next_state_key;
            let key = rooms.state_key_in(&mut self.batch, room, next, &kind, user_id.as_str());
            let key = key.await?;
            let snapshots = rooms.snapshots();
            let number = self.room.number;
            state = snapshots.insert(&mut self.batch, number, state, key, event.index()).await?;
            learned.push(event.index());
        }
        Ok(state)
    }

    /// Keeps that a room was joined through these servers without most of its members, or forgets that
    /// it ever was.
    pub(super) fn note_members(
        &mut self,
        join: EventIndex,
        servers: Option<Vec<OwnedServerName>>,
        learned: Vec<EventIndex>,
    ) {
        let (rooms, number) = (self.rooms.clone(), self.room.number);
        let Some(servers) = servers else {
            if self.rooms.partial_join(&self.room).is_some() {
                self.batch.delete(&tables::PARTIAL_JOINS, &number);
                self.batch.on_commit(move |_| rooms.partial_joins().remove(number));
            }
            return;
        };
        self.put_partial_join(PartialJoinRow { join, servers, learned, completed: None });
    }

    fn put_partial_join(&mut self, row: PartialJoinRow) {
        let (rooms, number) = (self.rooms.clone(), self.room.number);
        self.batch.put(&tables::PARTIAL_JOINS, &number, &Json(row.clone()));
        self.batch.on_commit(move |_| rooms.partial_joins().put(number, row));
    }

    /// The states before an event and of the room now, with the members that the event's sender shows
    /// to be there.
    pub(super) async fn learn_members(
        &mut self,
        event: &mut Event,
        auth_events: &[Arc<Event>],
        partial: &PartialJoinRow,
    ) -> Result<SnapshotId, RoomError> {
        let (before, current) = (event.standing.state_before, self.state.head.snapshot);
        let mut learned = Vec::new();
        let with = self.with_members_of(before, auth_events, &mut learned).await?;
        event.standing.state_before = with;
        let current = match before == current {
            true => with,
            false => self.with_members_of(current, auth_events, &mut learned).await?,
        };
        learned.retain(|index| !partial.learned.contains(index));
        if !learned.is_empty() {
            let mut row = partial.clone();
            row.learned.extend(learned);
            self.put_partial_join(row);
        }
        Ok(current)
    }

    /// Nobody of ours is in the room any more: it does not matter who else is.
    pub(in crate::room) async fn give_up_members(mut self) -> Result<(), RoomError> {
        self.note_members(0, None, Vec::new());
        self.keeps_lock = true;
        self.commit().await?;
        Ok(())
    }

    /// Every state of the room since we joined gets these members, unless it knows better. What came
    /// meanwhile and was not allowed is taken out of the room.
    pub(in crate::room) async fn complete_members(
        mut self,
        members: &[OwnedEventId],
    ) -> Result<(), RoomError> {
        self.rooms.store().settled().await?;
        let Some(partial) = self.rooms.partial_join(&self.room) else { return Ok(()) };
        let mut told = Vec::with_capacity(members.len());
        for event_id in members {
            let Some(event) = self.stored(event_id).await? else { continue };
            let Some(user_id) = index::member_of(&event) else { continue };
            if event.standing.verdict == Verdict::Rejected {
                continue;
            }
            let kind = StateEventType::RoomMember;
            let next = &mut self.state.head.next_state_key;
            let (batch, room) = (&mut self.batch, &self.room);
            let key = self.rooms.state_key_in(batch, room, next, &kind, user_id.as_str()).await?;
            told.push((key, event.index()));
        }
        let join = self.rooms.event(&self.room, partial.join).await?;
        let mut filled = self.fill_first(join.standing.state_before, &told, &partial).await?;
        let told: HashSet<StateKeyIndex> = told.into_iter().map(|(key, _)| key).collect();
        let mut superseded: HashSet<EventIndex> = partial.learned.iter().copied().collect();
        let head = self.state.head.snapshot;
        for index in self.judged_since(&join).await? {
            let event = self.rooms.event(&self.room, index).await?;
            filled = self.fill(filled, event.standing.state_before, &told, &superseded).await?;
            let mut standing = Standing { state_before: filled.with, ..event.standing };
            if event.standing.verdict == Verdict::Accepted
                && event.index() != join.index()
                && let Err(reason) = self.allowed_in(&event, standing.state_before).await?
            {
                tracing::info!(event_id = %event.event_id, reason, "an event is taken out of its room");
                standing.verdict = Verdict::Rejected;
                superseded.insert(index);
                let place = (self.room.number, event.position());
                self.batch.delete(&tables::TIMELINE, &place);
            }
            self.restate(&event, standing, &mut filled, &told, &superseded).await?;
        }
        filled = self.fill(filled, head, &told, &superseded).await?;
        self.state.head.snapshot = filled.with;
        self.move_all_members(head).await?;
        let number = self.room.number;
        let rooms = self.rooms.clone();
        let row = PartialJoinRow {
            join: partial.join,
            servers: Vec::new(),
            learned: Vec::new(),
            completed: None,
        };
        let in_memory = row.clone();
        self.batch.at_position(move |position, batch| {
            let row = PartialJoinRow { completed: Some(position), ..row };
            batch.put(&tables::PARTIAL_JOINS, &number, &Json(row));
        });
        self.batch.on_commit(move |position| {
            let row = PartialJoinRow { completed: Some(position), ..in_memory };
            rooms.partial_joins().put(number, row);
        });
        // Whoever waits for news of the room is told of its members.
        for user in self.rooms.load_local_joined(&self.room).await?.iter() {
            self.batch.publish(Change::Membership { room: number, user: user.clone() });
        }
        self.keeps_lock = true;
        self.commit().await?;
        Ok(())
    }

    /// The first state with the members that were told of.
    async fn fill_first(
        &mut self,
        without: SnapshotId,
        told: &[(StateKeyIndex, EventIndex)],
        partial: &PartialJoinRow,
    ) -> Result<Filled, RoomError> {
        let number = self.room.number;
        let snapshots = self.rooms.snapshots().clone();
        let known = snapshots.entries(number, without).await?;
        let certain = known.iter().filter(|(_, index)| !partial.learned.contains(index));
        // Of two with one key the later counts.
        let entries: Vec<_> = known.iter().chain(told).chain(certain).copied().collect();
        let with = snapshots.from_entries(&mut self.batch, number, entries).await?;
        Ok(Filled { without, with })
    }

    /// The next state with the members: changed as it was changed without them. A member who was only
    /// learned of, or whose event was taken out, is as the others say.
    async fn fill(
        &mut self,
        last: Filled,
        without: SnapshotId,
        told: &HashSet<StateKeyIndex>,
        superseded: &HashSet<EventIndex>,
    ) -> Result<Filled, RoomError> {
        if last.without == without {
            return Ok(last);
        }
        let (number, snapshots) = (self.room.number, self.rooms.snapshots().clone());
        let mut with = last.with;
        let differences =
            snapshots.difference_in(&self.batch, number, last.without, without).await?;
        for difference in differences {
            let Some(index) = difference.to else { continue };
            if superseded.contains(&index) && told.contains(&difference.key) {
                continue;
            }
            with = snapshots.insert(&mut self.batch, number, with, difference.key, index).await?;
        }
        Ok(Filled { without, with })
    }

    /// The events that found their place in the graph since our join, as they came.
    async fn judged_since(&self, join: &Event) -> Result<Vec<EventIndex>, RoomError> {
        let scan =
            Scan::prefix(&(self.room.number,)).after(&(self.room.number, join.position() - 1));
        let rows = self.rooms.store().scan(&tables::TIMELINE, scan).await?;
        Ok(rows.into_iter().map(|(_, index)| index).collect())
    }

    async fn allowed_in(
        &self,
        event: &Event,
        snapshot: SnapshotId,
    ) -> Result<Result<(), String>, RoomError> {
        let state = self.auth_state_in(event, snapshot).await?;
        let rules = &self.room.rules.authorization;
        Ok(state.and_then(|state| authorise_in(rules, event, &state)))
    }

    /// Writes an event anew, with what this server thinks of it now.
    async fn restate(
        &mut self,
        event: &Event,
        standing: Standing,
        filled: &mut Filled,
        told: &HashSet<StateKeyIndex>,
        superseded: &HashSet<EventIndex>,
    ) -> Result<(), RoomError> {
        let number = self.room.number;
        let place = (number, event.index());
        if event.standing.apart {
            let row = self.rooms.store().get(&tables::STATES_APART, &place).await?;
            if let Some(Json(StatesApart { before, after })) = row {
                let before = self.fill(*filled, before, told, superseded).await?;
                let after = self.fill(before, after, told, superseded).await?;
                let row = StatesApart { before: before.with, after: after.with };
                self.batch.put(&tables::STATES_APART, &place, &Json(row));
            }
        }
        let restated = event.with_standing(standing).map_err(|error| {
            let room_id = self.room.room_id.clone();
            RoomError::UnreadableEvent(room_id, event.index(), error.to_string())
        })?;
        if standing.verdict == Verdict::Rejected {
            restated.set_position(0);
        }
        self.batch.put(&tables::EVENTS, &place, &restated.to_row());
        // The state after it is named by its nodes: they are to be there.
        if event.is_state() && standing.verdict == Verdict::Accepted {
            self.state_after(&restated).await?;
        }
        let restated = Arc::new(restated);
        self.added.insert(restated.index(), Arc::clone(&restated));
        let (rooms, room) = (self.rooms.clone(), Arc::clone(&self.room));
        self.batch.on_commit(move |_| rooms.remember(&room, restated));
        Ok(())
    }

    /// Brings the rows of all members up to the state that the room has now.
    async fn move_all_members(&mut self, before: SnapshotId) -> Result<(), RoomError> {
        let moved = self.move_members(None, before, self.state.head.snapshot).await?;
        let (rooms, room) = (self.rooms.clone(), Arc::clone(&self.room));
        let (number, rows) = (room.number, moved.clone());
        self.batch.at_position(move |position, batch| {
            for (user_id, row) in rows {
                index::put_member(batch, number, user_id, index::at(row, position));
            }
        });
        self.batch.on_commit(move |position| {
            for (user_id, row) in moved {
                rooms.members().update(&user_id, room.number, index::at(row, position));
            }
        });
        Ok(())
    }
}
