//! Access tokens, refresh tokens, and the devices they belong to. Only a token's SHA-256 is stored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kith_store::{
    Batch, Json, Store,
    tables::{self, DeviceRow, TokenRow},
};
use quick_cache::sync::Cache;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UInt, UserId};
use sha2::{Digest, Sha256};

use super::last_seen::LastSeen;
use crate::{
    device_memory::DeviceLocks,
    keys::{Keys, publish_device},
    random::random_string,
    to_device::ToDevice,
    users::Requester,
};

/// How many signed-in devices are remembered; others are looked up in the store.
const CACHED_SESSIONS: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error("unknown access token")]
    UnknownToken { soft_logout: bool },
    #[error("this account is locked")]
    Locked,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// The sessions of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    store: Store,
    /// How long an access token lives that comes with a refresh token.
    lifetime: Duration,
    known: Cache<[u8; 32], Known>,
    /// How often sessions were ended or changed: whoever looked one up meanwhile must not remember
    /// what they found.
    ended: AtomicU64,
    locks: DeviceLocks,
    keys: Keys,
    to_device: ToDevice,
    last_seen: LastSeen,
}

#[derive(Clone)]
struct Known {
    requester: Requester,
    expires: Option<MilliSecondsSinceUnixEpoch>,
}

/// What a client that signs in asks for.
#[derive(Debug, Clone, Default)]
pub struct SessionRequest {
    /// A device that the user has already, or the name for a new one.
    pub device_id: Option<OwnedDeviceId>,
    /// For a new device.
    pub display_name: Option<String>,
    /// The access token shall expire, and a refresh token come with it.
    pub refreshable: bool,
}

/// What a client that signs in is given.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in: Option<Duration>,
    pub device_id: OwnedDeviceId,
}

impl Sessions {
    pub fn new(
        store: Store,
        locks: DeviceLocks,
        keys: Keys,
        to_device: ToDevice,
        access_token_lifetime: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            last_seen: LastSeen::default(),
            store,
            lifetime: access_token_lifetime,
            known: crate::cache::of_at_most(CACHED_SESSIONS),
            ended: AtomicU64::new(0),
            locks,
            keys,
            to_device,
        }))
    }

    /// Signs a user in on a device, new or known; a known device's older tokens stop working.
    pub async fn create(
        &self,
        user_id: &OwnedUserId,
        request: SessionRequest,
    ) -> Result<NewSession, kith_store::Error> {
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let device_id =
            request.device_id.unwrap_or_else(|| random_string(10).to_uppercase().into());
        let key = (user_id.clone(), device_id.clone());
        let known = self.0.store.get(&tables::DEVICES, &key).await?;
        let mut batch = Batch::new();
        let is_dehydrated = known.is_some()
            && self.dehydrated_row(user_id).await?.is_some_and(|row| row.device_id == device_id);
        let mut device = match known {
            // Whoever signs in with its ID does not have its keys.
            Some(Json(device)) if is_dehydrated => {
                self.forget_device(&mut batch, &key).await?;
                publish_device(&mut batch, &key);
                device
            }
            Some(Json(device)) => device,
            None => {
                publish_device(&mut batch, &key);
                DeviceRow { display_name: request.display_name, ..DeviceRow::default() }
            }
        };
        let old = drop_tokens(&mut batch, &mut device);
        device.last_seen = Some(MilliSecondsSinceUnixEpoch::now());
        let session = self.issue(&mut batch, &key, &mut device, request.refreshable);
        batch.put(&tables::DEVICES, &key, &Json(device));
        self.0.store.commit(batch).await?;
        self.forget(&old);
        Ok(session)
    }

    /// New tokens for a device whose access token expires. The old ones stay good until the new ones
    /// are used, so that a client that never got the answer can ask again.
    pub async fn refresh(&self, token: &str) -> Result<NewSession, AuthenticationError> {
        let unknown = || AuthenticationError::UnknownToken { soft_logout: false };
        let hash = hash(token);
        let row = self.0.store.get(&tables::REFRESH_TOKENS, &hash).await?;
        let Json(row) = row.ok_or_else(unknown)?;
        let user = self.0.store.get(&tables::USERS, &row.user_id).await?;
        let Json(user) = user.ok_or_else(unknown)?;
        if user.deactivated {
            return Err(unknown());
        }
        if user.locked {
            return Err(AuthenticationError::Locked);
        }
        let key = (row.user_id.clone(), row.device_id.ok_or_else(unknown)?);
        let _guard = self.0.locks.lock(row.user_id).await;
        let device = self.0.store.get(&tables::DEVICES, &key).await?;
        let Json(mut device) = device.ok_or_else(unknown)?;
        let mut batch = Batch::new();
        let dropped = if device.refresh_token == Some(hash) {
            // The pair before this one is of no use any more: its successor is in use.
            let before = drop_previous(&mut batch, &mut device);
            device.previous_access_token = device.access_token.take();
            device.previous_refresh_token = device.refresh_token.take();
            before
        } else if device.previous_refresh_token == Some(hash) {
            // The answer to the last refresh was lost: nobody has the tokens in it.
            drop_current(&mut batch, &mut device)
        } else {
            return Err(unknown());
        };
        let session = self.issue(&mut batch, &key, &mut device, true);
        batch.put(&tables::DEVICES, &key, &Json(device));
        self.0.store.commit(batch).await?;
        self.forget(&dropped);
        Ok(session)
    }

    /// Whose token is this?
    pub async fn authenticate(&self, token: &str) -> Result<Requester, AuthenticationError> {
        let hash = hash(token);
        if let Some(known) = self.0.known.get(&hash) {
            return check_expiry(known);
        }
        let ended = self.0.ended.load(Ordering::Acquire);
        let known = self.look_up(hash).await?;
        self.0.known.insert(hash, known.clone());
        // Whoever ends a session counts first and then forgets it: either we see the count here, or
        // they forget what was just inserted.
        if self.0.ended.load(Ordering::Acquire) != ended {
            self.0.known.remove(&hash);
        }
        check_expiry(known)
    }

    async fn look_up(&self, hash: [u8; 32]) -> Result<Known, AuthenticationError> {
        let unknown = || AuthenticationError::UnknownToken { soft_logout: false };
        let store = &self.0.store;
        let row = store.get(&tables::ACCESS_TOKENS, &hash).await?;
        let Json(row) = row.ok_or_else(unknown)?;
        let Json(user) = store.get(&tables::USERS, &row.user_id).await?.ok_or_else(unknown)?;
        if user.deactivated {
            return Err(unknown());
        }
        let key = (row.user_id, row.device_id.ok_or_else(unknown)?);
        let Json(device) = store.get(&tables::DEVICES, &key).await?.ok_or_else(unknown)?;
        if device.access_token == Some(hash) && device.previous_refresh_token.is_some() {
            self.retire_previous(&key, hash).await?;
        }
        let requester = Requester {
            user_id: key.0,
            device_id: key.1,
            guest: user.guest,
            admin: user.admin,
            locked: user.locked,
            suspended: user.suspended,
        };
        Ok(Known { requester, expires: row.expires })
    }

    /// The first use of refreshed tokens: those they replace stop working.
    async fn retire_previous(
        &self,
        key: &(OwnedUserId, OwnedDeviceId),
        current: [u8; 32],
    ) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(key.0.clone()).await;
        let Some(Json(mut device)) = self.0.store.get(&tables::DEVICES, key).await? else {
            return Ok(());
        };
        if device.access_token != Some(current) {
            return Ok(());
        }
        let mut batch = Batch::new();
        let dropped = drop_previous(&mut batch, &mut device);
        batch.put(&tables::DEVICES, key, &Json(device));
        self.0.store.commit(batch).await?;
        self.forget(&dropped);
        Ok(())
    }

    /// Puts new tokens into the batch and the device's row.
    fn issue(
        &self,
        batch: &mut Batch,
        key: &(OwnedUserId, OwnedDeviceId),
        device: &mut DeviceRow,
        refreshable: bool,
    ) -> NewSession {
        let (user_id, device_id) = key.clone();
        let access_token = random_string(40);
        let expires_in = refreshable.then_some(self.0.lifetime);
        let mut row =
            TokenRow { user_id, device_id: Some(device_id), expires: expires_in.map(after) };
        batch.put(&tables::ACCESS_TOKENS, &hash(&access_token), &Json(row.clone()));
        device.access_token = Some(hash(&access_token));
        let refresh_token = refreshable.then(|| random_string(40));
        row.expires = None;
        if let Some(token) = &refresh_token {
            batch.put(&tables::REFRESH_TOKENS, &hash(token), &Json(row));
        }
        device.refresh_token = refresh_token.as_deref().map(hash);
        NewSession { access_token, refresh_token, expires_in, device_id: key.1.clone() }
    }

    /// What was known of these access tokens is out of date.
    pub(super) fn forget(&self, tokens: &[[u8; 32]]) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
        for token in tokens {
            self.0.known.remove(token);
        }
    }

    /// What was known of this user's sessions is out of date: the account was locked, for example.
    pub async fn account_changed(&self, user_id: &UserId) -> Result<(), kith_store::Error> {
        let mut tokens = Vec::new();
        for (_, device) in self.rows(user_id).await? {
            tokens.extend(device.access_token);
            tokens.extend(device.previous_access_token);
        }
        self.forget(&tokens);
        Ok(())
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn locks(&self) -> &DeviceLocks {
        &self.0.locks
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(super) fn to_device(&self) -> &ToDevice {
        &self.0.to_device
    }

    pub(super) fn last_seen(&self) -> &LastSeen {
        &self.0.last_seen
    }
}

/// Takes all tokens from a device. Answers the access tokens among them.
pub(super) fn drop_tokens(batch: &mut Batch, device: &mut DeviceRow) -> Vec<[u8; 32]> {
    let mut dropped = drop_previous(batch, device);
    dropped.extend(drop_current(batch, device));
    dropped
}

fn drop_previous(batch: &mut Batch, device: &mut DeviceRow) -> Vec<[u8; 32]> {
    drop_pair(batch, &mut device.previous_access_token, &mut device.previous_refresh_token)
}

fn drop_current(batch: &mut Batch, device: &mut DeviceRow) -> Vec<[u8; 32]> {
    drop_pair(batch, &mut device.access_token, &mut device.refresh_token)
}

fn drop_pair(
    batch: &mut Batch,
    access_token: &mut Option<[u8; 32]>,
    refresh_token: &mut Option<[u8; 32]>,
) -> Vec<[u8; 32]> {
    if let Some(token) = refresh_token.take() {
        batch.delete(&tables::REFRESH_TOKENS, &token);
    }
    let dropped = access_token.take();
    if let Some(token) = &dropped {
        batch.delete(&tables::ACCESS_TOKENS, token);
    }
    Vec::from_iter(dropped)
}

fn check_expiry(known: Known) -> Result<Requester, AuthenticationError> {
    if known.expires.is_some_and(|expires| expires <= MilliSecondsSinceUnixEpoch::now()) {
        return Err(AuthenticationError::UnknownToken { soft_logout: true });
    }
    Ok(known.requester)
}

pub(super) fn after(duration: Duration) -> MilliSecondsSinceUnixEpoch {
    let milliseconds = UInt::try_from(duration.as_millis()).unwrap_or(UInt::MAX);
    let now = MilliSecondsSinceUnixEpoch::now().get();
    MilliSecondsSinceUnixEpoch(now.checked_add(milliseconds).unwrap_or(UInt::MAX))
}

pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
