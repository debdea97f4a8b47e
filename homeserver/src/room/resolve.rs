//! What is the room's state where servers wrote at the same time?
//!
//! [Spec](https://spec.matrix.org/latest/rooms/v12/#state-resolution). The algorithm is that of
//! `ruma::state_res`; here it is given as little as gives the same answer: the keys in which the states
//! differ, and of the others only those that the auth rules look at.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use kith_store::{
    Batch,
    tables::{self, EventIndex, SnapshotId, StateKeyIndex},
};
use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    room_version_rules::StateResolutionVersion,
    state_res::{StateMap, auth_types_for_event, resolve, utils::event_id_set::EventIdSet},
};

use super::{
    Room, RoomError, Rooms,
    auth_chain::{self, AuthEvents, AuthGraph, MOST_STATES, StateSet},
    event::Event,
};

/// Where a resolution writes the nodes of its result.
pub(super) struct Resolving<'a> {
    pub batch: &'a mut Batch,
    /// The next free index of a state key.
    pub next: &'a mut StateKeyIndex,
    /// An event that is in one of the states and not stored yet.
    pub newest: Option<&'a Arc<Event>>,
}

/// How often the algorithm is run anew because it asked for an event that was not at hand. Each time
/// it gets at least one step further down the auth chains.
const ROUNDS: usize = 1_000;

/// One key's event in each state, in the order of the states.
type Conflict = Vec<Option<EventIndex>>;

impl Rooms {
    /// The state that several states make together.
    pub(super) async fn resolve(
        &self,
        room: &Room,
        resolving: Resolving<'_>,
        states: &[SnapshotId],
    ) -> Result<SnapshotId, RoomError> {
        let mut states = states.to_vec();
        states.sort_unstable();
        states.dedup();
        states.truncate(MOST_STATES);
        let Some(base) = states.first().copied() else { return Ok(0) };
        if states.len() == 1 {
            return Ok(base);
        }
        let Resolving { batch, next, newest } = resolving;
        let conflicts = self.conflicts(batch, room, &states).await?;
        let graph = Graph { rooms: self, room, newest };
        let mut owners: BTreeMap<EventIndex, StateSet> = BTreeMap::new();
        for conflict in conflicts.values() {
            for (n, index) in conflict.iter().enumerate() {
                if let Some(index) = index {
                    *owners.entry(*index).or_default() |= 1 << n;
                }
            }
        }
        let all = StateSet::MAX >> (MOST_STATES - states.len());
        let agreed = async {
            let whole = self.snapshots().difference_in(batch, room.number, 0, base).await?;
            let agreed = whole.into_iter().filter(|entry| !conflicts.contains_key(&entry.key));
            Ok(agreed.filter_map(|entry| entry.to).collect())
        };
        let difference = auth_chain::difference(&graph, &owners, all, agreed).await?;
        let conflicted: BTreeSet<EventIndex> = owners.keys().copied().collect();
        let rules = match &room.rules.state_res {
            StateResolutionVersion::V2(rules) => rules,
            // Room version 1 is not supported: no room of it is here.
            _ => return Ok(base),
        };
        let subgraph = match rules.consider_conflicted_state_subgraph {
            true => auth_chain::subgraph(&graph, &conflicted).await?,
            false => BTreeSet::new(),
        };
        let mut known = Known::default();
        for index in conflicted.iter().chain(&difference).chain(&subgraph) {
            known.add(graph.event(*index).await?);
        }
        let names = self.names(&graph, &conflicts).await?;
        let agreed = self.agreed(batch, room, base, &known, &names).await?;
        for event in agreed.values() {
            known.add(Arc::clone(event));
        }
        let id_of = |index: &EventIndex| known.by_index.get(index).map(|event| &event.event_id);
        let ids = |indices: &BTreeSet<EventIndex>| -> EventIdSet<OwnedEventId> {
            indices.iter().filter_map(id_of).cloned().collect()
        };
        let mut maps: Vec<StateMap<OwnedEventId>> = Vec::with_capacity(states.len());
        for n in 0..states.len() {
            let mut map: StateMap<OwnedEventId> =
                agreed.iter().map(|(key, event)| (key.clone(), event.event_id.clone())).collect();
            for (key, conflict) in &conflicts {
                if let Some(event_id) = conflict[n].as_ref().and_then(id_of) {
                    map.insert(names[key].clone(), event_id.clone());
                }
            }
            maps.push(map);
        }
        let (difference, subgraph) = (ids(&difference), ids(&subgraph));
        let mut absent: HashSet<OwnedEventId> = HashSet::new();
        for _ in 0..ROUNDS {
            let missed: RefCell<HashSet<OwnedEventId>> = RefCell::default();
            let fetch = |event_id: &EventId| {
                let found = known.by_id.get(event_id).cloned();
                if found.is_none() && !absent.contains(event_id) {
                    missed.borrow_mut().insert(event_id.to_owned());
                }
                found
            };
            let result = resolve(
                &room.rules.authorization,
                rules,
                maps.iter(),
                // Of which the second has nothing: the difference of both is the first.
                vec![difference.clone(), EventIdSet::new()],
                fetch,
                |_| Some(subgraph.clone()),
            );
            let missed = missed.into_inner();
            if missed.is_empty() {
                let mut resolved = result.map_err(|error| {
                    RoomError::Unresolvable(room.room_id.clone(), error.to_string())
                })?;
                resolved.retain(|name, _| !agreed.contains_key(name));
                let lost = |(key, conflict): &(&StateKeyIndex, &Conflict)| {
                    let stays = names.get(key).is_some_and(|name| resolved.contains_key(name));
                    conflict[0].is_some() && !stays
                };
                let lost = conflicts.iter().filter(lost).map(|(key, _)| *key).collect();
                let writing = Resolving { batch, next, newest };
                return self.write(room, writing, base, &lost, resolved).await;
            }
            for event_id in missed {
                self.learn(room, &mut known, &mut absent, event_id).await?;
            }
        }
        let reason = "its auth chains are too long".to_owned();
        Err(RoomError::Unresolvable(room.room_id.clone(), reason))
    }

    /// The keys in which the states are not all the same.
    async fn conflicts(
        &self,
        batch: &Batch,
        room: &Room,
        states: &[SnapshotId],
    ) -> Result<BTreeMap<StateKeyIndex, Conflict>, RoomError> {
        let mut conflicts: BTreeMap<StateKeyIndex, Conflict> = BTreeMap::new();
        for (n, state) in states.iter().enumerate().skip(1) {
            let found =
                self.snapshots().difference_in(batch, room.number, states[0], *state).await?;
            for difference in found {
                let conflict = conflicts
                    .entry(difference.key)
                    .or_insert_with(|| vec![difference.from; states.len()]);
                conflict[n] = difference.to;
            }
        }
        Ok(conflicts)
    }

    /// Type and state key of each conflict.
    async fn names(
        &self,
        graph: &Graph<'_>,
        conflicts: &BTreeMap<StateKeyIndex, Conflict>,
    ) -> Result<BTreeMap<StateKeyIndex, (StateEventType, String)>, RoomError> {
        let mut names = BTreeMap::new();
        for (key, conflict) in conflicts {
            if let Some(index) = conflict.iter().flatten().next() {
                names.insert(*key, name(&*graph.event(*index).await?));
            }
        }
        Ok(names)
    }

    /// What the states agree in, as far as the auth rules look at it for the events at hand.
    async fn agreed(
        &self,
        batch: &Batch,
        room: &Room,
        base: SnapshotId,
        known: &Known,
        conflicted: &BTreeMap<StateKeyIndex, (StateEventType, String)>,
    ) -> Result<HashMap<(StateEventType, String), Arc<Event>>, RoomError> {
        let rules = &room.rules.authorization;
        let mut wanted = HashSet::from([(StateEventType::RoomCreate, String::new())]);
        for event in known.by_index.values() {
            let state_key = event.state_key.as_deref();
            let types =
                auth_types_for_event(&event.kind, &event.sender, state_key, &event.content, rules);
            wanted.extend(types.unwrap_or_default());
            // Or an event that is no part of the conflict would be put in place of one that is agreed.
            wanted.insert(name(event));
        }
        for name in conflicted.values() {
            wanted.remove(name);
        }
        let mut agreed = HashMap::new();
        for key in wanted {
            let index = self.pending_state(batch, room, base, &key.0, &key.1).await?;
            if let Some(index) = index {
                agreed.insert(key, self.event(room, index).await?);
            }
        }
        Ok(agreed)
    }

    /// Reads an event that the algorithm asked for, and if it is about power all that it stands on of
    /// that kind, which the algorithm will ask for next.
    async fn learn(
        &self,
        room: &Room,
        known: &mut Known,
        absent: &mut HashSet<OwnedEventId>,
        event_id: OwnedEventId,
    ) -> Result<(), RoomError> {
        let mut left = vec![event_id];
        while let Some(event_id) = left.pop() {
            if known.by_id.contains_key(&event_id) || absent.contains(&event_id) {
                continue;
            }
            let Some(event) = self.stored_event(room, &event_id).await? else {
                absent.insert(event_id);
                continue;
            };
            if event.kind == ruma::events::TimelineEventType::RoomPowerLevels {
                left.extend(event.auth_events.iter().cloned());
            }
            known.add(event);
        }
        Ok(())
    }

    /// `base` without the keys that it has lost, and with what was resolved.
    async fn write(
        &self,
        room: &Room,
        resolving: Resolving<'_>,
        base: SnapshotId,
        lost: &BTreeSet<StateKeyIndex>,
        resolved: StateMap<OwnedEventId>,
    ) -> Result<SnapshotId, RoomError> {
        let Resolving { batch, next, newest } = resolving;
        let mut snapshot = base;
        if !lost.is_empty() {
            let whole = self.snapshots().difference_in(batch, room.number, 0, base).await?;
            let kept = whole.into_iter().filter(|entry| !lost.contains(&entry.key));
            let kept: Vec<_> = kept.filter_map(|entry| Some((entry.key, entry.to?))).collect();
            snapshot = self.snapshots().from_entries(batch, room.number, kept).await?;
        }
        for ((kind, state_key), event_id) in resolved {
            let index = match newest.filter(|newest| newest.event_id == event_id) {
                Some(newest) => newest.index(),
                None => match self.stored_event(room, &event_id).await? {
                    Some(event) => event.index(),
                    None => continue,
                },
            };
            let key = self.state_key_in(batch, room, next, &kind, &state_key).await?;
            snapshot = self.snapshots().insert(batch, room.number, snapshot, key, index).await?;
        }
        Ok(snapshot)
    }
}

impl Rooms {
    /// Everything that these events stand on, however far down, without themselves unless others of
    /// them stand on them. The oldest first.
    pub async fn auth_chain(
        &self,
        room: &Room,
        events: impl IntoIterator<Item = EventIndex>,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let graph = Graph { rooms: self, room, newest: None };
        let mut chain = BTreeSet::new();
        let mut left = Vec::from_iter(events);
        while let Some(index) = left.pop() {
            for below in graph.auth_events(index).await?.iter() {
                if chain.insert(*below) {
                    left.push(*below);
                }
            }
        }
        let mut events = Vec::with_capacity(chain.len());
        for index in chain {
            events.push(self.event(room, index).await?);
        }
        Ok(events)
    }
}

/// A room's events. `newest` is not stored yet.
struct Graph<'a> {
    rooms: &'a Rooms,
    room: &'a Room,
    newest: Option<&'a Arc<Event>>,
}

impl Graph<'_> {
    async fn event(&self, index: EventIndex) -> Result<Arc<Event>, RoomError> {
        match self.newest.filter(|newest| newest.index() == index) {
            Some(newest) => Ok(Arc::clone(newest)),
            None => self.rooms.event(self.room, index).await,
        }
    }
}

impl AuthGraph for Graph<'_> {
    type Error = RoomError;

    async fn auth_events(&self, index: EventIndex) -> Result<AuthEvents, RoomError> {
        let key = (self.room.number, index);
        if let Some(known) = self.rooms.0.auth_edges.get(&key) {
            return Ok(known);
        }
        let event = self.event(index).await?;
        let mut found = Vec::with_capacity(event.auth_events.len());
        for event_id in &event.auth_events {
            let place = self.rooms.store().get(&tables::EVENT_IDS, event_id).await?;
            found.extend(place.filter(|(room, auth)| *room == self.room.number && *auth < index));
        }
        let found: AuthEvents = found.into_iter().map(|(_, index)| index).collect();
        if self.newest.is_none_or(|newest| newest.index() != index) {
            self.rooms.0.auth_edges.insert(key, Arc::clone(&found));
        }
        Ok(found)
    }
}

/// Events at hand.
#[derive(Default)]
struct Known {
    by_index: BTreeMap<EventIndex, Arc<Event>>,
    by_id: HashMap<OwnedEventId, Arc<Event>>,
}

impl Known {
    fn add(&mut self, event: Arc<Event>) {
        self.by_id.insert(event.event_id.clone(), Arc::clone(&event));
        self.by_index.insert(event.index(), event);
    }
}

fn name(event: &Event) -> (StateEventType, String) {
    (event.kind.to_string().into(), event.state_key.clone().unwrap_or_default())
}
