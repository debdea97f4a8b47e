//! What is said in a room, and saying something.

use std::sync::Arc;

use async_stream::stream;
use eyeball_im::VectorDiff;
use futures_util::StreamExt;
use matrix_sdk::{Room, event_cache::PaginationStatus, room::Receipts, ruma::EventId};
use matrix_sdk_ui::timeline::{Timeline as SdkTimeline, TimelineEventItemId};

use crate::{
    Account, Changes, Error, Person, Stream, changes,
    room::{people, person},
    timeout::{LONG, USUAL, within},
};

mod content;
mod fold;
mod live;
mod row;
mod said;
mod send;
mod translate;

pub(crate) use content::preview_of;
pub use fold::{Happening, Part, Summary, runs};
pub use row::*;
pub use send::MAX_TEXT;

/// Events of one step back, at most.
const MAX_PAGE: u16 = 100;

/// A room that is on the screen. Keep one while it is there; dropping all clones ends what it watches.
#[derive(Clone)]
pub struct Timeline {
    account: Account,
    live: Arc<live::Live>,
    said: Arc<said::Said>,
}

impl PartialEq for Timeline {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.live, &other.live)
    }
}

impl std::fmt::Debug for Timeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Timeline").field(&self.room_id()).finish()
    }
}

impl Account {
    /// Opens a room that the user is in, from what this device has seen of it; the server is asked for
    /// what it needs from then on.
    ///
    /// Errors: [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::InvalidAddress`], store.
    pub async fn timeline(&self, room_id: &str) -> Result<Timeline, Error> {
        let room = self.known_room(room_id)?;
        self.inner().sync.room_list_service().subscribe_to_rooms(&[room.room_id()]).await;
        let said = Arc::new(said::Said::new(person(&room, room.own_user_id()).await));
        let live = Arc::new(live::Live::open(room).await?);
        Ok(Timeline { account: self.clone(), live, said })
    }
}

impl Timeline {
    pub fn room_id(&self) -> &str {
        self.room().room_id().as_str()
    }

    /// The rows, the oldest first, and what changes about them.
    pub fn rows(&self) -> Changes<TimelineRow> {
        let said = Arc::clone(&self.said);
        self.live.follow(move |timeline| rows_of(timeline, Arc::clone(&said)))
    }

    /// What the user has just said and [`Timeline::rows`] do not show yet: rows to be drawn below those. Each
    /// goes away when its row comes.
    pub fn said(&self) -> Stream<Vec<TimelineRow>> {
        changes::follow(self.said.rows())
    }

    /// Loads about `count` older events (at most 100). True: there is nothing older.
    pub async fn paginate_back(&self, count: u16) -> Result<bool, Error> {
        within(LONG, self.sdk().paginate_backwards(count.min(MAX_PAGE))).await
    }

    /// Do the rows begin where the room does? It may be so no longer after a while without a connection.
    pub fn complete(&self) -> Stream<bool> {
        self.live.follow(is_complete)
    }

    /// Who is typing now, without the user who looks.
    pub fn typing(&self) -> Stream<Vec<Person>> {
        let room = self.room().clone();
        // Now, not when it is first asked: nothing is missed in between.
        let (guard, mut typing) = room.subscribe_to_typing_notifications();
        stream! {
            let _guard = guard;
            loop {
                use tokio::sync::broadcast::error::RecvError;
                match typing.recv().await {
                    Ok(users) => yield people(&room, users.iter().map(|user| &**user)).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        }
        .boxed_local()
    }

    /// Everything that is here has been read, as others see it and as other devices of the user do.
    /// Cheap if nothing is new.
    pub async fn mark_read(&self) -> Result<(), Error> {
        within(USUAL, async {
            let timeline = self.sdk();
            let Some(latest) = timeline.latest_event_id().await else { return Ok(()) };
            let receipts =
                Receipts::new().public_read_receipt(latest.clone()).fully_read_marker(latest);
            Ok::<_, Error>(timeline.send_multiple_receipts(receipts).await?)
        })
        .await
    }

    /// Fetches what a reply is about, if [`Reply::quoted`] is not there; the row changes then.
    pub async fn fetch_reply(&self, event_id: &str) -> Result<(), Error> {
        let event_id = EventId::parse(event_id)?;
        within(USUAL, self.sdk().fetch_details_for_event(&event_id)).await
    }

    /// Fetches the members, if names are missing. Rows change then.
    pub async fn fetch_members(&self) -> Result<(), Error> {
        within(LONG, async {
            self.sdk().fetch_members().await;
            Ok::<_, Error>(())
        })
        .await
    }

    pub(crate) fn room(&self) -> &Room {
        self.live.room()
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn sdk(&self) -> Arc<SdkTimeline> {
        self.live.timeline()
    }
}

fn rows_of(timeline: Arc<SdkTimeline>, said: Arc<said::Said>) -> Changes<TimelineRow> {
    stream! {
        let mut maker = translate::RowMaker::new(timeline.room().clone()).await;
        let (items, differences) = timeline.subscribe().await;
        let mut differences = std::pin::pin!(differences);
        let mut batch = vec![VectorDiff::Reset { values: items }];
        loop {
            let mut rows = Vec::with_capacity(batch.len());
            for difference in batch {
                rows.push(changes::map(difference, &mut maker).await);
            }
            said.replace(&rows);
            yield rows;
            let Some(next) = differences.next().await else { return };
            batch = next;
        }
    }
    .boxed_local()
}

fn is_complete(timeline: Arc<SdkTimeline>) -> Stream<bool> {
    let complete = |status| matches!(status, PaginationStatus::Idle { hit_timeline_start: true });
    stream! {
        let Some((now, states)) = timeline.live_back_pagination_status().await else { return };
        yield complete(now);
        let mut states = std::pin::pin!(states);
        while let Some(state) = states.next().await {
            yield complete(state);
        }
    }
    .boxed_local()
}

impl ItemId {
    fn for_sdk(&self) -> Result<TimelineEventItemId, Error> {
        Ok(match self {
            Self::Event(id) => TimelineEventItemId::EventId(EventId::parse(id)?),
            Self::Transaction(id) => TimelineEventItemId::TransactionId(id.as_str().into()),
        })
    }

    fn of(id: TimelineEventItemId) -> Self {
        match id {
            TimelineEventItemId::EventId(id) => Self::Event(id.to_string()),
            TimelineEventItemId::TransactionId(id) => Self::Transaction(id.to_string()),
        }
    }
}
