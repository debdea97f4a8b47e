//! Calls, as far as they are Matrix: who is in one, how one gets in, and which keys open what is said.
//! Pictures and sound themselves are the screen's: by LiveKit's protocol, with the [`Ticket`].
//!
//! A member of a call is a state event `org.matrix.msc3401.call.member` for each device, as Element Call
//! writes it ([MSC4143](https://github.com/matrix-org/matrix-spec-proposals/pull/4143)); it runs out
//! unless it is renewed, and the server ends it sooner if it can hold a leave back (`held`). The relay is that of the one who has been in the call longest, and its
//! password is an OpenID token ([MSC4195](https://github.com/matrix-org/matrix-spec-proposals/pull/4195)).

use std::time::Duration;

use async_stream::stream;
use futures_util::StreamExt;
use matrix_sdk::{
    Room,
    ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UserId},
    sleep::sleep,
};
use tokio::sync::mpsc;

use crate::{
    Account, Error, Person, Stream,
    timeout::{LONG, USUAL, within},
};

mod held;
mod keys;
mod membership;
mod relay;

/// A membership is renewed so often ...
const RENEWAL: Duration = Duration::from_secs(4 * 60);
/// ... and is good for so long: whoever vanishes is gone after that.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A key that could not be given is tried again so often.
const RETRY: Duration = Duration::from_secs(10);

/// The call of a room.
#[derive(Clone)]
pub struct Call {
    account: Account,
    room: Room,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.account == other.account && self.room.room_id() == other.room.room_id()
    }
}

/// A device in the call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallMember {
    pub person: Person,
    pub device_id: String,
    /// How the relay names it: `@alice:team.example:DEVICE`.
    pub identity: String,
    /// Milliseconds since the epoch.
    pub since: u64,
    /// It is this device.
    pub own: bool,
}

/// What opens the relay's door, once, for an hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// Where LiveKit's protocol is spoken: `wss://...`
    pub url: String,
    /// The access token for it.
    pub jwt: String,
    /// How the relay will name this device.
    pub identity: String,
    /// This device's key, in an encrypted room; without one nothing is to be encrypted. Keys of the
    /// others come from [`Call::run`].
    pub key: Option<MediaKey>,
}

/// What opens the sound and the picture of one member.
#[derive(Clone, PartialEq)]
pub struct MediaKey {
    /// Of the member who encrypts with it; of [`CallMember::identity`].
    pub identity: String,
    /// 0 to 255.
    pub index: u8,
    /// 16 bytes, to be given to the key provider as they are.
    pub key: Vec<u8>,
}

/// The request that tells the room that this device has left, for a page that goes, and whose program goes
/// with it.
#[derive(Clone, PartialEq)]
pub struct Farewell {
    /// `PUT`, or `POST` where the server holds the leave back.
    pub method: &'static str,
    pub url: String,
    /// JSON.
    pub body: &'static str,
    /// For the header `Authorization: Bearer ...`
    pub access_token: String,
}

/// The one call that this device is in.
#[derive(Clone)]
pub(crate) struct Attended {
    room: Room,
    /// The leave that the server holds back, if it does such things.
    held: Option<String>,
    /// The room is being told; if the page goes in the middle of that, [`Call::farewell`] tells it.
    leaving: bool,
}

impl std::fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaKey")
            .field("identity", &self.identity)
            .field("index", &self.index)
            .finish()
    }
}

impl Account {
    /// The call of a room that the user is in.
    pub fn call(&self, room_id: &str) -> Result<Call, Error> {
        Ok(Call { account: self.clone(), room: self.known_room(room_id)? })
    }

    /// Leaves the call that this device is in, if it is in one.
    pub(crate) async fn leave_call(&self) -> Result<(), Error> {
        let attended = self.inner().attended.lock().as_mut().map(|attended| {
            attended.leaving = true;
            attended.clone()
        });
        let Some(Attended { room, held, .. }) = attended else { return Ok(()) };
        let told = within(USUAL, async {
            membership::withdraw(&room).await?;
            if let Some(delay_id) = held {
                held::cancel(&room, delay_id).await;
            }
            Ok::<_, Error>(())
        })
        .await;
        self.inner().attended.lock().take_if(|attended| attended.leaving);
        told
    }
}

impl Call {
    /// Who is in the call, the longest first, now and each time that changes.
    pub fn members(&self) -> Stream<Vec<CallMember>> {
        let call = self.clone();
        stream! {
            let mut changes = call.room.subscribe_info();
            let mut shown: Option<Vec<CallMember>> = None;
            loop {
                let now = membership::rows(&call.room).await;
                if shown.as_ref() != Some(&now) {
                    shown = Some(now.clone());
                    yield now;
                }
                let next = tokio::select! {
                    next = changes.next() => next.is_some(),
                    // Memberships run out without a word.
                    () = sleep(Duration::from_secs(30)) => true,
                };
                if !next {
                    return;
                }
            }
        }
        .boxed_local()
    }

    /// Enters: gets a ticket for the relay, then tells the room. From then on [`Call::run`] must be
    /// listened to.
    ///
    /// Errors: [`crate::ErrorKind::NotSupported`] if neither this server nor who is in the call has a
    /// relay, [`crate::ErrorKind::Forbidden`], network.
    pub async fn join(&self) -> Result<Ticket, Error> {
        within(LONG, async {
            let service = self.service().await?;
            let ticket = relay::ticket(&self.account, &service, self.room.room_id()).await?;
            self.enter(&service, None).await?;
            let identity = self.own_identity();
            let encrypted = self.room.latest_encryption_state().await?.is_encrypted();
            let key = encrypted.then(|| MediaKey::new(identity.clone(), 0));
            Ok::<_, Error>(Ticket { url: ticket.url, jwt: ticket.jwt, identity, key })
        })
        .await
    }

    /// Keeps the user in the call, gives this device's key to whoever comes and a new one to the rest
    /// when somebody leaves. Yields the keys to be used: those of others, and this device's new ones.
    pub fn run(&self, ticket: &Ticket) -> Stream<MediaKey> {
        let (call, mut own) = (self.clone(), ticket.key.clone());
        // Now, not when it is first asked: no key is missed in between.
        let (found, mut received) = mpsc::channel(256);
        let handler = keys::listen(&call.room, found);
        stream! {
            let _handler = handler;
            let mut members = call.members();
            let mut announced = false;
            let (mut present, mut given) = (Vec::new(), Vec::<OwnedDeviceId>::new());
            let (mut renewal, mut retry) = (Box::pin(sleep(RENEWAL)), Box::pin(sleep(RETRY)));
            let mut beat = Box::pin(sleep(held::BEAT));
            loop {
                tokio::select! {
                    key = received.recv() => {
                        let Some(key) = key else { return };
                        yield key;
                        continue;
                    }
                    () = &mut renewal => {
                        renewal = Box::pin(sleep(RENEWAL));
                        call.renew().await;
                        continue;
                    }
                    () = &mut beat => {
                        beat = Box::pin(sleep(held::BEAT));
                        call.beat().await;
                        continue;
                    }
                    () = &mut retry => retry = Box::pin(sleep(RETRY)),
                    next = members.next() => {
                        let Some(next) = next else { return };
                        present = others(&next);
                        let own = next.iter().any(|member| member.own);
                        // An earlier page of this device was held to have left, and this one with it.
                        if announced && !own && call.stays().is_some() {
                            call.renew().await;
                        }
                        announced = own;
                    }
                }
                let Some(key) = own.as_mut() else { continue };
                if given.iter().any(|id| !present.iter().any(|(_, device)| device == id)) {
                    // Whoever has left must not listen on.
                    *key = MediaKey::new(key.identity.clone(), key.index.wrapping_add(1));
                    given.clear();
                    yield key.clone();
                }
                let new = present.iter().filter(|(_, id)| !given.contains(id)).cloned();
                let new: Vec<_> = new.collect();
                match within(USUAL, keys::give(&call.account, &call.room, key, &new)).await {
                    Ok(devices) => given.extend(devices),
                    Err(error) => tracing::warn!(%error, "a key of the call could not be given"),
                }
            }
        }
        .boxed_local()
    }

    /// Leaves, if this device is in this call; the room is told.
    pub async fn leave(&self) -> Result<(), Error> {
        match self.attended() {
            Some(_) => self.account.leave_call().await,
            None => Ok(()),
        }
    }

    /// Tells the room that this device is not in the call, where an earlier run of the program was.
    pub async fn withdraw(&self) -> Result<(), Error> {
        within(USUAL, membership::withdraw(&self.room)).await
    }

    /// What to do now if there is no time to [`Call::leave`]. `None`: this device is not in the call.
    pub fn farewell(&self) -> Option<Farewell> {
        let access_token = self.account.client().access_token()?;
        let (method, url, body) = match self.attended()?.held {
            // Else it would be sent later, to a room in which this device may be in the call again.
            Some(delay_id) => ("POST", held::url(&self.room, &delay_id)?, r#"{"action":"send"}"#),
            None => ("PUT", membership::own_url(&self.room)?, "{}"),
        };
        Some(Farewell { method, url: url.into(), body, access_token })
    }

    /// Tells the room that this device is in the call, and the server when it is not.
    async fn enter(
        &self,
        service: &str,
        since: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<(), Error> {
        // First: whoever vanishes in between is out all the same.
        let held = held::schedule(&self.room).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the server will not know when this device vanishes");
            None
        });
        let attended = Attended { room: self.room.clone(), held, leaving: false };
        self.account.inner().attended.lock().replace(attended);
        membership::announce(&self.room, service, since).await
    }

    fn attended(&self) -> Option<Attended> {
        let attended = self.account.inner().attended.lock();
        attended.clone().filter(|it| it.room.room_id() == self.room.room_id())
    }

    /// This device is in this call, and is not about to leave it.
    fn stays(&self) -> Option<Attended> {
        self.attended().filter(|it| !it.leaving)
    }

    async fn beat(&self) {
        let Some(delay_id) = self.stays().and_then(|it| it.held) else { return };
        let next =
            within(USUAL, async { Ok::<_, Error>(held::restart(&self.room, &delay_id).await) });
        if next.await.is_ok_and(|next| next == held::Next::Enter) {
            let entered = within(USUAL, async { self.enter(&self.service().await?, None).await });
            self.warn(entered.await);
        }
    }

    async fn renew(&self) {
        let renewed = within(USUAL, async {
            let since = membership::own_created(&self.room).await;
            membership::announce(&self.room, &self.service().await?, since).await
        });
        self.warn(renewed.await);
    }

    fn warn(&self, renewed: Result<(), Error>) {
        if let Err(error) = renewed {
            tracing::warn!(%error, "the membership in the call could not be renewed");
        }
    }

    /// The relay of whoever has been in the call longest, else of this user's own server.
    async fn service(&self) -> Result<String, Error> {
        match membership::oldest_service(&self.room).await {
            Some(service) => Ok(service),
            None => relay::own_service(&self.account).await,
        }
    }

    fn own_identity(&self) -> String {
        format!("{}:{}", self.account.user_id(), self.account.device_id())
    }
}

/// The other devices in the call.
fn others(members: &[CallMember]) -> Vec<(OwnedUserId, OwnedDeviceId)> {
    let others = members.iter().filter(|member| !member.own);
    others
        .filter_map(|it| Some((UserId::parse(&it.person.id).ok()?, it.device_id.as_str().into())))
        .collect()
}
