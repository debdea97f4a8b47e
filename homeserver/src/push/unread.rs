//! How many events has a user not read, and how many of them call for attention?
//!
//! Counted when somebody asks, never when an event is sent: what was counted is remembered, and only
//! newer events are looked at.
//!
//! An event is unread if the user's rules notify of it and no receipt has passed it. Whoever writes
//! into a thread, or into the room outside threads, has read what was there before. What is redacted
//! counts no more.

use std::{collections::BTreeMap, sync::Arc};

use kith_store::{
    StreamPosition,
    tables::{MemberRow, ReceiptsRow, RoomNumber},
};
use quick_cache::sync::Cache;
use ruma::{OwnedUserId, UserId, events::TimelineEventType};

use super::{evaluate::Context, judge::Judge, rules::Attention};
use crate::{
    receipts::Receipts,
    room::{Room, RoomError, event::Event},
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
    judge: Judge,
    receipts: Receipts,
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

/// What was found out about one user and room, and from what.
struct Counted {
    upto: StreamPosition,
    receipts: Arc<ReceiptsRow>,
    attention: Arc<Attention>,
    joined_at: Option<StreamPosition>,
    unread: Vec<UnreadEvent>,
    counts: Arc<Counts>,
}

#[derive(Clone)]
struct UnreadEvent {
    position: i64,
    thread: Arc<str>,
    highlight: bool,
}

impl Unread {
    pub fn new(judge: Judge, receipts: Receipts) -> Self {
        Self { judge, receipts, known: Arc::new(crate::cache::of_at_most(REMEMBERED)) }
    }

    /// What a joined user has not read, as of a stream position.
    pub async fn counts(
        &self,
        room: &Room,
        user_id: &UserId,
        member: &MemberRow,
        upto: StreamPosition,
    ) -> Result<Arc<Counts>, RoomError> {
        Ok(Arc::clone(&self.counted(room, user_id, member, upto).await?.counts))
    }

    /// Whether the event at a position is among what the user has not read.
    pub async fn is_unread(
        &self,
        room: &Room,
        user_id: &UserId,
        member: &MemberRow,
        position: StreamPosition,
        upto: StreamPosition,
    ) -> Result<bool, RoomError> {
        let counted = self.counted(room, user_id, member, upto).await?;
        Ok(counted.unread.iter().any(|event| event.position == position.cast_signed()))
    }

    async fn counted(
        &self,
        room: &Room,
        user_id: &UserId,
        member: &MemberRow,
        upto: StreamPosition,
    ) -> Result<Arc<Counted>, RoomError> {
        let receipts = self.receipts.get(room.number, user_id).await?;
        let attention = self.judge.rules().attention(user_id).await?;
        let key = (room.number, user_id.to_owned());
        let known = self.known.get(&key).filter(|known| {
            Arc::ptr_eq(&known.attention, &attention) && known.joined_at == member.joined_at
        });
        let (from, mut unread) = match &known {
            Some(known) => {
                let receipts_moved = !Arc::ptr_eq(&known.receipts, &receipts);
                if known.upto >= upto && !receipts_moved {
                    return Ok(Arc::clone(known));
                }
                (known.upto, known.unread.clone())
            }
            None => {
                let read = u64::try_from(Receipts::read_up_to(&receipts, None)).unwrap_or(0);
                (read.max(member.joined_at.unwrap_or(0)), Vec::new())
            }
        };
        let new = self.between(room, from, upto).await?;
        if !new.is_empty() {
            let name = member.display_name.as_deref();
            let mut context = self.judge.context(room, user_id, name).await?;
            for event in &new {
                self.add(room, event, &attention, &mut context, &mut unread).await?;
            }
        }
        let read = Receipts::read_up_to(&receipts, None);
        unread.retain(|event| {
            event.position > read.max(Receipts::read_up_to(&receipts, Some(&event.thread)))
        });
        let counted = Arc::new(Counted {
            upto: upto.max(from),
            receipts,
            attention,
            joined_at: member.joined_at,
            counts: Arc::new(count(&unread)),
            unread,
        });
        self.known.insert(key, Arc::clone(&counted));
        Ok(counted)
    }

    /// The root of the event's thread, or [`MAIN`]: a root itself is not in its thread.
    async fn thread_of(&self, room: &Room, event: &Event) -> Result<Arc<str>, RoomError> {
        let root = self.judge.rooms().thread_of(room, event).await?;
        Ok(root.map_or_else(|| MAIN.into(), |root| root.as_str().into()))
    }

    /// The newest events after one position and up to another, oldest first.
    async fn between(
        &self,
        room: &Room,
        from: StreamPosition,
        upto: StreamPosition,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        // A receipt may be ahead of what is asked for.
        if from >= upto {
            return Ok(Vec::new());
        }
        let (after, before) = (from.cast_signed(), upto.cast_signed() + 1);
        let rows = self.judge.rooms().newest_between(room, after, before, LOOKED_AT).await?;
        let mut events = Vec::with_capacity(rows.len());
        for (_, index) in rows.into_iter().rev() {
            events.push(self.judge.rooms().event(room, index).await?);
        }
        Ok(events)
    }

    /// What one more event changes.
    async fn add(
        &self,
        room: &Room,
        event: &Event,
        attention: &Attention,
        context: &mut Context,
        unread: &mut Vec<UnreadEvent>,
    ) -> Result<(), RoomError> {
        if event.kind == TimelineEventType::RoomRedaction
            && let Some(target) = &event.redacts
            && let Some(target) = self.judge.rooms().event_by_id(room, target).await?
            && target.standing.redacted_by.is_some()
        {
            let position = target.position();
            unread.retain(|event| event.position != position);
        } else if event.sender == context.user_id {
            // A changed name or topic is no sign of having read.
            if !event.is_state() {
                let thread = self.thread_of(room, event).await?;
                unread.retain(|event| event.thread != thread);
            }
            return Ok(());
        }
        if let Some(notifies) = self.judge.judge(attention, room, event, context).await? {
            let thread = self.thread_of(room, event).await?;
            unread.push(UnreadEvent {
                position: event.position(),
                thread,
                highlight: notifies.highlight,
            });
            if unread.len() > LOOKED_AT {
                unread.remove(0);
            }
        }
        Ok(())
    }
}

fn count(unread: &[UnreadEvent]) -> Counts {
    let mut counts = Counts::default();
    for event in unread {
        let count = counts.threads.entry(event.thread.to_string()).or_default();
        count.notifications += 1;
        count.highlights += u64::from(event.highlight);
    }
    counts
}
