//! What came before these events? Answers to servers that fill gaps.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#backfilling-and-retrieving-missing-events)

use std::{
    collections::{BinaryHeap, HashSet, VecDeque},
    sync::Arc,
};

use kith_store::tables::Verdict;
use ruma::{OwnedEventId, events::StateEventType};

use super::{RoomError, event::Event, server_view::ServerView};

/// How many events one answer holds at most.
pub const MOST_BACKFILLED: usize = 100;
pub const MOST_MISSING: usize = 50;
/// How many events are looked at for one answer.
const LOOKED_AT: usize = 2_000;
/// How many events a request may name.
pub const MOST_NAMED: usize = 100;

/// What is asked of [`ServerView::missing`].
#[derive(Debug)]
pub struct Gap {
    /// The server has these.
    pub earliest: Vec<OwnedEventId>,
    /// It has these too, but not all that came before.
    pub latest: Vec<OwnedEventId>,
    pub limit: usize,
    pub least_depth: u64,
}

/// By depth; then the one that came later.
struct Deepest(Arc<Event>);

impl Deepest {
    fn key(&self) -> (u64, u32) {
        (self.0.depth, self.0.index())
    }
}

impl Ord for Deepest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Deepest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Deepest {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Deepest {}

impl ServerView<'_> {
    /// These events and those before them, the deepest first.
    pub async fn backfill(
        &self,
        from: &[OwnedEventId],
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let limit = limit.min(MOST_BACKFILLED);
        let (mut found, mut waiting) = (Vec::new(), BinaryHeap::new());
        let mut known: HashSet<OwnedEventId> = HashSet::new();
        let mut next: Vec<OwnedEventId> = from.iter().take(MOST_NAMED).cloned().collect();
        for _ in 0..LOOKED_AT {
            for event_id in next.drain(..) {
                if known.insert(event_id.clone())
                    && let Some(event) = self.in_graph(&event_id).await?
                {
                    waiting.push(Deepest(event));
                }
            }
            let Some(Deepest(event)) = waiting.pop() else { break };
            if found.len() == limit {
                break;
            }
            next.extend(event.prev_events.iter().cloned());
            if event.standing.verdict == Verdict::Accepted {
                found.push(event);
            }
        }
        Ok(found)
    }

    /// The events between, breadth first from the latest; the oldest come first in the answer.
    pub async fn missing(&self, gap: &Gap) -> Result<Vec<Arc<Event>>, RoomError> {
        let limit = gap.limit.min(MOST_MISSING);
        let mut known: HashSet<OwnedEventId> = gap.earliest.iter().cloned().collect();
        let mut waiting: VecDeque<OwnedEventId> = VecDeque::new();
        for event_id in gap.latest.iter().take(MOST_NAMED) {
            if known.insert(event_id.clone())
                && let Some(event) = self.in_graph(event_id).await?
            {
                waiting.extend(event.prev_events.iter().cloned());
            }
        }
        let mut found = Vec::new();
        for _ in 0..LOOKED_AT {
            let Some(event_id) = waiting.pop_front() else { break };
            if found.len() == limit {
                break;
            }
            if !known.insert(event_id.clone()) {
                continue;
            }
            let Some(event) = self.in_graph(&event_id).await? else { continue };
            if event.depth < gap.least_depth {
                continue;
            }
            waiting.extend(event.prev_events.iter().cloned());
            if event.standing.verdict == Verdict::Accepted {
                found.push(event);
            }
        }
        found.reverse();
        Ok(found)
    }

    /// An event of the room that has its place in the graph; of those that were soft-failed only the way
    /// through them is of use.
    async fn in_graph(&self, event_id: &OwnedEventId) -> Result<Option<Arc<Event>>, RoomError> {
        let event = self.rooms().stored_event(&self.room, event_id).await?;
        Ok(event.filter(|event| {
            matches!(event.standing.verdict, Verdict::Accepted | Verdict::SoftFailed)
        }))
    }

    /// The state before an event, in the order in which its keys first appeared.
    pub async fn state_before(&self, event: &Event) -> Result<Vec<Arc<Event>>, RoomError> {
        self.rooms().check_members_known(&self.room)?;
        self.rooms().full_state(&self.room, event.standing.state_before).await
    }

    /// All events on which these rest, however far down, without those that nothing of these rests on.
    pub async fn auth_chain(&self, of: &[Arc<Event>]) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut known = HashSet::new();
        let mut chain = Vec::new();
        let mut waiting: Vec<Arc<Event>> = of.to_vec();
        // The create event is not named where it names the room, and everything rests on it.
        if self.room.rules.authorization.room_create_event_id_as_room_id {
            let create = StateEventType::RoomCreate;
            let create = self.rooms().current_state_event(&self.room, &create, "").await?;
            let rests = |create: &Arc<Event>| of.iter().any(|event| !Arc::ptr_eq(event, create));
            if let Some(create) = create.filter(rests) {
                known.insert(create.event_id.clone());
                chain.push(create);
            }
        }
        while let Some(event) = waiting.pop() {
            for event_id in &event.auth_events {
                if known.insert(event_id.clone())
                    && let Some(event) = self.rooms().stored_event(&self.room, event_id).await?
                {
                    chain.push(Arc::clone(&event));
                    waiting.push(event);
                }
            }
        }
        Ok(chain)
    }
}
