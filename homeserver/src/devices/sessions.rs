//! Access tokens and the devices they belong to. Only a token's SHA-256 is stored.

use std::{sync::Arc, time::Duration};

use kith_store::{
    Batch, Json, Store,
    tables::{self, DeviceRow, TokenRow},
};
use quick_cache::sync::Cache;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};
use sha2::{Digest, Sha256};

use crate::{random::random_string, users::Requester};

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
pub struct Sessions {
    store: Store,
    known: Arc<Cache<[u8; 32], (Requester, Option<MilliSecondsSinceUnixEpoch>)>>,
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
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::new(Cache::new(CACHED_SESSIONS)) }
    }

    /// Signs a user in on a device, new or known; a known device's older token stops working.
    pub async fn create(
        &self,
        user_id: &OwnedUserId,
        device_id: Option<OwnedDeviceId>,
        display_name: Option<String>,
    ) -> Result<NewSession, kith_store::Error> {
        let device_id = device_id.unwrap_or_else(|| random_string(10).to_uppercase().into());
        let access_token = random_string(40);
        let key = (user_id.clone(), device_id.clone());
        let mut batch = Batch::new();
        let known = self.store.get(&tables::DEVICES, &key).await?;
        let old_token = known.as_ref().and_then(|device| device.0.access_token);
        if let Some(token) = old_token {
            batch.delete(&tables::ACCESS_TOKENS, &token);
        }
        let device = DeviceRow {
            display_name: display_name.or_else(|| known.and_then(|device| device.0.display_name)),
            last_seen_ip: None,
            last_seen: Some(MilliSecondsSinceUnixEpoch::now()),
            access_token: Some(hash(&access_token)),
            refresh_token: None,
        };
        let token = TokenRow {
            user_id: user_id.clone(),
            device_id: Some(device_id.clone()),
            expires: None,
        };
        batch.put(&tables::DEVICES, &key, &Json(device));
        batch.put(&tables::ACCESS_TOKENS, &hash(&access_token), &Json(token));
        self.store.commit(batch).await?;
        if let Some(token) = old_token {
            self.known.remove(&token);
        }
        Ok(NewSession { access_token, refresh_token: None, expires_in: None, device_id })
    }

    /// Whose token is this?
    pub async fn authenticate(&self, token: &str) -> Result<Requester, AuthenticationError> {
        let unknown = AuthenticationError::UnknownToken { soft_logout: false };
        let hash = hash(token);
        if let Some((requester, expires)) = self.known.get(&hash) {
            return check_expiry(requester, expires);
        }
        let Some(Json(row)) = self.store.get(&tables::ACCESS_TOKENS, &hash).await? else {
            return Err(unknown);
        };
        let Some(Json(user)) = self.store.get(&tables::USERS, &row.user_id).await? else {
            return Err(unknown);
        };
        let Some(device_id) = row.device_id else { return Err(unknown) };
        if user.deactivated {
            return Err(unknown);
        }
        let requester =
            Requester { user_id: row.user_id, device_id, guest: user.guest, admin: user.admin };
        self.known.insert(hash, (requester.clone(), row.expires));
        check_expiry(requester, row.expires)
    }
}

fn check_expiry(
    requester: Requester,
    expires: Option<MilliSecondsSinceUnixEpoch>,
) -> Result<Requester, AuthenticationError> {
    if expires.is_some_and(|expires| expires <= MilliSecondsSinceUnixEpoch::now()) {
        return Err(AuthenticationError::UnknownToken { soft_logout: true });
    }
    Ok(requester)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
