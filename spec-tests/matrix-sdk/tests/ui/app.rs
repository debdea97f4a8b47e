//! One device with such an app.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use eyeball_im::{Vector, VectorDiff};
use futures_util::{StreamExt, stream::LocalBoxStream};
use kith_spec_tests::TestUser;
use matrix_sdk::{
    Client, Room, ThreadingSupport, authentication::matrix::MatrixSession, ruma::RoomId,
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    room_list_service::{RoomList, RoomListItem, filters::new_filter_non_left},
    sync_service::{State, SyncService},
    timeline::{RoomExt, Timeline, TimelineItem, TimelineReadReceiptTracking},
};

use crate::person::{PATIENCE, eventually};

/// More rooms than any test has.
const PAGE: usize = 1_000;

pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) service: SyncService,
}

impl App {
    /// Signs in on a new device, keeps everything in memory, and begins to sync.
    pub(crate) async fn start(url: &str, user: &TestUser) -> Result<Self> {
        let client = client(url, None).await?;
        client.matrix_auth().login_username(&user.user_id, &user.password).await?;
        Self::synchronised(client).await
    }

    /// Signs in on a new device, and keeps everything in a folder.
    pub(crate) async fn start_in(url: &str, user: &TestUser, folder: &Path) -> Result<Self> {
        let client = client(url, Some(folder)).await?;
        client.matrix_auth().login_username(&user.user_id, &user.password).await?;
        Self::synchronised(client).await
    }

    /// Starts again on what the folder has.
    pub(crate) async fn again(url: &str, session: MatrixSession, folder: &Path) -> Result<Self> {
        let client = client(url, Some(folder)).await?;
        client.restore_session(session).await?;
        Self::synchronised(client).await
    }

    async fn synchronised(client: Client) -> Result<Self> {
        let service = SyncService::builder(client.clone()).with_offline_mode().build().await?;
        service.start().await;
        Ok(Self { client, service })
    }

    pub(crate) fn session(&self) -> Result<MatrixSession> {
        self.client.matrix_auth().session().context("signed in")
    }

    /// The room as soon as the app knows it.
    pub(crate) async fn room(&self, room: &str) -> Result<Room> {
        let id = RoomId::parse(room)?;
        eventually("the room", async || Ok(self.client.get_room(&id))).await
    }

    /// The room is on the screen: the app subscribes to it.
    pub(crate) async fn opened(&self, room: &str) -> Result<Room> {
        let room = self.room(room).await?;
        self.service.room_list_service().subscribe_to_rooms(&[room.room_id()]).await;
        Ok(room)
    }

    /// The room is on the screen, with its timeline.
    pub(crate) async fn timeline(&self, room: &str) -> Result<Timeline> {
        let room = self.opened(room).await?;
        let builder = room.timeline_builder();
        let tracking = TimelineReadReceiptTracking::AllEvents;
        Ok(builder.track_read_marker_and_receipts(tracking).build().await?)
    }

    pub(crate) async fn until_state(&self, what: &str, is: impl Fn(&State) -> bool) -> Result<()> {
        let state = self.service.state();
        eventually(what, async || Ok(is(&state.get()).then_some(()))).await
    }
}

async fn client(url: &str, folder: Option<&Path>) -> Result<Client> {
    let builder = Client::builder()
        .homeserver_url(url)
        .disable_built_in_root_certificates()
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .with_threading_support(ThreadingSupport::Enabled { with_subscriptions: true });
    let builder = match folder {
        Some(folder) => builder.sqlite_store(folder, None),
        None => builder,
    };
    Ok(builder.build().await?)
}

/// A list on the screen, kept up by differences.
pub(crate) struct Shown<'a, T: Clone> {
    pub(crate) items: Vector<T>,
    differences: LocalBoxStream<'a, Vec<VectorDiff<T>>>,
}

impl<'a> Shown<'a, RoomListItem> {
    /// All rooms but those that the user has left.
    pub(crate) fn rooms(list: &'a RoomList) -> Self {
        let (differences, controller) = list.entries_with_dynamic_adapters(PAGE);
        controller.set_filter(Box::new(new_filter_non_left()));
        Self { items: Vector::new(), differences: differences.boxed_local() }
    }
}

impl Shown<'_, Arc<TimelineItem>> {
    pub(crate) async fn lines(timeline: &Timeline) -> Self {
        let (items, differences) = timeline.subscribe().await;
        Self { items, differences: differences.boxed_local() }
    }
}

impl<T: Clone> Shown<'_, T> {
    /// Follows the differences until the list shows it.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        shows: impl Fn(&Vector<T>) -> bool,
    ) -> Result<()> {
        let shown = async {
            while !shows(&self.items) {
                // An item may also change by itself.
                let next = tokio::time::timeout(Duration::from_millis(50), self.differences.next());
                let Ok(differences) = next.await else { continue };
                for difference in differences.context("the list ended")? {
                    difference.apply(&mut self.items);
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, shown).await.with_context(|| format!("never: {what}"))?
    }

    /// As [`Shown::until`], looking after every single difference: what is there for a moment only is
    /// seen too.
    pub(crate) async fn until_each(
        &mut self,
        what: &str,
        shows: impl Fn(&Vector<T>) -> bool,
    ) -> Result<()> {
        let shown = async {
            while let Some(differences) = self.differences.next().await {
                let mut seen = false;
                for difference in differences {
                    difference.apply(&mut self.items);
                    seen |= shows(&self.items);
                }
                if seen {
                    return anyhow::Ok(());
                }
            }
            anyhow::bail!("the list ended")
        };
        tokio::time::timeout(PATIENCE, shown).await.with_context(|| format!("never: {what}"))?
    }
}
