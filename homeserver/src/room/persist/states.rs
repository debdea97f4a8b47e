//! Which state is before an event, and which is the room's where its graph has several ends?

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use kith_store::tables::{EventIndex, MemberRow, SnapshotId, Verdict};
use ruma::{
    OwnedEventId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{
    Resolved, RoomWriter,
    foreign::{Gaps, LOOKED_THROUGH, ReceiveError},
};
use crate::room::{RoomError, event::Event, index, resolve::Resolving};

impl RoomWriter {
    /// The state before an event: that of all events before it, resolved.
    pub(super) async fn state_before(
        &mut self,
        event: &Event,
        gaps: &Gaps,
    ) -> Result<SnapshotId, ReceiveError> {
        let extremities = &self.state.extremities;
        let after_all = extremities.len() == event.prev_events.len()
            && extremities.iter().all(|before| event.prev_events.contains(&before.event_id));
        if after_all && !extremities.is_empty() {
            return Ok(self.state.head.snapshot);
        }
        let mut states = Vec::new();
        for event_id in &event.prev_events {
            match self.rooms.stored_event(&self.room, event_id).await? {
                Some(before) if before.standing.verdict != Verdict::Outlier => {
                    states.push(self.rooms.state_after(&self.room, &before).await?);
                }
                _ => match gaps.get(event_id) {
                    Some(state) => states.push(*state),
                    None => return Err(ReceiveError::MissingPrevious),
                },
            }
        }
        if states.is_empty() && event.kind != TimelineEventType::RoomCreate {
            return Err(ReceiveError::MissingPrevious);
        }
        Ok(self.resolve(&states, None).await?)
    }

    /// The forward extremities that come before an event: those that it names, and those behind events
    /// that it names and that were not accepted.
    pub(super) async fn extremities_before(
        &self,
        event: &Event,
    ) -> Result<HashSet<OwnedEventId>, RoomError> {
        let is_extremity = |event_id: &OwnedEventId| {
            self.state.extremities.iter().any(|extremity| extremity.event_id == *event_id)
        };
        let mut before = HashSet::new();
        let mut left: VecDeque<OwnedEventId> = event.prev_events.iter().cloned().collect();
        let mut seen = HashSet::new();
        while let Some(event_id) = left.pop_front() {
            if is_extremity(&event_id) {
                before.insert(event_id);
                continue;
            }
            if seen.len() >= LOOKED_THROUGH || !seen.insert(event_id.clone()) {
                continue;
            }
            if let Some(passed) = self.rooms.stored_event(&self.room, &event_id).await?
                && matches!(passed.standing.verdict, Verdict::SoftFailed | Verdict::Rejected)
            {
                left.extend(passed.prev_events.iter().cloned());
            }
        }
        Ok(before)
    }

    /// The room's state where several events are at the end of its graph. `own_after` is the state
    /// after the newest of them.
    pub(super) async fn resolve_extremities(
        &mut self,
        newest: &Arc<Event>,
        own_after: SnapshotId,
    ) -> Result<SnapshotId, RoomError> {
        let others = self.state.extremities.iter().map(|extremity| extremity.index);
        let others: Vec<_> = others.filter(|index| *index != newest.index()).collect();
        let mut states = self.states_after(others).await?;
        states.push(own_after);
        states.sort_unstable();
        states.dedup();
        if let Some(known) = self.state.resolved.as_ref().filter(|known| known.states == states) {
            return Ok(known.to);
        }
        let to = self.resolve(&states, Some(newest)).await?;
        self.state.resolved = Some(Resolved { states, to });
        Ok(to)
    }

    /// The state after so many of the forward extremities.
    pub(super) async fn state_after_first(
        &mut self,
        extremities: usize,
    ) -> Result<SnapshotId, RoomError> {
        let first = self.state.extremities.iter().take(extremities);
        let first: Vec<EventIndex> = first.map(|extremity| extremity.index).collect();
        let states = self.states_after(first).await?;
        self.resolve(&states, None).await
    }

    async fn states_after(
        &self,
        events: impl IntoIterator<Item = EventIndex>,
    ) -> Result<Vec<SnapshotId>, RoomError> {
        let mut states = Vec::new();
        for index in events {
            let event = self.event(index).await?;
            states.push(self.rooms.state_after(&self.room, &event).await?);
        }
        Ok(states)
    }

    /// `newest` is an event that is not stored yet.
    async fn resolve(
        &mut self,
        states: &[SnapshotId],
        newest: Option<&Arc<Event>>,
    ) -> Result<SnapshotId, RoomError> {
        let next = &mut self.state.head.next_state_key;
        let (rooms, room) = (self.rooms.clone(), Arc::clone(&self.room));
        rooms.resolve(&room, Resolving { batch: &mut self.batch, next, newest }, states).await
    }

    /// The memberships in which two states differ, brought up to the second. `newest` is an event that
    /// is not added yet.
    pub(super) async fn move_members(
        &mut self,
        newest: Option<&Arc<Event>>,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<(OwnedUserId, MemberRow)>, RoomError> {
        let snapshots = self.rooms.snapshots().clone();
        let differences = snapshots.difference_in(&self.batch, self.room.number, from, to).await?;
        let mut moved = Vec::new();
        for difference in differences {
            let Some(index) = difference.to.or(difference.from) else { continue };
            let event = match newest.filter(|newest| newest.index() == index) {
                Some(newest) => Arc::clone(newest),
                None => self.event(index).await?,
            };
            let Some(user_id) = index::member_of(&event) else { continue };
            let before = self.member(&user_id).await?;
            let mut row = index::member_row(&event, before.as_ref());
            if difference.to.is_none() {
                row.membership = MembershipState::Leave;
            }
            index::count(&mut self.state.head, before.as_ref(), &row);
            self.members.insert(user_id.clone(), row.clone());
            moved.push((user_id, row));
        }
        Ok(moved)
    }

    /// Whether a snapshot that the batch may be about to write has this state.
    pub(in crate::room) async fn has_state(
        &self,
        snapshot: SnapshotId,
        kind: &StateEventType,
    ) -> Result<bool, RoomError> {
        let (rooms, room) = (&self.rooms, &self.room);
        Ok(rooms.pending_state(&self.batch, room, snapshot, kind, "").await?.is_some())
    }

    /// The snapshot that these state events make; rejected ones are left out.
    pub(in crate::room) async fn snapshot_of(
        &mut self,
        event_ids: &[OwnedEventId],
    ) -> Result<SnapshotId, RoomError> {
        let mut entries = Vec::with_capacity(event_ids.len());
        for event_id in event_ids {
            let Some(event) = self.stored(event_id).await? else { continue };
            let Some(state_key) = &event.state_key else { continue };
            if event.standing.verdict == Verdict::Rejected {
                continue;
            }
            let kind = StateEventType::from(event.kind.to_string());
            let next = &mut self.state.head.next_state_key;
            let (batch, room) = (&mut self.batch, &self.room);
            let key = self.rooms.state_key_in(batch, room, next, &kind, state_key).await?;
            entries.push((key, event.index()));
        }
        let number = self.room.number;
        Ok(self.rooms.snapshots().clone().from_entries(&mut self.batch, number, entries).await?)
    }
}
