//! Which threads does a room have, and in which is an event?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#threading)

use std::sync::Arc;

use kith_store::{
    Scan,
    tables::{self, EventIndex},
};
use ruma::{OwnedEventId, OwnedUserId};

use super::{
    Room, RoomError, Rooms,
    event::{Event, THREAD},
    history::TimelineToken,
    timeline::Direction,
    visibility::Visibility,
};
use crate::account_data::IgnoredUsers;

/// How many relations are followed from an event to its thread.
const HOPS: usize = 3;
/// How many threads one request looks at, whatever it finds.
const LOOKED_AT: usize = 500;
/// How many threads are read at once.
const ROWS: usize = 50;

/// Which threads are asked for.
pub struct ThreadsAsk<'a> {
    pub from: TimelineToken,
    pub limit: usize,
    /// Only those in which this user wrote.
    pub participant: Option<&'a OwnedUserId>,
    pub ignored: &'a IgnoredUsers,
}

/// Thread roots, that of the newest event first.
pub struct ThreadsPage {
    pub roots: Vec<Arc<Event>>,
    /// Where to go on, if there may be more.
    pub next: Option<TimelineToken>,
}

impl Rooms {
    /// The root of the thread that an event is in, by its own relation or its parent's.
    pub async fn thread_of(
        &self,
        room: &Room,
        event: &Event,
    ) -> Result<Option<OwnedEventId>, RoomError> {
        if let Some(root) = event.thread_root() {
            return Ok(Some(root.clone()));
        }
        let mut parent = parent_of(event);
        for _ in 0..HOPS {
            let Some(event_id) = parent else { break };
            let Some(event) = self.event_by_id(room, &event_id).await? else { break };
            if let Some(root) = event.thread_root() {
                return Ok(Some(root.clone()));
            }
            parent = parent_of(&event);
        }
        Ok(None)
    }

    /// The threads of a room that a user sees.
    pub async fn threads(
        &self,
        room: &Room,
        visibility: &mut Visibility<'_>,
        ask: ThreadsAsk<'_>,
    ) -> Result<ThreadsPage, RoomError> {
        let mut page = ThreadsPage { roots: Vec::new(), next: None };
        let (mut from, mut looked_at) = (ask.from, 0);
        while looked_at < LOOKED_AT {
            let scan = Scan::prefix(&(room.number,))
                .before(&(room.number, from.after()))
                .reverse()
                .limit(ROWS);
            let rows = self.store().scan(&tables::THREADS, scan).await?;
            let last = rows.len() < ROWS;
            for ((_, position), root) in rows {
                if page.roots.len() == ask.limit {
                    page.next = Some(from);
                    return Ok(page);
                }
                looked_at += 1;
                from = TimelineToken::beyond(position, Direction::Backward);
                // A row that is out of date: the thread is elsewhere in the list.
                if self.newest_reply(room, root, None).await? != Some(position) {
                    continue;
                }
                let root = self.event(room, root).await?;
                if visibility.sees(&root).await?
                    && self.is_in_list(room, &root, visibility, &ask).await?
                {
                    page.roots.push(self.unless_ignored(room, root, ask.ignored)?);
                }
            }
            if last {
                return Ok(page);
            }
        }
        page.next = Some(from);
        Ok(page)
    }

    /// The root of a thread that others write in stays in the list, without what the user does not
    /// want to see.
    fn unless_ignored(
        &self,
        room: &Room,
        root: Arc<Event>,
        ignored: &IgnoredUsers,
    ) -> Result<Arc<Event>, RoomError> {
        if !ignored.contains(&root.sender) {
            return Ok(root);
        }
        let pruned = root.pruned(&room.rules.redaction, root.standing);
        pruned.map(Arc::new).map_err(|reason| {
            RoomError::UnreadableEvent(room.room_id.clone(), root.index(), reason)
        })
    }

    async fn is_in_list(
        &self,
        room: &Room,
        root: &Event,
        visibility: &mut Visibility<'_>,
        ask: &ThreadsAsk<'_>,
    ) -> Result<bool, RoomError> {
        let Some(thread) = self.thread_summary(room, root, visibility, ask.ignored).await? else {
            return Ok(false);
        };
        Ok(ask.participant.is_none() || thread.participated)
    }

    /// The place of a thread's newest event, one event left out.
    pub(super) async fn newest_reply(
        &self,
        room: &Room,
        root: EventIndex,
        but: Option<EventIndex>,
    ) -> Result<Option<i64>, RoomError> {
        let children = self.children(room, root).await?;
        let children = children.read();
        let mut replies =
            children.iter().rev().filter(|c| c.rel_type == THREAD && Some(c.index) != but);
        Ok(replies.next().map(|reply| reply.position))
    }
}

fn parent_of(event: &Event) -> Option<OwnedEventId> {
    let relation = event.relation()?;
    relation.rel_type.as_ref()?;
    relation.event_id.clone()
}
