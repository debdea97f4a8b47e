//! Who is signed in, and is the server there?

use std::{sync::Arc, time::Duration};

use matrix_sdk::{
    Client, ClientBuilder, SessionChange,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    executor::{AbortOnDrop, JoinHandleExt, spawn},
    ruma::api::client::{account::register, uiaa},
    sleep::sleep,
};
use matrix_sdk_ui::{
    room_list_service::State as ListState,
    sync_service::{State, SyncService},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Error, ErrorKind, Homeserver, Registration, Storage, Stream, calls, changes, homeserver, media,
    storage::{Record, Stores},
    timeout::{LONG, USUAL, within},
};

/// An account on this device, signed in and synchronising until the last clone of it is dropped.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

pub(crate) struct Inner {
    client: Client,
    pub(crate) sync: Arc<SyncService>,
    pub(crate) media: Mutex<media::Cache>,
    pub(crate) attended: Mutex<Option<calls::Attended>>,
    connection: watch::Sender<Connection>,
    storage: Storage,
    stores: Stores,
    _keeper: Mutex<Option<AbortOnDrop<()>>>,
}

/// How things stand with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The first answer has not come yet.
    Connecting,
    Online,
    /// The server cannot be reached; it is tried again and again. What is sent meanwhile waits.
    Offline,
    /// The server no longer knows this session: say so, call [`Account::sign_out`], and ask to sign in.
    SessionLost,
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Account").field(&self.user_id()).finish()
    }
}

impl Account {
    /// Signs in on a new device, which others see as `device_name`. `user` is `alice` or
    /// `@alice:team.example`.
    ///
    /// Errors: [`ErrorKind::WrongPassword`], [`ErrorKind::AccountClosed`], network, store.
    pub async fn sign_in(
        storage: &Storage,
        homeserver: &Homeserver,
        user: &str,
        password: &str,
        device_name: &str,
    ) -> Result<Self, Error> {
        let stores = Stores::new();
        let client = storage.client(&homeserver.url, &stores).await?;
        let auth = client.matrix_auth();
        let login = auth.login_username(user.trim(), password);
        let login = login.initial_device_display_name(device_name);
        if let Err(error) = within(LONG, login.send()).await {
            storage.delete(&stores);
            return Err(error.where_forbidden_means(ErrorKind::WrongPassword));
        }
        Self::signed_in(client, storage, homeserver, stores).await
    }

    /// Makes an account and signs in. `user` is the part before the colon.
    ///
    /// Errors: [`ErrorKind::UserNameTaken`], [`ErrorKind::InvalidUserName`], [`ErrorKind::WeakPassword`],
    /// [`ErrorKind::TokenNeeded`], [`ErrorKind::WrongToken`], [`ErrorKind::RegistrationClosed`],
    /// [`ErrorKind::RegistrationElsewhere`], network, store.
    pub async fn register(
        storage: &Storage,
        homeserver: &Homeserver,
        user: &str,
        password: &str,
        token: Option<&str>,
        device_name: &str,
    ) -> Result<Self, Error> {
        let stores = Stores::new();
        let client = storage.client(&homeserver.url, &stores).await?;
        let mut request = register::v3::Request::new();
        request.username = Some(user.trim().to_owned());
        request.password = Some(password.to_owned());
        request.initial_device_display_name = Some(device_name.to_owned());
        let registered = register_with_stages(&client, request, token).await;
        if let Err(error) = registered {
            storage.delete(&stores);
            return Err(error.where_forbidden_means(ErrorKind::RegistrationClosed));
        }
        Self::signed_in(client, storage, homeserver, stores).await
    }

    /// The account that was signed in when the program ended; needs no network. `None`: nobody was.
    pub async fn restore(storage: &Storage) -> Result<Option<Self>, Error> {
        let Some(record) = storage.record()? else { return Ok(None) };
        let client = storage.client(&record.homeserver, &record.stores).await?;
        within(LONG, client.restore_session(record.session)).await?;
        Ok(Some(Self::start(client, storage, record.stores).await?))
    }

    /// Signs out on the server, and removes everything that this device keeps of the account, also if the
    /// server is away or has forgotten the session. All other clones of the account are dead afterwards.
    ///
    /// Errors: only if this device cannot forget.
    pub async fn sign_out(self) -> Result<(), Error> {
        self.0._keeper.lock().take();
        self.0.sync.stop().await;
        if let Err(error) = self.leave_call().await {
            tracing::warn!(%error, "the room does not know yet that the call was left");
        }
        let signed_out = within(USUAL, self.client().logout()).await;
        if let Err(error) = signed_out {
            tracing::warn!(%error, "signed out here, but not on the server");
        }
        self.0.storage.forget()?;
        self.0.storage.delete(&self.0.stores);
        Ok(())
    }

    async fn signed_in(
        client: Client,
        storage: &Storage,
        homeserver: &Homeserver,
        stores: Stores,
    ) -> Result<Self, Error> {
        let session = client.matrix_auth().session();
        let session = session.ok_or_else(|| Error::other("signed in without a session"))?;
        let (homeserver, stores_kept) = (homeserver.url.clone(), stores.clone());
        storage.keep(&Record { homeserver, stores: stores_kept, session })?;
        Self::start(client, storage, stores).await
    }

    async fn start(client: Client, storage: &Storage, stores: Stores) -> Result<Self, Error> {
        // Each start asks for the newest of every room: the SDK stores how far it has come beside the events, not
        // after them, and a program that ended in between would never show what it lacks.
        let builder =
            SyncService::builder(client.clone()).with_offline_mode().with_share_pos(false);
        let sync = Arc::new(within(LONG, builder.build()).await?);
        let (connection, _) = watch::channel(Connection::Connecting);
        let keeper = spawn(keep_running(client.clone(), Arc::clone(&sync), connection.clone()));
        Ok(Self(Arc::new(Inner {
            client,
            sync,
            media: Mutex::default(),
            attended: Mutex::default(),
            connection,
            storage: storage.clone(),
            stores,
            _keeper: Mutex::new(Some(keeper.abort_on_drop())),
        })))
    }

    /// `@alice:team.example`
    pub fn user_id(&self) -> &str {
        self.client().user_id().expect("an account is signed in").as_str()
    }

    pub fn device_id(&self) -> &str {
        self.client().device_id().expect("an account is signed in").as_str()
    }

    /// URL of the client API.
    pub fn homeserver(&self) -> String {
        self.client().homeserver().to_string()
    }

    /// The state now and each time it changes.
    pub fn connection(&self) -> Stream<Connection> {
        changes::follow(self.0.connection.subscribe())
    }

    /// Tries at once, where [`Connection::Offline`] would wait: somebody pressed "try again", or the
    /// browser says that the network is back.
    pub async fn reconnect(&self) {
        self.0.sync.start().await;
    }

    /// Stops to synchronise, until [`Account::reconnect`]: the device sleeps, or the program ends.
    pub async fn pause(&self) {
        self.0.sync.stop().await;
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

/// What all clients of this program are set to.
pub(crate) fn settings(builder: ClientBuilder) -> ClientBuilder {
    builder.with_encryption_settings(EncryptionSettings {
        auto_enable_cross_signing: true,
        auto_enable_backups: true,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    })
}

/// User-interactive authentication: the stages that need nothing but a token.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)
async fn register_with_stages(
    client: &Client,
    mut request: register::v3::Request,
    token: Option<&str>,
) -> Result<(), Error> {
    let auth = client.matrix_auth();
    // One request to learn what is wanted, and one for each stage.
    for _ in 0..4 {
        let answer = within(LONG, async {
            match auth.register(request.clone()).await {
                Ok(_) => Ok(None),
                Err(error) => match error.as_uiaa_response() {
                    Some(wanted) => Ok(Some(wanted.clone())),
                    None => Err(Error::from(error)),
                },
            }
        });
        let Some(wanted) = answer.await? else { return Ok(()) };
        let token_refused = matches!(request.auth, Some(uiaa::AuthData::RegistrationToken(_)))
            && wanted.auth_error.is_some();
        if token_refused {
            return Err(ErrorKind::WrongToken.into());
        }
        let token = match (homeserver::registration_of(&wanted), token) {
            (Registration::Open, _) => None,
            (Registration::WithToken, Some(token)) => Some(token),
            (Registration::WithToken, None) => return Err(ErrorKind::TokenNeeded.into()),
            _ => return Err(ErrorKind::RegistrationElsewhere.into()),
        };
        let token_is_next =
            token.filter(|_| !wanted.completed.contains(&uiaa::AuthType::RegistrationToken));
        request.auth = Some(match token_is_next {
            Some(token) => {
                let mut stage = uiaa::RegistrationToken::new(token.trim().to_owned());
                stage.session.clone_from(&wanted.session);
                uiaa::AuthData::RegistrationToken(stage)
            }
            None => {
                let mut stage = uiaa::Dummy::new();
                stage.session.clone_from(&wanted.session);
                uiaa::AuthData::Dummy(stage)
            }
        });
    }
    Err(ErrorKind::RegistrationElsewhere.into())
}

/// Starts the synchronisation, starts it again whenever it ends, and tells how it goes.
async fn keep_running(
    client: Client,
    sync: Arc<SyncService>,
    connection: watch::Sender<Connection>,
) {
    client.send_queue().respawn_tasks_for_rooms_with_unsent_requests().await;
    let mut changes = client.subscribe_to_session_changes();
    let mut states = sync.state();
    // The service calls itself running before anything has come; its list of rooms knows better.
    let mut answers = sync.room_list_service().state();
    let mut failures: u32 = 0;
    sync.start().await;
    loop {
        let state = tokio::select! {
            state = states.next() => state,
            Some(answer) = answers.next() => {
                if !matches!(answer, ListState::Init | ListState::Error { .. } | ListState::Terminated { .. })
                    && matches!(sync.state().get(), State::Running)
                {
                    tell(&connection, Connection::Online);
                }
                continue;
            }
            change = changes.recv() => match change {
                Ok(SessionChange::UnknownToken(_)) => {
                    connection.send_replace(Connection::SessionLost);
                    sync.stop().await;
                    return;
                }
                _ => continue,
            },
        };
        match state {
            None => return,
            Some(State::Idle) => {}
            Some(State::Running) => {
                failures = 0;
                // After an outage the server has been asked whether it is there.
                if *connection.borrow() == Connection::Offline {
                    tell(&connection, Connection::Online);
                }
                client.send_queue().set_enabled(true).await;
            }
            Some(State::Offline) => tell(&connection, Connection::Offline),
            Some(State::Terminated | State::Error(_)) => {
                tell(&connection, Connection::Offline);
                failures += 1;
                sleep(pause(failures)).await;
                sync.start().await;
            }
        }
    }
}

fn tell(connection: &watch::Sender<Connection>, now: Connection) {
    connection.send_if_modified(|before| {
        let changed = *before != now && *before != Connection::SessionLost;
        if changed {
            *before = now;
        }
        changed
    });
}

/// Doubles from a second to half a minute.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_asked_less_and_less() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 400].map(|it| pause(it).as_secs()).to_vec();
        assert_eq!(pauses, [1, 2, 4, 30, 30]);
    }

    #[test]
    fn a_lost_session_stays_lost() {
        let (connection, states) = watch::channel(Connection::SessionLost);
        tell(&connection, Connection::Online);
        assert_eq!(*states.borrow(), Connection::SessionLost);
    }
}
