//! Which events does an event stand on? Walks through the graph of auth events.
//!
//! An event is stored only when all its auth events are: their indices are smaller than its own. So a
//! walk that takes the greatest index first meets every event after all that stand on it, visits each
//! event once, however the graph branches, and stops where all that is below is the same for all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kith_store::tables::EventIndex;

#[cfg(test)]
mod tests;

/// As many states are compared at once as fit into one number.
pub(super) type StateSet = u128;
pub(super) const MOST_STATES: usize = StateSet::BITS as usize;

/// The auth events of one event.
pub(super) type AuthEvents = Arc<[EventIndex]>;

/// Where the walks find their way.
pub(super) trait AuthGraph: Sync {
    type Error: Send;

    fn auth_events(
        &self,
        index: EventIndex,
    ) -> impl Future<Output = Result<AuthEvents, Self::Error>> + Send;
}

/// The events that are in the auth chains of some of the states and not of all. `conflicted` are the
/// events in which the states differ, each with the states that have it; `agreed` gives the events that
/// are in all of them, and is asked only if there is any difference.
pub(super) async fn difference<G: AuthGraph>(
    graph: &G,
    conflicted: &BTreeMap<EventIndex, StateSet>,
    all: StateSet,
    agreed: impl Future<Output = Result<Vec<EventIndex>, G::Error>> + Send,
) -> Result<BTreeSet<EventIndex>, G::Error> {
    let found = reached_by_some(graph, conflicted, &[], all).await?;
    let Some(least) = found.first().copied() else { return Ok(found) };
    // What the agreed events stand on is in the chain of every state.
    let mut agreed = agreed.await?;
    agreed.retain(|index| *index > least);
    reached_by_some(graph, conflicted, &agreed, all).await
}

async fn reached_by_some<G: AuthGraph>(
    graph: &G,
    conflicted: &BTreeMap<EventIndex, StateSet>,
    agreed: &[EventIndex],
    all: StateSet,
) -> Result<BTreeSet<EventIndex>, G::Error> {
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
        for auth_event in graph.auth_events(index).await?.iter() {
            left.mark(*auth_event, |below| below.chain |= reached.chain | reached.itself);
        }
    }
    Ok(found)
}

/// The conflicted events and those on the ways between them, of room version 12.
/// [Spec](https://spec.matrix.org/latest/rooms/v12/#state-resolution)
pub(super) async fn subgraph<G: AuthGraph>(
    graph: &G,
    conflicted: &BTreeSet<EventIndex>,
) -> Result<BTreeSet<EventIndex>, G::Error> {
    let Some(least) = conflicted.first().copied() else { return Ok(BTreeSet::new()) };
    let mut left = conflicted.clone();
    let mut walked: BTreeMap<EventIndex, AuthEvents> = BTreeMap::new();
    while let Some(index) = left.pop_last() {
        let auth_events = graph.auth_events(index).await?;
        left.extend(auth_events.iter().filter(|auth_event| **auth_event >= least));
        walked.insert(index, auth_events);
    }
    let mut between = BTreeSet::new();
    // The smallest first: its auth events are judged before it.
    for (index, auth_events) in walked {
        let leads_back = auth_events.iter().any(|auth_event| between.contains(auth_event));
        if conflicted.contains(&index) || leads_back {
            between.insert(index);
        }
    }
    Ok(between)
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
