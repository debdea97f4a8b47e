//! Two devices show the same seven emoji, and people compare them.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#short-authentication-string-sas-verification)

use std::collections::BTreeMap;

use async_stream::stream;
use futures_util::{StreamExt, stream};
use matrix_sdk::{
    Client, Room,
    encryption::verification::{
        CancelInfo, SasState, SasVerification, VerificationRequest, VerificationRequestState,
    },
    event_handler::EventHandlerDropGuard,
    executor::spawn,
    ruma::{
        EventId, TransactionId, UserId,
        api::client::to_device::send_event_to_device::v3::Request,
        events::{
            AnyToDeviceEventContent,
            key::verification::{
                VerificationMethod, cancel::CancelCode,
                request::ToDeviceKeyVerificationRequestEvent,
            },
            relation::RelationType,
            room::message::{MessageType, OriginalSyncRoomMessageEvent},
        },
        serde::Raw,
        to_device::DeviceIdOrAllDevices,
    },
    timeout::timeout,
};
use tokio::sync::mpsc;

use crate::{
    Account, Error, ErrorKind, Stream,
    timeout::{LONG, USUAL, within},
};

/// Requests that wait to be shown; more at a time are somebody's attack.
const MAX_WAITING: usize = 16;

/// One verification from its request to its end.
#[derive(Clone)]
pub struct Verification {
    request: VerificationRequest,
    client: Client,
}

impl PartialEq for Verification {
    fn eq(&self, other: &Self) -> bool {
        self.request.flow_id() == other.request.flow_id()
    }
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub user_id: String,
    /// It is another device of this user.
    pub own: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum VerificationState {
    /// This device has asked, and waits.
    Waiting,
    /// The other one asks: [`Verification::accept`] or [`Verification::cancel`].
    Requested,
    /// Both are there; the emoji follow.
    Starting,
    /// Are these on the other screen too? [`Verification::confirm`] or [`Verification::mismatch`].
    Emoji(Vec<Emoji>),
    /// Confirmed here; the other one has not yet.
    Confirmed,
    Done,
    Cancelled(CancelReason),
}

impl VerificationState {
    /// Nothing follows.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Cancelled(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji {
    pub symbol: &'static str,
    /// In English, as in the specification's table: `Dog`.
    pub name: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    ByUs,
    ByThem,
    Mismatch,
    TimedOut,
    /// Another device of the user has answered.
    AnsweredElsewhere,
    Other,
}

impl Account {
    /// Asks another device of the user, or all of them if none is named.
    ///
    /// Errors: [`ErrorKind::NotFound`], [`ErrorKind::NoIdentity`], network.
    pub async fn verify_own_device(&self, device_id: Option<&str>) -> Result<Verification, Error> {
        let encryption = self.client().encryption();
        let own = self.client().user_id().expect("an account is signed in");
        let methods = vec![VerificationMethod::SasV1];
        let request = within(LONG, async {
            encryption.wait_for_e2ee_initialization_tasks().await;
            let Some(device_id) = device_id else {
                let identity = encryption.get_user_identity(own).await.map_err(Error::store)?;
                let identity = identity.ok_or(ErrorKind::NoIdentity)?;
                return Ok(identity.request_verification_with_methods(methods).await?);
            };
            let device =
                encryption.get_device(own, device_id.into()).await.map_err(Error::store)?;
            let device = device.ok_or(ErrorKind::NotFound)?;
            Ok::<_, Error>(device.request_verification_with_methods(methods).await?)
        });
        Ok(Verification { request: request.await?, client: self.client().clone() })
    }

    /// Asks somebody, in the direct chat with them.
    ///
    /// Errors: [`ErrorKind::NoIdentity`], network.
    pub async fn verify_user(&self, user_id: &str) -> Result<Verification, Error> {
        let id = UserId::parse(user_id)?;
        let encryption = self.client().encryption();
        let request = within(LONG, async {
            encryption.wait_for_e2ee_initialization_tasks().await;
            let identity = encryption.request_user_identity(&id).await?;
            let identity = identity.ok_or(ErrorKind::NoIdentity)?;
            let methods = vec![VerificationMethod::SasV1];
            Ok::<_, Error>(identity.request_verification_with_methods(methods).await?)
        });
        Ok(Verification { request: request.await?, client: self.client().clone() })
    }

    /// The requests of others and of the user's other devices, as they come. Listen to it as long as
    /// the account is signed in.
    pub fn verification_requests(&self) -> Stream<Verification> {
        // Now, not when it is first asked: nothing is missed in between.
        let (found, mut requests) = mpsc::channel(MAX_WAITING);
        let client = self.client().clone();
        let handlers = listen(&client, found);
        stream! {
            let _handlers = handlers;
            while let Some(request) = requests.recv().await {
                yield Verification { request, client: client.clone() };
            }
        }
        .boxed_local()
    }
}

/// Requests between a user's devices come as to-device messages, those of others in a room.
fn listen(client: &Client, found: mpsc::Sender<VerificationRequest>) -> [EventHandlerDropGuard; 2] {
    let to_device = client.add_event_handler({
        let found = found.clone();
        move |event: ToDeviceKeyVerificationRequestEvent, client: Client| async move {
            let flow = event.content.transaction_id;
            let encryption = client.encryption();
            let request = encryption.get_verification_request(&event.sender, flow).await;
            tell(&found, request);
        }
    });
    let in_room = client.add_event_handler(
        move |event: OriginalSyncRoomMessageEvent, room: Room, client: Client| async move {
            if let MessageType::VerificationRequest(_) = event.content.msgtype
                && !is_answered(&room, &event.event_id).await
            {
                let encryption = client.encryption();
                let flow = event.event_id;
                let request = encryption.get_verification_request(&event.sender, flow).await;
                tell(&found, request);
            }
        },
    );
    [client.event_handler_drop_guard(to_device), client.event_handler_drop_guard(in_room)]
}

/// A program that starts sees the newest messages of a room once more, and the SDK takes a request among them for new.
async fn is_answered(room: &Room, request: &EventId) -> bool {
    let Ok((events, _loaded)) = room.event_cache().await else { return false };
    let answers = events.find_event_relations(request, Some(vec![RelationType::Reference])).await;
    answers.is_ok_and(|answers| !answers.is_empty())
}

fn tell(found: &mpsc::Sender<VerificationRequest>, request: Option<VerificationRequest>) {
    let live = request.filter(|it| !it.we_started() && !it.is_done() && !it.is_cancelled());
    if let Some(request) = live
        && found.try_send(request).is_err()
    {
        tracing::warn!("too many verification requests at a time");
    }
}

impl Verification {
    /// Of this verification, the same on both sides.
    pub fn id(&self) -> &str {
        self.request.flow_id()
    }

    pub fn peer(&self) -> Peer {
        Peer {
            user_id: self.request.other_user_id().to_string(),
            own: self.request.is_self_verification(),
        }
    }

    /// What to show, now and as it goes on; ends after [`VerificationState::Done`] and
    /// [`VerificationState::Cancelled`]. It must be listened to, or nothing goes on.
    pub fn states(&self) -> Stream<VerificationState> {
        let Self { request, client } = self.clone();
        let changes = request.changes();
        let mut states = stream::iter([request.state()]).chain(changes).boxed_local();
        stream! {
            while let Some(state) = states.next().await {
                let ready = matches!(state, VerificationRequestState::Ready { .. });
                let state = match state {
                    VerificationRequestState::Created { .. } => VerificationState::Waiting,
                    VerificationRequestState::Requested { .. } => VerificationState::Requested,
                    VerificationRequestState::Ready { .. } => VerificationState::Starting,
                    VerificationRequestState::Transitioned { verification } => {
                        let Some(sas) = verification.sas() else { return };
                        let mut states = follow(sas, client.clone());
                        while let Some(state) = states.next().await {
                            yield state;
                        }
                        return;
                    }
                    VerificationRequestState::Done => VerificationState::Done,
                    VerificationRequestState::Cancelled(info) => {
                        VerificationState::Cancelled(reason(&info))
                    }
                };
                let over = state.is_over();
                yield state;
                if over {
                    return;
                }
                if ready
                    && request.we_started()
                    && let Err(error) = within(USUAL, request.start_sas()).await
                {
                    tracing::warn!(%error, "the verification could not be started");
                }
            }
        }
        .boxed_local()
    }

    /// Says yes to a request.
    pub async fn accept(&self) -> Result<(), Error> {
        let methods = vec![VerificationMethod::SasV1];
        within(USUAL, self.request.accept_with_methods(methods)).await
    }

    /// The emoji are the same.
    pub async fn confirm(&self) -> Result<(), Error> {
        within(USUAL, self.sas()?.confirm()).await
    }

    /// The emoji differ: somebody is in between.
    pub async fn mismatch(&self) -> Result<(), Error> {
        within(USUAL, self.sas()?.mismatch()).await
    }

    pub async fn cancel(&self) -> Result<(), Error> {
        within(USUAL, async {
            match self.sas() {
                Ok(sas) => sas.cancel().await,
                Err(_) => self.request.cancel().await,
            }
        })
        .await
    }

    fn sas(&self) -> Result<SasVerification, Error> {
        let VerificationRequestState::Transitioned { verification } = self.request.state() else {
            return Err(ErrorKind::NotFound.into());
        };
        verification.sas().ok_or(ErrorKind::NotFound.into())
    }
}

fn follow(sas: SasVerification, client: Client) -> Stream<VerificationState> {
    let changes = sas.changes();
    let mut states = stream::iter([sas.state()]).chain(changes).boxed_local();
    stream! {
        while let Some(state) = states.next().await {
            if sas.room_id().is_some() {
                spawn(wake(client.clone()));
            }
            let started = matches!(state, SasState::Started { .. });
            let state = match state {
                SasState::Created { .. } | SasState::Accepted { .. } | SasState::Started { .. } => {
                    VerificationState::Starting
                }
                SasState::KeysExchanged { emojis: Some(emojis), .. } => {
                    let emoji = emojis.emojis.iter();
                    let emoji = emoji.map(|it| Emoji { symbol: it.symbol, name: it.description });
                    VerificationState::Emoji(emoji.collect())
                }
                SasState::KeysExchanged { emojis: None, .. } => {
                    // Both sides offer emoji only; another client may not know them.
                    let _ = within(USUAL, sas.cancel()).await;
                    continue;
                }
                SasState::Confirmed => VerificationState::Confirmed,
                SasState::Done { .. } => VerificationState::Done,
                SasState::Cancelled(info) => VerificationState::Cancelled(reason(&info)),
            };
            let over = state.is_over();
            yield state;
            if over {
                return;
            }
            if started && let Err(error) = within(USUAL, sas.accept()).await {
                tracing::warn!(%error, "the verification could not be accepted");
            }
        }
    }
    .boxed_local()
}

/// matrix-sdk 0.18 sends some of its answers when the sync of the encryption comes back. Between devices of
/// one user it does at once, by their messages; in a room that takes up to half a minute each time. A
/// message to this very device lets it come back now.
async fn wake(client: Client) {
    let (Some(user), Some(device)) = (client.user_id(), client.device_id()) else { return };
    let nothing: Raw<AnyToDeviceEventContent> =
        Raw::from_json_string("{}".to_owned()).expect("an empty object is JSON");
    let to = BTreeMap::from([(DeviceIdOrAllDevices::DeviceId(device.to_owned()), nothing)]);
    let messages = BTreeMap::from([(user.to_owned(), to)]);
    let request = Request::new_raw("io.kith.wake".into(), TransactionId::new(), messages);
    // Not by `within`, whose futures stay on their thread.
    let sent = timeout(client.send(request).into_future(), USUAL).await;
    if !matches!(sent, Ok(Ok(_))) {
        tracing::warn!("the verification may take a while");
    }
}

fn reason(info: &CancelInfo) -> CancelReason {
    match info.cancel_code() {
        CancelCode::MismatchedSas | CancelCode::MismatchedCommitment | CancelCode::KeyMismatch => {
            CancelReason::Mismatch
        }
        CancelCode::Timeout => CancelReason::TimedOut,
        CancelCode::Accepted => CancelReason::AnsweredElsewhere,
        CancelCode::User if info.cancelled_by_us() => CancelReason::ByUs,
        CancelCode::User => CancelReason::ByThem,
        _ => CancelReason::Other,
    }
}
