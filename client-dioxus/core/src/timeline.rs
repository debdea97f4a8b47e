//! What is said in a room, and saying something.

use std::sync::Arc;

use async_stream::stream;
use futures_util::StreamExt;
use matrix_sdk::{
    Room,
    room::Receipts,
    ruma::{EventId, events::TimelineEventType},
};
use matrix_sdk_ui::timeline::{
    RoomExt, Timeline as SdkTimeline, TimelineEventItemId, TimelineReadReceiptTracking,
    default_event_filter,
};

use crate::{
    Account, Changes, Error, Person, Stream, changes,
    room::{people, person},
    timeout::{LONG, USUAL, within},
};

mod content;
mod fold;
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
    timeline: Arc<SdkTimeline>,
    said: Arc<said::Said>,
}

impl PartialEq for Timeline {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.timeline, &other.timeline)
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
        let builder = room.timeline_builder();
        let builder =
            builder.track_read_marker_and_receipts(TimelineReadReceiptTracking::AllEvents);
        let builder = builder.event_filter(|event, rules| {
            // Who is in a call is shown as the call, not as what happened in the room.
            let call = event.event_type() == TimelineEventType::CallMember;
            !call && default_event_filter(event, rules)
        });
        let timeline = Arc::new(within(LONG, builder.build()).await?);
        let said = Arc::new(said::Said::new(person(&room, room.own_user_id()).await));
        Ok(Timeline { account: self.clone(), timeline, said })
    }
}

impl Timeline {
    pub fn room_id(&self) -> &str {
        self.timeline.room().room_id().as_str()
    }

    /// The rows, the oldest first, and what changes about them.
    pub fn rows(&self) -> Changes<TimelineRow> {
        let (timeline, said) = (Arc::clone(&self.timeline), Arc::clone(&self.said));
        stream! {
            let mut maker = translate::RowMaker::new(timeline.room().clone()).await;
            let (items, differences) = timeline.subscribe().await;
            let reset = eyeball_im::VectorDiff::Reset { values: items };
            yield vec![changes::map(reset, &mut maker).await];
            let mut differences = std::pin::pin!(differences);
            while let Some(batch) = differences.next().await {
                let mut rows = Vec::with_capacity(batch.len());
                for difference in batch {
                    rows.push(changes::map(difference, &mut maker).await);
                }
                said.replace(&rows);
                yield rows;
            }
        }
        .boxed_local()
    }

    /// What the user has just said and [`Timeline::rows`] do not show yet: rows to be drawn below those. Each
    /// goes away when its row comes.
    pub fn said(&self) -> Stream<Vec<TimelineRow>> {
        let mut said = self.said.rows();
        stream! {
            while said.changed().await.is_ok() {
                let rows = said.borrow_and_update().clone();
                yield rows;
            }
        }
        .boxed_local()
    }

    /// Loads about `count` older events (at most 100). True: there is nothing older.
    pub async fn paginate_back(&self, count: u16) -> Result<bool, Error> {
        within(LONG, self.timeline.paginate_backwards(count.min(MAX_PAGE))).await
    }

    /// Is it loading older events?
    pub fn paginating(&self) -> Stream<bool> {
        use matrix_sdk::event_cache::PaginationStatus::Paginating;
        let timeline = Arc::clone(&self.timeline);
        stream! {
            let Some((now, states)) = timeline.live_back_pagination_status().await else { return };
            yield matches!(now, Paginating);
            let mut states = std::pin::pin!(states);
            while let Some(state) = states.next().await {
                yield matches!(state, Paginating);
            }
        }
        .boxed_local()
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
            let Some(latest) = self.timeline.latest_event_id().await else { return Ok(()) };
            let receipts =
                Receipts::new().public_read_receipt(latest.clone()).fully_read_marker(latest);
            Ok::<_, Error>(self.timeline.send_multiple_receipts(receipts).await?)
        })
        .await
    }

    /// Fetches what a reply is about, if [`Reply::quoted`] is not there; the row changes then.
    pub async fn fetch_reply(&self, event_id: &str) -> Result<(), Error> {
        let event_id = EventId::parse(event_id)?;
        within(USUAL, self.timeline.fetch_details_for_event(&event_id)).await
    }

    /// Fetches the members, if names are missing. Rows change then.
    pub async fn fetch_members(&self) -> Result<(), Error> {
        within(LONG, async {
            self.timeline.fetch_members().await;
            Ok::<_, Error>(())
        })
        .await
    }

    pub(crate) fn room(&self) -> &Room {
        self.timeline.room()
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn sdk(&self) -> &SdkTimeline {
        &self.timeline
    }
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
