//! What is about now: of everything that is said of one thing only the newest is worth sending.

use std::collections::BTreeMap;

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId,
    api::federation::transactions::edu::{
        Edu, PresenceContent, PresenceUpdate, ReceiptContent, ReceiptData, ReceiptMap,
        TypingContent,
    },
    events::receipt::Receipt,
};

/// How many of each kind wait; of more, the first to come is dropped.
const MOST: usize = 1_000;
/// How many users one EDU with presence tells of.
const PRESENCES: usize = 100;
/// How many receipts one EDU carries.
const RECEIPTS: usize = 200;

/// Something that is about now.
#[derive(Debug, Clone)]
pub enum Volatile {
    Typing { room_id: OwnedRoomId, user_id: OwnedUserId, typing: bool },
    Presence(PresenceUpdate),
    Receipt(ReceiptUpdate),
}

/// How far a user has read.
#[derive(Debug, Clone)]
pub struct ReceiptUpdate {
    /// As that of a [`super::Pdu`].
    pub position: u64,
    pub room_id: OwnedRoomId,
    pub user_id: OwnedUserId,
    pub event_id: OwnedEventId,
    pub receipt: Receipt,
}

/// Room, user, thread.
type ReceiptKey = (OwnedRoomId, OwnedUserId, String);

/// What waits, newest of each.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    typing: BTreeMap<(OwnedRoomId, OwnedUserId), bool>,
    presence: BTreeMap<OwnedUserId, PresenceUpdate>,
    receipts: BTreeMap<ReceiptKey, ReceiptUpdate>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.typing.is_empty() && self.presence.is_empty() && self.receipts.is_empty()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.receipts.values().map(|update| update.position).min()
    }

    pub(super) fn add(&mut self, volatile: Volatile) {
        match volatile {
            Volatile::Typing { room_id, user_id, typing } => {
                put(&mut self.typing, (room_id, user_id), typing);
            }
            Volatile::Presence(update) => {
                put(&mut self.presence, update.user_id.clone(), update);
            }
            Volatile::Receipt(update) => put(&mut self.receipts, key(&update), update),
        }
    }

    /// Takes what fits into this many EDUs. Answers what was taken, and as EDUs.
    pub(super) fn take(&mut self, most: usize) -> (Self, Vec<Edu>) {
        let mut taken = Self::default();
        let mut edus = Vec::new();
        if !self.presence.is_empty() && edus.len() < most {
            taken.presence = first(&mut self.presence, PRESENCES);
            let push = taken.presence.values().cloned().collect();
            edus.push(Edu::Presence(PresenceContent::new(push)));
        }
        while !self.receipts.is_empty() && edus.len() < most.div_ceil(2) {
            let receipts = first(&mut self.receipts, RECEIPTS);
            let (content, others) = merge(receipts.values());
            // Another thread of the same user: the next EDU has room for it.
            for other in others {
                self.receipts.insert(key(&other), other);
            }
            let sent = receipts.into_iter().filter(|(key, _)| !self.receipts.contains_key(key));
            taken.receipts.extend(sent);
            edus.push(Edu::Receipt(content));
        }
        taken.typing = first(&mut self.typing, most.saturating_sub(edus.len()));
        for ((room_id, user_id), typing) in &taken.typing {
            let content = TypingContent::new(room_id.clone(), user_id.clone(), *typing);
            edus.push(Edu::Typing(content));
        }
        (taken, edus)
    }

    /// What did not arrive waits again, but for what is newer by now. Who typed is not worth a delay.
    pub(super) fn put_back(&mut self, taken: Self) {
        for (user_id, update) in taken.presence {
            self.presence.entry(user_id).or_insert(update);
        }
        for (key, update) in taken.receipts {
            self.receipts.entry(key).or_insert(update);
        }
        self.typing.clear();
    }
}

fn key(update: &ReceiptUpdate) -> ReceiptKey {
    let thread = update.receipt.thread.as_str().unwrap_or_default().to_owned();
    (update.room_id.clone(), update.user_id.clone(), thread)
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    map.insert(key, value);
    if map.len() > MOST {
        map.pop_first();
    }
}

fn first<K: Ord, V>(map: &mut BTreeMap<K, V>, most: usize) -> BTreeMap<K, V> {
    let mut taken = BTreeMap::new();
    while taken.len() < most
        && let Some((key, value)) = map.pop_first()
    {
        taken.insert(key, value);
    }
    taken
}

/// As many receipts as one EDU can carry, which names each user of a room once.
fn merge<'a>(
    updates: impl Iterator<Item = &'a ReceiptUpdate>,
) -> (ReceiptContent, Vec<ReceiptUpdate>) {
    let mut content = ReceiptContent::new(BTreeMap::new());
    let mut others = Vec::new();
    for update in updates {
        let room = content.receipts.entry(update.room_id.clone());
        let room = room.or_insert_with(|| ReceiptMap::new(BTreeMap::new()));
        if room.read.contains_key(&update.user_id) {
            others.push(update.clone());
            continue;
        }
        let data = ReceiptData::new(update.receipt.clone(), vec![update.event_id.clone()]);
        room.read.insert(update.user_id.clone(), data);
    }
    (content, others)
}
