//! Somebody at a device.

use std::time::Duration;

use anyhow::{Context, Result};
use matrix_sdk::{
    Client, ClientBuilder, Room,
    authentication::matrix::MatrixSession,
    config::SyncSettings,
    ruma::{
        EventId, UserId,
        api::client::{account::register, uiaa},
        events::AnySyncTimelineEvent,
    },
    sync::SyncResponse,
};
use tokio::task::JoinHandle;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// What is awaited normally comes at once; on a busy machine it may take a while.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// One long poll.
const POLL: Duration = Duration::from_secs(5);

/// One device of a user, whose syncs the test makes one by one.
pub(crate) struct Person {
    pub(crate) client: Client,
}

pub(crate) struct Syncing(JoinHandle<()>);

impl Drop for Syncing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks until there is something, without syncing: others do that.
pub(crate) async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let found = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.with_context(|| format!("{what}: never"))?
}

impl Person {
    /// A new account, signed in and synchronised.
    pub(crate) async fn register(url: &str, localpart: &str) -> Result<Self> {
        let client = client(url).build().await?;
        let mut request = register::v3::Request::new();
        request.username = Some(localpart.to_owned());
        request.password = Some(PASSWORD.to_owned());
        request.initial_device_display_name = Some("matrix-sdk".to_owned());
        let refusal = client.matrix_auth().register(request.clone()).await.err();
        let refusal = refusal.context("the dummy stage was not asked for")?;
        let flows = refusal.as_uiaa_response().context("no flows")?;
        let mut dummy = uiaa::Dummy::new();
        dummy.session.clone_from(&flows.session);
        request.auth = Some(uiaa::AuthData::Dummy(dummy));
        client.matrix_auth().register(request).await?;
        Self { client }.synchronised().await
    }

    /// A further device.
    pub(crate) async fn log_in(url: &str, user_id: &UserId, password: &str) -> Result<Self> {
        let client = client(url).build().await?;
        client.matrix_auth().login_username(user_id, password).await?;
        Self { client }.synchronised().await
    }

    /// The same device after its program was started again, with nothing kept but the session.
    pub(crate) async fn restored(url: &str, session: MatrixSession) -> Result<Self> {
        let client = client(url).build().await?;
        client.restore_session(session).await?;
        Self { client }.synchronised().await
    }

    pub(crate) async fn synchronised(self) -> Result<Self> {
        self.client.sync_once(SyncSettings::new()).await?;
        Ok(self)
    }

    pub(crate) fn id(&self) -> &UserId {
        self.client.user_id().expect("signed in")
    }

    pub(crate) fn session(&self) -> Result<MatrixSession> {
        self.client.matrix_auth().session().context("signed in")
    }

    /// The room as this device has it.
    pub(crate) fn room(&self, room: &Room) -> Result<Room> {
        self.client.get_room(room.room_id()).context("the room is not known")
    }

    /// Syncs until `look` finds something; the SDK has taken the response in by then.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&SyncResponse) -> Option<T>,
    ) -> Result<T> {
        self.until_async(what, async |response| Ok(look(response))).await
    }

    /// As [`Person::until`], where looking takes time.
    pub(crate) async fn until_async<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut(&SyncResponse) -> Result<Option<T>>,
    ) -> Result<T> {
        let found = async {
            loop {
                let response = self.client.sync_once(settings()).await?;
                if let Some(found) = look(&response).await? {
                    return Ok(found);
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.with_context(|| format!("{} never saw {what}", self.id()))?
    }

    /// Syncs in the background until the guard is dropped.
    pub(crate) fn keep_syncing(&self) -> Syncing {
        let client = self.client.clone();
        Syncing(tokio::spawn(async move {
            // Fails only if the server does; the test sees that by what does not come.
            let _ = client.sync(settings()).await;
        }))
    }

    /// Syncs until the room's timeline has the event.
    pub(crate) async fn event(&self, room: &Room, id: &EventId) -> Result<AnySyncTimelineEvent> {
        let event = self.until(id.as_str(), |sync| {
            let events = &sync.rooms.joined.get(room.room_id())?.timeline.events;
            events.iter().find(|event| event.event_id().as_deref() == Some(id)).cloned()
        });
        Ok(event.await?.raw().deserialize()?)
    }
}

fn settings() -> SyncSettings {
    SyncSettings::new().timeout(POLL).ignore_timeout_on_first_sync(false)
}

fn client(url: &str) -> ClientBuilder {
    // The machine's certificates are of no use for a server without TLS.
    Client::builder().homeserver_url(url).disable_built_in_root_certificates()
}
