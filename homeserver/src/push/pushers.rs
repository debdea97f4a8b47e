//! Where does each user want to be told of events?
//!
//! All pushers of a team are in memory: whether anybody has to be told of an event is asked for every
//! event. A pusher goes with its device: whoever deletes the device publishes that, and the reader of
//! the log calls [`Pushers::without_devices`]; until then the pusher is passed over.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3pushersset)

use std::{collections::HashMap, sync::Arc};

use kith_federation::guard::AddressGuard;
use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, PusherRow},
};
use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use serde_json::Value;
use tokio::sync::Notify;
use url::{Host, Url};

use crate::{locks::KeyedLocks, room::members::UserSet};

/// How many pushers one user may have.
const PUSHERS: usize = 50;
/// The longest application ID, in characters.
const APP_ID: usize = 64;
/// The longest pushkey, in bytes.
const PUSHKEY: usize = 512;
/// The longest of the names that only people read, in bytes.
const NAME: usize = 1024;
/// The size of the data as JSON, in bytes.
const DATA: usize = 16 * 1024;
/// Where every gateway listens.
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";

#[derive(Debug, thiserror::Error)]
pub enum PusherError {
    #[error("{0}")]
    Invalid(String),
    #[error("a user has at most {PUSHERS} pushers")]
    TooMany,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// What names a pusher.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PusherId {
    pub user_id: OwnedUserId,
    pub app_id: String,
    pub pushkey: String,
}

#[derive(Debug, Clone)]
pub struct Pusher {
    pub id: PusherId,
    pub row: Arc<PusherRow>,
}

type OfUser = Arc<Vec<Pusher>>;

/// The pushers of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Pushers {
    store: Store,
    guard: Arc<AddressGuard>,
    users: Arc<RwLock<HashMap<OwnedUserId, OfUser>>>,
    /// By application ID and pushkey.
    locks: KeyedLocks<(String, String)>,
    changed: Arc<Notify>,
}

impl PusherId {
    fn key(&self) -> (OwnedUserId, String, String) {
        (self.user_id.clone(), self.app_id.clone(), self.pushkey.clone())
    }

    fn by_key(&self) -> (String, String, OwnedUserId) {
        (self.app_id.clone(), self.pushkey.clone(), self.user_id.clone())
    }
}

impl Pusher {
    pub fn url(&self) -> Option<Url> {
        self.row.data.get("url")?.as_str()?.parse().ok()
    }
}

impl Pushers {
    /// Reads all pushers.
    pub async fn open(store: Store, guard: AddressGuard) -> Result<Self, kith_store::Error> {
        let mut users: HashMap<OwnedUserId, Vec<Pusher>> = HashMap::new();
        for ((user_id, app_id, pushkey), Json(row)) in
            store.scan(&tables::PUSHERS, Scan::all()).await?
        {
            let id = PusherId { user_id: user_id.clone(), app_id, pushkey };
            users.entry(user_id).or_default().push(Pusher { id, row: Arc::new(row) });
        }
        let users = users.into_iter().map(|(user, pushers)| (user, Arc::new(pushers))).collect();
        Ok(Self {
            store,
            guard: Arc::new(guard),
            users: Arc::new(RwLock::new(users)),
            locks: KeyedLocks::default(),
            changed: Arc::default(),
        })
    }

    /// A user's pushers, in no special order.
    pub fn of(&self, user_id: &UserId) -> OfUser {
        self.users.read().get(user_id).cloned().unwrap_or_default()
    }

    pub fn get(&self, id: &PusherId) -> Option<Pusher> {
        self.of(&id.user_id).iter().find(|pusher| pusher.id == *id).cloned()
    }

    /// How many users have pushers.
    pub fn users(&self) -> usize {
        self.users.read().len()
    }

    /// Those of these users who have pushers.
    pub fn among(&self, users: &UserSet) -> Vec<OwnedUserId> {
        let with_pushers = self.users.read();
        if users.len() <= with_pushers.len() {
            users.iter().filter(|user| with_pushers.contains_key(*user)).cloned().collect()
        } else {
            with_pushers.keys().filter(|user| users.contains(*user)).cloned().collect()
        }
    }

    pub fn has_any(&self, user_id: &UserId) -> bool {
        self.users.read().contains_key(user_id)
    }

    /// Wakes whoever waits when a pusher was set or removed.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// The user's pushers whose devices are still there.
    pub async fn live(&self, user_id: &UserId) -> Result<Vec<Pusher>, kith_store::Error> {
        let mut live = Vec::new();
        for pusher in self.of(user_id).iter() {
            if self.is_live(pusher).await? {
                live.push(pusher.clone());
            }
        }
        Ok(live)
    }

    /// Whether the device that set the pusher is still there.
    pub async fn is_live(&self, pusher: &Pusher) -> Result<bool, kith_store::Error> {
        let device = (pusher.id.user_id.clone(), pusher.row.device_id.clone());
        self.store.contains(&tables::DEVICES, &device).await
    }

    /// Adds a pusher or replaces it. Unless it is to be appended, other users lose their pushers of
    /// this application and key.
    pub async fn set(
        &self,
        id: PusherId,
        mut row: PusherRow,
        append: bool,
    ) -> Result<(), PusherError> {
        self.check(&id, &row)?;
        let _guard = self.locks.lock((id.app_id.clone(), id.pushkey.clone())).await;
        match self.get(&id) {
            Some(known) => row.since = known.row.since,
            None if self.of(&id.user_id).len() >= PUSHERS => return Err(PusherError::TooMany),
            None => row.since = self.store.stream().position(),
        }
        let mut batch = Batch::new();
        if !append {
            let prefix = (id.app_id.clone(), id.pushkey.clone());
            let others = self.store.scan(&tables::PUSHERS_BY_KEY, Scan::prefix(&prefix)).await?;
            for ((app_id, pushkey, user_id), ()) in others {
                if user_id != id.user_id {
                    self.delete(&mut batch, PusherId { user_id, app_id, pushkey });
                }
            }
        }
        batch.put(&tables::PUSHERS, &id.key(), &Json(row.clone()));
        batch.put(&tables::PUSHERS_BY_KEY, &id.by_key(), &());
        let pushers = self.clone();
        batch.on_commit(move |_| {
            let mut users = pushers.users.write();
            let of_user = Arc::make_mut(users.entry(id.user_id.clone()).or_default());
            of_user.retain(|pusher| pusher.id != id);
            of_user.push(Pusher { id, row: Arc::new(row) });
            drop(users);
            pushers.changed.notify_waiters();
        });
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Removes a pusher, if it is there.
    pub async fn remove(&self, id: PusherId) -> Result<(), kith_store::Error> {
        let _guard = self.locks.lock((id.app_id.clone(), id.pushkey.clone())).await;
        if self.get(&id).is_none() {
            return Ok(());
        }
        let mut batch = Batch::new();
        self.delete(&mut batch, id);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Removes the user's pushers whose devices are gone.
    pub async fn without_devices(&self, user_id: &UserId) -> Result<(), kith_store::Error> {
        for pusher in self.of(user_id).iter() {
            if !self.is_live(pusher).await? {
                self.remove(pusher.id.clone()).await?;
            }
        }
        Ok(())
    }

    fn delete(&self, batch: &mut Batch, id: PusherId) {
        batch.delete(&tables::PUSHERS, &id.key());
        batch.delete(&tables::PUSHERS_BY_KEY, &id.by_key());
        let pushers = self.clone();
        batch.on_commit(move |_| {
            let mut users = pushers.users.write();
            if let Some(of_user) = users.get_mut(&id.user_id) {
                Arc::make_mut(of_user).retain(|pusher| pusher.id != id);
                if of_user.is_empty() {
                    users.remove(&id.user_id);
                }
            }
            drop(users);
            pushers.changed.notify_waiters();
        });
    }

    fn check(&self, id: &PusherId, row: &PusherRow) -> Result<(), PusherError> {
        let invalid = |reason: &str| Err(PusherError::Invalid(reason.to_owned()));
        if id.app_id.is_empty() || id.app_id.chars().count() > APP_ID {
            return invalid("`app_id` has 1 to 64 characters");
        }
        if id.pushkey.is_empty() || id.pushkey.len() > PUSHKEY {
            return invalid("`pushkey` has 1 to 512 bytes");
        }
        let names = [&row.app_display_name, &row.device_display_name, &row.lang];
        let mut names = names.into_iter().chain(&row.profile_tag);
        if names.any(|name| name.len() > NAME) {
            return invalid("a name has at most 1024 bytes");
        }
        if serde_json::to_vec(&row.data).is_ok_and(|data| data.len() > DATA) {
            return invalid("`data` has at most 16 KiB");
        }
        let url = row.data.get("url").and_then(Value::as_str).map(Url::parse);
        let Some(Ok(url)) = url else { return invalid("`data.url` is not a URL") };
        if url.path() != GATEWAY_PATH {
            return invalid("the path of `data.url` is not /_matrix/push/v1/notify");
        }
        if self.guard.check(&url).is_err() {
            return invalid("this server does not connect to the host of `data.url`");
        }
        if url.scheme() != "https" && !self.may_be_plain(&url) {
            return invalid("`data.url` is not an HTTPS URL");
        }
        Ok(())
    }

    /// Without TLS only to addresses that the operator opened with `outgoing.allowed_ranges`.
    fn may_be_plain(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => std::net::IpAddr::from(address).to_canonical(),
            _ => return false,
        };
        self.guard.allowed.iter().any(|range| range.contains(&address))
    }
}
