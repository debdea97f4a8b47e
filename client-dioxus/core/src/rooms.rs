//! Which rooms is somebody in, and what is new there?

use std::{collections::HashMap, sync::Arc};

use async_stream::stream;
use futures_util::{FutureExt, StreamExt};
use matrix_sdk::{Room, ruma::OwnedRoomId};
use matrix_sdk_ui::room_list_service::{RoomList as SdkList, RoomListItem, RoomListLoadingState};
use tokio::sync::watch;

use crate::{
    Account, Changes, Error, Stream,
    changes::{self, AsyncRow},
    timeout::{LONG, within},
};

mod filter;
mod row;

pub use filter::{RoomFilter, RoomKind};
use row::Last;
pub use row::{Preview, PreviewKind, RoomName, RoomRow};

/// Rows of the first page; each further page has as many.
const PAGE: usize = 60;

/// The rooms of an account as a list on a screen has them: sorted by what happened last, filtered, and a
/// page longer whenever somebody scrolls to the end. Keep one for each list that is shown.
#[derive(Clone)]
pub struct RoomList {
    account: Account,
    list: Arc<SdkList>,
    filter: watch::Sender<RoomFilter>,
    pages: watch::Sender<usize>,
}

impl PartialEq for RoomList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.list, &other.list)
    }
}

/// How far the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// Nothing is known yet: show a placeholder.
    NotLoaded,
    /// The server knows of so many rooms, if it has said; all of them may not be here yet.
    Loaded { rooms: Option<u32> },
}

impl Account {
    /// The list of rooms, without those that the user has left, and without spaces.
    pub async fn rooms(&self) -> Result<RoomList, Error> {
        let service = self.inner().sync.room_list_service();
        let list = within(LONG, service.all_rooms()).await?;
        let (filter, _) = watch::channel(RoomFilter::default());
        let (pages, _) = watch::channel(1);
        Ok(RoomList { account: self.clone(), list: Arc::new(list), filter, pages })
    }
}

impl RoomList {
    /// The rows, and what changes about them. A new filter brings a reset.
    pub fn rows(&self) -> Changes<RoomRow> {
        let Self { account, list, .. } = self.clone();
        let (mut filter, mut pages) = (self.filter.subscribe(), self.pages.subscribe());
        stream! {
            let (entries, controller) = list.entries_with_dynamic_adapters(PAGE);
            let mut entries = std::pin::pin!(entries);
            let mut shown = *pages.borrow_and_update();
            controller.set_filter(filter.borrow_and_update().for_sdk());
            let mut maker = RowMaker { account, known: HashMap::new() };
            loop {
                let batch = tokio::select! {
                    batch = entries.next() => batch,
                    changed = filter.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        controller.set_filter(filter.borrow_and_update().for_sdk());
                        continue;
                    }
                    changed = pages.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let wanted = *pages.borrow_and_update();
                        for _ in shown..wanted {
                            controller.add_one_page();
                        }
                        shown = wanted;
                        continue;
                    }
                };
                let Some(batch) = batch else { return };
                let mut differences = Vec::with_capacity(batch.len());
                for difference in batch {
                    differences.push(changes::map(difference, &mut maker).await);
                }
                yield differences;
            }
        }
        .boxed_local()
    }

    /// Shows these rooms from now on.
    pub fn set_filter(&self, filter: RoomFilter) {
        self.filter.send_if_modified(|before| {
            let changed = *before != filter;
            *before = filter;
            changed
        });
    }

    /// One page more: the end of the list is in sight.
    pub fn more(&self) {
        self.pages.send_modify(|pages| *pages += 1);
    }

    /// How far the list is, now and each time that changes.
    pub fn loading(&self) -> Stream<Loading> {
        let states = self.list.loading_state();
        states
            .map(|state| match state {
                RoomListLoadingState::NotLoaded => Loading::NotLoaded,
                RoomListLoadingState::Loaded { maximum_number_of_rooms } => {
                    Loading::Loaded { rooms: maximum_number_of_rooms }
                }
            })
            .boxed_local()
    }
}

struct RowMaker {
    account: Account,
    /// What was last in each room of the list, by what it was made of.
    known: HashMap<OwnedRoomId, (String, Last)>,
}

impl RowMaker {
    async fn last(&mut self, room: &Room) -> Last {
        let key = Last::key(room);
        let known = self.known.get(room.room_id());
        if let Some((_, last)) = known.filter(|(made_of, _)| Some(made_of) == key.as_ref()) {
            return last.clone();
        }
        let last = Last::of(room, self.account.user_id()).await;
        if let Some(key) = key {
            self.known.insert(room.room_id().to_owned(), (key, last.clone()));
        }
        last
    }
}

impl AsyncRow<RoomListItem, RoomRow> for RowMaker {
    fn row(&mut self, room: RoomListItem) -> futures_util::future::LocalBoxFuture<'_, RoomRow> {
        async move {
            // From now on the room's last message is kept up to date.
            let latest = room.client().latest_events().await.listen_to_room(room.room_id()).await;
            if let Err(error) = latest {
                tracing::warn!(%error, "the last message of a room is not known");
            }
            let last = self.last(&room).await;
            row::row(&room, self.account.user_id(), last).await
        }
        .boxed_local()
    }
}

pub(crate) async fn row_of(room: &Room, own: &str) -> RoomRow {
    row::row(room, own, Last::of(room, own).await).await
}
