//! Which events does an event stand on? Walks through the graph of auth events.
//!
//! An event is stored only when all its auth events are: their indices are smaller than its own. So a
//! walk that takes the greatest index first meets every event after all that stand on it, visits each
//! event once, however the graph branches, and stops where all that is below is the same for all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kith_store::tables::{self, EventIndex};

use super::{Room, RoomError, Rooms, event::Event};

/// As many states are compared at once as fit into one number.
pub(super) type StateSet = u128;
pub(super) const MOST_STATES: usize = StateSet::BITS as usize;

/// The graph of one room's auth events. `newest` is not stored yet.
pub(super) struct AuthGraph<'a> {
    pub rooms: &'a Rooms,
    pub room: &'a Room,
    pub newest: Option<&'a Arc<Event>>,
}

impl AuthGraph<'_> {
    pub(super) async fn event(&self, index: EventIndex) -> Result<Arc<Event>, RoomError> {
        match self.newest.filter(|newest| newest.index() == index) {
            Some(newest) => Ok(Arc::clone(newest)),
            None => self.rooms.event(self.room, index).await,
        }
    }

    /// The auth events of an event.
    async fn auth_events(&self, index: EventIndex) -> Result<Arc<[EventIndex]>, RoomError> {
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
        let found: Arc<[EventIndex]> = found.into_iter().map(|(_, index)| index).collect();
        if self.newest.is_none_or(|newest| newest.index() != index) {
            self.rooms.0.auth_edges.insert(key, Arc::clone(&found));
        }
        Ok(found)
    }

    /// The events that are in the auth chains of some of the states and not of all. `conflicted` are
    /// the events in which the states differ, each with the states that have it; `agreed` gives the
    /// events that are in all of them, and is asked only if there is any difference.
    pub(super) async fn difference<A>(
        &self,
        conflicted: &BTreeMap<EventIndex, StateSet>,
        all: StateSet,
        agreed: A,
    ) -> Result<BTreeSet<EventIndex>, RoomError>
    where
        A: AsyncFnOnce() -> Result<Vec<EventIndex>, RoomError>,
    {
        let found = self.reached_by_some(conflicted, &[], all).await?;
        if found.is_empty() {
            return Ok(found);
        }
        // What the agreed events stand on is in the chain of every state.
        let least = found.first().copied().unwrap_or_default();
        let mut agreed = agreed().await?;
        agreed.retain(|index| *index > least);
        self.reached_by_some(conflicted, &agreed, all).await
    }

    async fn reached_by_some(
        &self,
        conflicted: &BTreeMap<EventIndex, StateSet>,
        agreed: &[EventIndex],
        all: StateSet,
    ) -> Result<BTreeSet<EventIndex>, RoomError> {
        let mut left = Left { of: BTreeMap::new(), undecided: 0, all };
        for (index, states) in conflicted {
            left.mark(*index, |reached| reached.itself |= states);
        }
        for index in agreed {
            left.mark(*index, |reached| reached.itself |= all);
        }
        let mut found = BTreeSet::new();
        while left.undecided > 0
            && let Some((index, reached)) = left.take_greatest()
        {
            if reached.chain != 0 && reached.chain != all {
                found.insert(index);
            }
            for auth_event in self.auth_events(index).await?.iter() {
                left.mark(*auth_event, |below| below.chain |= reached.chain | reached.itself);
            }
        }
        Ok(found)
    }

    /// The conflicted events and those on the ways between them, of room version 12.
    /// [Spec](https://spec.matrix.org/latest/rooms/v12/#state-resolution)
    pub(super) async fn subgraph(
        &self,
        conflicted: &BTreeSet<EventIndex>,
    ) -> Result<BTreeSet<EventIndex>, RoomError> {
        let Some(least) = conflicted.first().copied() else { return Ok(BTreeSet::new()) };
        let mut left = conflicted.clone();
        let mut edges: BTreeMap<EventIndex, Arc<[EventIndex]>> = BTreeMap::new();
        while let Some(index) = left.pop_last() {
            let auth_events = self.auth_events(index).await?;
            let above = auth_events.iter().filter(|auth_event| **auth_event >= least);
            left.extend(above.filter(|auth_event| !edges.contains_key(auth_event)));
            edges.insert(index, auth_events);
        }
        let mut between = BTreeSet::new();
        // The smallest first: its auth events are judged before it.
        for (index, auth_events) in edges {
            let leads_back = auth_events.iter().any(|auth_event| between.contains(auth_event));
            if conflicted.contains(&index) || leads_back {
                between.insert(index);
            }
        }
        Ok(between)
    }
}

/// Which states an event belongs to.
#[derive(Clone, Copy, Default)]
struct Reached {
    /// Those in whose auth chain it is.
    chain: StateSet,
    /// Those that have it themselves.
    itself: StateSet,
}

impl Reached {
    /// Whether it is, or what it stands on may be, in the chains of some states only.
    fn is_undecided(self, all: StateSet) -> bool {
        self.chain | self.itself != all || (self.chain != 0 && self.chain != all)
    }
}

/// The events that a walk has still to visit.
struct Left {
    of: BTreeMap<EventIndex, Reached>,
    undecided: usize,
    all: StateSet,
}

impl Left {
    fn mark(&mut self, index: EventIndex, change: impl FnOnce(&mut Reached)) {
        let known = self.of.contains_key(&index);
        let reached = self.of.entry(index).or_default();
        let before = known && reached.is_undecided(self.all);
        change(reached);
        let after = reached.is_undecided(self.all);
        self.undecided = self.undecided + usize::from(after) - usize::from(before);
    }

    fn take_greatest(&mut self) -> Option<(EventIndex, Reached)> {
        let (index, reached) = self.of.pop_last()?;
        self.undecided -= usize::from(reached.is_undecided(self.all));
        Some((index, reached))
    }
}
