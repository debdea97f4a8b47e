//! What is the state of a room, now or before an event?

use std::{collections::BTreeMap, sync::Arc};

use kith_store::{
    Batch, Json, Scan,
    tables::{self, EventIndex, SnapshotId, StateKeyIndex, StatesApart, Verdict},
};
use ruma::events::StateEventType;
use serde::Deserialize;

use super::{Room, RoomError, Rooms, event::Event};

/// The types and state keys that a room ever had, but for its members, of whom there may be very many.
#[derive(Debug)]
pub struct StateNames {
    /// How many state keys the room had then.
    upto: StateKeyIndex,
    pub names: BTreeMap<String, BTreeMap<String, StateKeyIndex>>,
}

impl Rooms {
    /// The room's state keys but for its members, remembered until there is another one.
    pub async fn state_names(&self, room: &Room) -> Result<Arc<StateNames>, RoomError> {
        let upto = room.head().next_state_key;
        if let Some(known) = room.state_names.read().as_ref().filter(|known| known.upto == upto) {
            return Ok(Arc::clone(known));
        }
        let member = StateEventType::RoomMember.to_string();
        let of_members = (room.number, member);
        let whole = Scan::prefix(&(room.number,));
        let mut names = StateNames { upto, names: BTreeMap::new() };
        for scan in [whole.clone().before(&of_members), whole.after(&of_members)] {
            for ((_, kind, state_key), index) in
                self.0.store.scan(&tables::STATE_KEYS, scan).await?
            {
                names.names.entry(kind).or_default().insert(state_key, index);
            }
        }
        let names = Arc::new(names);
        *room.state_names.write() = Some(Arc::clone(&names));
        Ok(names)
    }

    /// The event that holds this state key in a snapshot.
    pub async fn state_at(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        key: StateKeyIndex,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        match self.0.snapshots.get(room.number, snapshot, key).await? {
            Some(index) => Ok(Some(self.event(room, index).await?)),
            None => Ok(None),
        }
    }

    /// The state event of this type and key in a snapshot.
    pub async fn state_event(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(key) = self.state_key(room, kind, state_key).await? else { return Ok(None) };
        self.state_at(room, snapshot, key).await
    }

    /// The current state event of this type and key.
    pub async fn current_state_event(
        &self,
        room: &Room,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        self.state_event(room, room.head().snapshot, kind, state_key).await
    }

    /// The content of a current state event, as far as `T` reads it; `None` if there is no such event
    /// or its content is malformed.
    pub async fn current_state<T: for<'a> Deserialize<'a>>(
        &self,
        room: &Room,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<T>, RoomError> {
        let event = self.current_state_event(room, kind, state_key).await?;
        Ok(event.and_then(|event| event.content_as()))
    }

    /// The content of a state event with an empty state key in a snapshot, as far as `T` reads it.
    pub async fn state_content<T: for<'a> Deserialize<'a>>(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        kind: &StateEventType,
    ) -> Result<Option<T>, RoomError> {
        let event = self.state_event(room, snapshot, kind, "").await?;
        Ok(event.and_then(|event| event.content_as()))
    }

    /// Every state event of a snapshot, in the order in which their keys first appeared.
    pub async fn full_state(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut events = Vec::new();
        for (_, index) in self.0.snapshots.entries(room.number, snapshot).await? {
            events.push(self.event(room, index).await?);
        }
        Ok(events)
    }

    /// The state events that `to` has and `from` has not, or has otherwise.
    pub async fn state_difference(
        &self,
        room: &Room,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut events = Vec::new();
        for difference in self.0.snapshots.difference(room.number, from, to).await? {
            if let Some(index) = difference.to {
                events.push(self.event(room, index).await?);
            }
        }
        Ok(events)
    }

    /// The state after an event, as it and the events before it in the graph make it.
    pub async fn state_after(&self, room: &Room, event: &Event) -> Result<SnapshotId, RoomError> {
        let before = event.standing.state_before;
        if event.standing.verdict == Verdict::Rejected {
            return Ok(before);
        }
        let Some(state_key) = &event.state_key else { return Ok(before) };
        let kind = StateEventType::from(event.kind.to_string());
        let Some(key) = self.state_key(room, &kind, state_key).await? else { return Ok(before) };
        // The nodes of that snapshot are there already: the batch is only to find its name.
        let mut batch = Batch::new();
        let index = event.index();
        Ok(self.0.snapshots.insert(&mut batch, room.number, before, key, index).await?)
    }

    /// The room's state just before it accepted this event. Where servers wrote at the same time it is
    /// not what the events before this one make it.
    pub async fn current_before(
        &self,
        room: &Room,
        event: &Event,
    ) -> Result<SnapshotId, RoomError> {
        match self.states_apart(room, event).await? {
            Some(states) => Ok(states.before),
            None => Ok(event.standing.state_before),
        }
    }

    /// The room's state just after it accepted this event.
    pub async fn current_after(&self, room: &Room, event: &Event) -> Result<SnapshotId, RoomError> {
        match self.states_apart(room, event).await? {
            Some(states) => Ok(states.after),
            None => self.state_after(room, event).await,
        }
    }

    async fn states_apart(
        &self,
        room: &Room,
        event: &Event,
    ) -> Result<Option<StatesApart>, RoomError> {
        if !event.standing.apart {
            return Ok(None);
        }
        let row = self.0.store.get(&tables::STATES_APART, &(room.number, event.index())).await?;
        Ok(row.map(|Json(states)| states))
    }

    /// Every state event of one type in a snapshot: all spaces' children, all members.
    pub async fn state_of_type(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        kind: &StateEventType,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let prefix = (room.number, kind.to_string());
        let keys = self.0.store.scan(&tables::STATE_KEYS, Scan::prefix(&prefix)).await?;
        let mut events = Vec::new();
        for (_, key) in keys {
            if let Some(index) = self.0.snapshots.get(room.number, snapshot, key).await? {
                events.push(self.event(room, index).await?);
            }
        }
        Ok(events)
    }

    /// The dense index of a (type, state key); `None` if the room never had such an event.
    async fn state_key(
        &self,
        room: &Room,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<StateKeyIndex>, RoomError> {
        if *kind != StateEventType::RoomMember
            && let Some(known) = &*room.state_names.read()
            && known.upto == room.head().next_state_key
        {
            let of_kind = known.names.get(&kind.to_string());
            return Ok(of_kind.and_then(|of_kind| of_kind.get(state_key)).copied());
        }
        let name = (room.number, kind.to_string(), state_key.to_owned());
        if let Some(index) = self.0.state_keys.get(&name) {
            return Ok(Some(index));
        }
        let found = self.0.store.get(&tables::STATE_KEYS, &name).await?;
        if let Some(index) = found {
            self.0.state_keys.insert(name, index);
        }
        Ok(found)
    }

    /// As [`Self::state_key`], seeing what the batch adds and giving a new index if need be.
    pub(super) async fn state_key_in(
        &self,
        batch: &mut Batch,
        room: &Room,
        next: &mut StateKeyIndex,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<StateKeyIndex, RoomError> {
        if let Some(index) = self.pending_state_key(batch, room, kind, state_key).await? {
            return Ok(index);
        }
        let index = *next;
        *next += 1;
        let name = (room.number, kind.to_string(), state_key.to_owned());
        batch.put(&tables::STATE_KEYS, &name, &index);
        Ok(index)
    }

    /// The index of a state key, also of one that the batch is about to add.
    pub(super) async fn pending_state_key(
        &self,
        batch: &Batch,
        room: &Room,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<StateKeyIndex>, RoomError> {
        let name = (room.number, kind.to_string(), state_key.to_owned());
        match batch.pending(&tables::STATE_KEYS, &name) {
            Some(pending) => Ok(pending),
            None => self.state_key(room, kind, state_key).await,
        }
    }

    /// The state event's index in a snapshot that the batch may be about to write.
    pub(super) async fn pending_state(
        &self,
        batch: &Batch,
        room: &Room,
        snapshot: SnapshotId,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<EventIndex>, RoomError> {
        let Some(key) = self.pending_state_key(batch, room, kind, state_key).await? else {
            return Ok(None);
        };
        Ok(self.0.snapshots.get_in(batch, room.number, snapshot, key).await?)
    }
}
