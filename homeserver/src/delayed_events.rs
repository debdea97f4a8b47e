//! What do users send later, unless they say otherwise before? A client that is gone leaves a call in this
//! way: it asks for that, and puts it off again and again as long as it is there.
//!
//! MSC4140. A delayed event is written before it is answered for, and survives a restart.

mod delivery;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, DelayedRow, Finalised, Outcome},
};
use parking_lot::Mutex;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, TransactionId, UserId,
    serde::{Base64, base64::UrlSafe},
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::{
    invites::{InviteError, Invites},
    locks::KeyedLocks,
    random::random_string,
    room::{Rooms, SendError},
    users::{Requester, Users},
};

/// The longest that an event may wait.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How many events of one user wait at a time.
pub const MOST: usize = 100;
/// The largest content, in bytes. What is not larger may still be too large as an event, when it is sent.
const CONTENT: usize = 65_535;
/// How long, and how many of one user, are known that are done with.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const KEPT: usize = 100;

/// The delayed events of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct DelayedEvents(Arc<Inner>);

struct Inner {
    store: Store,
    rooms: Rooms,
    users: Users,
    invites: Invites,
    /// Held while an event of this user is scheduled, put off, sent or cancelled.
    locks: KeyedLocks<OwnedUserId>,
    /// All that wait, the next first.
    due: Mutex<BTreeSet<(Millis, DelayedKey)>>,
    changed: Notify,
}

type DelayedKey = (OwnedUserId, String);
/// Since the epoch.
type Millis = u64;

/// What is to be sent.
#[derive(Debug)]
pub struct NewDelayed<'a> {
    pub room_id: OwnedRoomId,
    pub kind: String,
    /// Only for state.
    pub state_key: Option<String>,
    pub content: Box<RawValue>,
    pub delay: Duration,
    /// Repeating it on one device schedules nothing new.
    pub transaction_id: Option<&'a TransactionId>,
}

/// What can be done with an event that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayedAction {
    /// The delay begins anew.
    Restart,
    Send,
    Cancel,
}

#[derive(Debug, thiserror::Error)]
pub enum DelayedError {
    #[error("the delay is not greater than zero")]
    NoDelay,
    #[error("the delay is longer than {} ms", LONGEST.as_millis())]
    TooLong,
    #[error("the content is too large")]
    TooLarge,
    #[error("{MOST} events wait already")]
    TooMany,
    #[error("there is no such delayed event")]
    NotFound,
    #[error("the event was sent")]
    WasSent,
    #[error("the event was cancelled")]
    WasCancelled,
    #[error("the event could not be sent: {0}")]
    HadFailed(String),
    #[error("the account may send nothing now")]
    Closed,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl DelayedEvents {
    /// Knows again what waited when the server stopped.
    pub async fn open(
        store: Store,
        rooms: Rooms,
        users: Users,
        invites: Invites,
    ) -> Result<Self, kith_store::Error> {
        let mut due = BTreeSet::new();
        for (key, Json(row)) in store.scan(&tables::DELAYED_EVENTS, Scan::all()).await? {
            if row.finalised.is_none() {
                due.insert((due_at(&row), key));
            }
        }
        let (due, locks, changed) = (Mutex::new(due), KeyedLocks::default(), Notify::new());
        Ok(Self(Arc::new(Inner { store, rooms, users, invites, locks, due, changed })))
    }

    /// Answers the ID by which the sender knows the event until it is sent. Whether the room allows it is
    /// seen when it is sent.
    pub async fn schedule(
        &self,
        requester: &Requester,
        new: NewDelayed<'_>,
    ) -> Result<String, DelayedError> {
        let inner = &*self.0;
        if new.delay.is_zero() {
            return Err(DelayedError::NoDelay);
        }
        if new.delay > LONGEST {
            return Err(DelayedError::TooLong);
        }
        if new.content.get().len() > CONTENT {
            return Err(DelayedError::TooLarge);
        }
        inner.rooms.joined_room(&new.room_id, &requester.user_id).await?;
        let _guard = inner.locks.lock(requester.user_id.clone()).await;
        let key = (requester.user_id.clone(), delay_id(requester, &new));
        let known = inner.of(&requester.user_id).await?;
        if known.iter().any(|(id, _)| *id == key.1) {
            return Ok(key.1);
        }
        if known.iter().filter(|(_, row)| row.finalised.is_none()).count() >= MOST {
            return Err(DelayedError::TooMany);
        }
        let mut batch = Batch::new();
        forget_old(&mut batch, &requester.user_id, &known);
        let row = DelayedRow {
            device_id: requester.device_id.clone(),
            room_id: new.room_id,
            kind: new.kind,
            state_key: new.state_key,
            content: new.content,
            delay: new.delay.as_millis().try_into().unwrap_or(Millis::MAX),
            since: MilliSecondsSinceUnixEpoch::now(),
            finalised: None,
        };
        inner.put(batch, &key, row).await?;
        Ok(key.1)
    }

    /// Only the sender knows their events.
    pub async fn act(
        &self,
        user_id: &UserId,
        delay_id: &str,
        action: DelayedAction,
    ) -> Result<(), DelayedError> {
        let inner = &*self.0;
        let key = (user_id.to_owned(), delay_id.to_owned());
        let _guard = inner.locks.lock(key.0.clone()).await;
        let mut row = self.get(user_id, delay_id).await?.ok_or(DelayedError::NotFound)?;
        if let Some(done) = &row.finalised {
            return repeated(action, &done.outcome);
        }
        match action {
            DelayedAction::Restart => {
                inner.due.lock().remove(&(due_at(&row), key.clone()));
                row.since = MilliSecondsSinceUnixEpoch::now();
                inner.put(Batch::new(), &key, row).await?;
            }
            // If it cannot be sent it goes on to wait.
            DelayedAction::Send => {
                let event_id = inner.send(&key, &row).await?;
                inner.finalise(&key, row, Outcome::Sent(event_id)).await?;
            }
            DelayedAction::Cancel => inner.finalise(&key, row, Outcome::Cancelled).await?,
        }
        Ok(())
    }

    pub async fn get(
        &self,
        user_id: &UserId,
        delay_id: &str,
    ) -> Result<Option<DelayedRow>, kith_store::Error> {
        let key = (user_id.to_owned(), delay_id.to_owned());
        Ok(self.0.store.get(&tables::DELAYED_EVENTS, &key).await?.map(|Json(row)| row))
    }

    /// Those that wait and those that are done with, by their IDs; a few hundred at most.
    pub async fn of(
        &self,
        user_id: &UserId,
    ) -> Result<Vec<(String, DelayedRow)>, kith_store::Error> {
        self.0.of(user_id).await
    }
}

impl Inner {
    async fn of(&self, user_id: &UserId) -> Result<Vec<(String, DelayedRow)>, kith_store::Error> {
        let of_user = Scan::prefix(&(user_id.to_owned(),));
        let rows = self.store.scan(&tables::DELAYED_EVENTS, of_user).await?;
        Ok(rows.into_iter().map(|((_, id), Json(row))| (id, row)).collect())
    }

    /// Writes an event that waits.
    async fn put(
        &self,
        mut batch: Batch,
        key: &DelayedKey,
        row: DelayedRow,
    ) -> Result<(), kith_store::Error> {
        let due = (due_at(&row), key.clone());
        batch.put(&tables::DELAYED_EVENTS, key, &Json(row));
        self.store.commit(batch).await?;
        self.due.lock().insert(due);
        self.changed.notify_one();
        Ok(())
    }

    async fn finalise(
        &self,
        key: &DelayedKey,
        mut row: DelayedRow,
        outcome: Outcome,
    ) -> Result<(), kith_store::Error> {
        self.due.lock().remove(&(due_at(&row), key.clone()));
        row.finalised = Some(Finalised { at: MilliSecondsSinceUnixEpoch::now(), outcome });
        let mut batch = Batch::new();
        batch.put(&tables::DELAYED_EVENTS, key, &Json(row));
        self.store.commit(batch).await?;
        Ok(())
    }
}

fn due_at(row: &DelayedRow) -> Millis {
    Millis::from(row.since.get()).saturating_add(row.delay)
}

/// To say again what came to pass is right; a client whose event is gone has to schedule another one.
fn repeated(action: DelayedAction, outcome: &Outcome) -> Result<(), DelayedError> {
    match (action, outcome) {
        (DelayedAction::Restart, _) => Err(DelayedError::NotFound),
        (DelayedAction::Send, Outcome::Sent(_)) | (DelayedAction::Cancel, Outcome::Cancelled) => {
            Ok(())
        }
        (_, Outcome::Sent(_)) => Err(DelayedError::WasSent),
        (_, Outcome::Cancelled) => Err(DelayedError::WasCancelled),
        (_, Outcome::Failed(error)) => Err(DelayedError::HadFailed(error.clone())),
    }
}

/// The same for the same transaction of a device, so that a request can be repeated.
fn delay_id(requester: &Requester, new: &NewDelayed<'_>) -> String {
    let Some(transaction_id) = new.transaction_id else { return random_string(32) };
    let parts = [
        requester.user_id.as_str(),
        requester.device_id.as_str(),
        new.room_id.as_str(),
        &new.kind,
        transaction_id.as_str(),
    ];
    let json = serde_json::to_vec(&parts).expect("texts are JSON");
    Base64::<UrlSafe, _>::new(Sha256::digest(json)).encode()
}

/// Lets go of what was done with long ago, and of the oldest where there are many.
fn forget_old(batch: &mut Batch, user_id: &UserId, known: &[(String, DelayedRow)]) {
    let mut done: Vec<(Millis, &String)> = known
        .iter()
        .filter_map(|(id, row)| Some((row.finalised.as_ref()?.at.get().into(), id)))
        .collect();
    done.sort_unstable();
    let now = Millis::from(MilliSecondsSinceUnixEpoch::now().get());
    let oldest = u128::from(now).saturating_sub(KEPT_FOR.as_millis());
    let surplus = done.len().saturating_sub(KEPT);
    for (n, (at, id)) in done.into_iter().enumerate() {
        if n < surplus || u128::from(at) < oldest {
            batch.delete(&tables::DELAYED_EVENTS, &(user_id.to_owned(), id.clone()));
        }
    }
}
