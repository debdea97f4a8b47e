//! How many events has a user not read, and how many of them call for attention?
//!
//! Counted when somebody asks, never when an event is sent: what was counted is remembered, and only
//! newer events are looked at.

use std::{collections::BTreeMap, sync::Arc};

use kith_store::{
    StreamPosition,
    tables::{MemberRow, ReceiptsRow, RoomNumber},
};
use quick_cache::sync::Cache;
use ruma::{
    OwnedUserId, UserId,
    push::{
        Action, HighlightTweakValue, PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset,
        Tweak,
    },
};

use super::rules::PushRules;
use crate::{
    receipts::Receipts,
    room::{Room, RoomError, Rooms, event::Event},
};

/// How many (room, user) counts are remembered.
const REMEMBERED: usize = 50_000;
/// No more events than this are looked at: a larger number says no more to anybody.
const LOOKED_AT: usize = 1_000;
/// What is not in a thread.
pub const MAIN: &str = "main";

/// Unread counts of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Unread {
    rooms: Rooms,
    receipts: Receipts,
    rules: PushRules,
    known: Arc<Cache<(RoomNumber, OwnedUserId), Arc<Counted>>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub notifications: u64,
    pub highlights: u64,
}

/// Counts by thread; [`MAIN`] is the room outside threads.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub threads: BTreeMap<String, Count>,
}

impl Counts {
    pub fn main(&self) -> Count {
        self.threads.get(MAIN).copied().unwrap_or_default()
    }

    pub fn total(&self) -> Count {
        self.threads.values().fold(Count::default(), |sum, count| Count {
            notifications: sum.notifications + count.notifications,
            highlights: sum.highlights + count.highlights,
        })
    }
}

struct Counted {
    upto: StreamPosition,
    receipts: Arc<ReceiptsRow>,
    rules: Arc<Ruleset>,
    counts: Counts,
}

impl Unread {
    pub fn new(rooms: Rooms, receipts: Receipts, rules: PushRules) -> Self {
        Self { rooms, receipts, rules, known: Arc::new(crate::cache::of_at_most(REMEMBERED)) }
    }

    /// What a joined user has not read, as of a stream position.
    pub async fn counts(
        &self,
        room: &Room,
        user_id: &UserId,
        member: &MemberRow,
        upto: StreamPosition,
    ) -> Result<Counts, RoomError> {
        let receipts = self.receipts.get(room.number, user_id).await?;
        let rules = self.rules.get(user_id).await?;
        let key = (room.number, user_id.to_owned());
        let known = self.known.get(&key).filter(|known| {
            Arc::ptr_eq(&known.receipts, &receipts) && Arc::ptr_eq(&known.rules, &rules)
        });
        let joined = member.joined_at.unwrap_or(0).cast_signed();
        let read = Receipts::read_up_to(&receipts, None).max(joined);
        let (from, mut counts) = match known {
            Some(known) if known.upto >= upto => return Ok(known.counts.clone()),
            Some(known) => (known.upto.cast_signed(), known.counts.clone()),
            None => (read, Counts::default()),
        };
        let before = upto.cast_signed() + 1;
        let mut unread = Vec::new();
        for (_, index) in self.rooms.newest_between(room, from, before, LOOKED_AT).await? {
            unread.push(self.rooms.event(room, index).await?);
        }
        if !unread.is_empty() {
            let context = self.context(room, user_id, member).await?;
            for event in &unread {
                count(event, &receipts, &rules, &context, &mut counts).await;
            }
        }
        let counted = Counted { upto, receipts, rules, counts: counts.clone() };
        self.known.insert(key, Arc::new(counted));
        Ok(counts)
    }

    /// What the conditions of push rules look at beside the event.
    async fn context(
        &self,
        room: &Room,
        user_id: &UserId,
        member: &MemberRow,
    ) -> Result<PushConditionRoomCtx, RoomError> {
        let power_levels = self.rooms.power_levels(room).await?;
        let power_levels = PushConditionPowerLevelsCtx::new(
            power_levels.users.clone(),
            power_levels.users_default,
            power_levels.notifications.clone(),
            power_levels.rules.clone(),
        );
        let name = member.display_name.clone();
        Ok(PushConditionRoomCtx::new(
            room.room_id.clone(),
            room.head().joined.into(),
            user_id.to_owned(),
            name.unwrap_or_else(|| user_id.localpart().to_owned()),
        )
        .with_power_levels(power_levels))
    }
}

async fn count(
    event: &Event,
    receipts: &ReceiptsRow,
    rules: &Ruleset,
    context: &PushConditionRoomCtx,
    counts: &mut Counts,
) {
    if event.sender == context.user_id || event.standing.redacted_by.is_some() {
        return;
    }
    let thread = thread_of(event);
    if event.position().cast_signed() <= Receipts::read_up_to(receipts, Some(&thread)) {
        return;
    }
    for rule in rules.iter() {
        if !rule.applies(event.flattened(), context).await {
            continue;
        }
        let actions = rule.actions();
        if actions.iter().any(|action| matches!(action, Action::Notify)) {
            let count = counts.threads.entry(thread).or_default();
            count.notifications += 1;
            let highlights = |action: &Action| {
                matches!(action, Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes)))
            };
            count.highlights += u64::from(actions.iter().any(highlights));
        }
        return;
    }
}

/// The root of the event's thread, or [`MAIN`].
pub fn thread_of(event: &Event) -> String {
    event.thread_root().map_or_else(|| MAIN.to_owned(), ToString::to_string)
}
