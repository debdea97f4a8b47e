//! What does a client have, as far as it is certain?
//!
//! An answer counts as received when the client asks with its `pos`. Until then the connection keeps
//! what the client had before ([`Received`]) and what the answer adds to it ([`Step`]), so that the
//! same request can be repeated. A step is as large as what changed, never as large as the account.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use kith_store::{
    StreamPosition,
    tables::{EventIndex, RoomNumber, SnapshotId},
};
use ruma::OwnedRoomId;

use super::{
    lists::ListRooms,
    required_state::RequiredState,
    rules::{Rules, Subscribed},
};
use crate::{push::unread::Count, sync::SyncToken};

/// One client's sequence of requests.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Which of all connections that ever were: a `pos` of another one is not taken for ours.
    pub id: u64,
    /// The number of the newest answer.
    issued: u64,
    pub received: Received,
    /// What the newest answer adds, should the client have got it.
    pub step: Option<Step>,
    /// The rooms of each list, as of the newest request.
    pub lists: BTreeMap<String, ListRooms>,
    pub subscribed: Subscribed,
    /// The rooms that are direct messages, and the position of the account data that says so.
    pub direct: (StreamPosition, Arc<HashSet<OwnedRoomId>>),
}

/// What the client has.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The number of the answer that brought it here; 0 for one who has nothing.
    pub answer: u64,
    pub token: SyncToken,
    pub rooms: HashMap<RoomNumber, SentRoom>,
    /// Rooms of the user that were never sent, or have news that were not.
    pub behind: HashSet<RoomNumber>,
    pub rules: Option<Arc<Rules>>,
    pub globals: Globals,
    pub counts: BTreeMap<String, usize>,
}

/// What one answer adds to it.
#[derive(Debug)]
pub(super) struct Step {
    pub answer: u64,
    pub token: SyncToken,
    pub rooms: HashMap<RoomNumber, SentRoom>,
    /// Rooms with news that are not among those sent.
    pub behind: HashSet<RoomNumber>,
    pub rules: Arc<Rules>,
    pub globals: Globals,
    pub counts: BTreeMap<String, usize>,
}

/// How far extensions got that are about no room.
#[derive(Debug, Clone, Default)]
pub(super) struct Globals {
    /// Global account data was sent up to here.
    pub account_data: Option<StreamPosition>,
    /// The user's threads were told up to here.
    pub threads: Option<StreamPosition>,
}

/// What the client has of a room.
#[derive(Debug, Clone)]
pub(super) struct SentRoom {
    pub shown: Shown,
    /// Its timeline and its state.
    pub upto: StreamPosition,
    /// The state that it was told of, as far as it wanted it.
    pub snapshot: SnapshotId,
    pub required: Arc<RequiredState>,
    /// How many of the newest events it has for certain.
    pub timeline: usize,
    /// It has every event that it may see.
    pub from_the_start: bool,
    /// Member events that were sent because the timeline needed them.
    pub members: Vec<EventIndex>,
    pub is_dm: bool,
    pub unread: Count,
    pub bump_stamp: StreamPosition,
    /// Joined and invited members.
    pub members_count: (u32, u32),
    /// How far each extension got, if it was asked for.
    pub receipts: Option<StreamPosition>,
    pub account_data: Option<StreamPosition>,
    pub typing: Option<u64>,
}

/// As what the client was shown the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Joined,
    /// By its stripped state: an invite or a knock.
    Outside,
    /// As the user left it.
    Left,
}

impl Connection {
    pub(super) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// Takes the step that the client's `pos` confirms, or forgets one that it never got. `false` if
    /// the `pos` is neither of the last two.
    pub(super) fn acknowledge(&mut self, answer: u64) -> bool {
        match self.step.take() {
            Some(step) if step.answer == answer => self.received.take(step),
            step if self.received.answer == answer => drop(step),
            step => {
                self.step = step;
                return false;
            }
        }
        true
    }

    /// The number of the next answer; higher than that of any before, also of those that are forgotten.
    pub(super) fn next_answer(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// About how many bytes the connection takes.
    pub(super) fn weight(&self) -> usize {
        let rooms =
            self.received.rooms.len() + self.step.as_ref().map_or(0, |step| step.rooms.len());
        let listed: usize = self.lists.values().map(|list| list.order.len()).sum();
        let behind = self.received.behind.len();
        1_000 + rooms * (size_of::<SentRoom>() + 40) + listed * 48 + behind * 8
    }
}

impl Received {
    fn take(&mut self, step: Step) {
        self.behind.extend(step.behind);
        for room in step.rooms.keys() {
            self.behind.remove(room);
        }
        self.rooms.extend(step.rooms);
        self.answer = step.answer;
        self.token = step.token;
        self.rules = Some(step.rules);
        self.globals = step.globals;
        self.counts = step.counts;
    }
}
