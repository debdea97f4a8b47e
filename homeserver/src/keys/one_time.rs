//! One-time and fallback keys: uploaded by a device, each one-time key given out once.
//!
//! A key that is claimed is deleted in a commit that is durable before anybody is answered. Claims do
//! not wait for each other's commits: under the lock it is remembered up to which key they took.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#one-time-and-fallback-keys)

mod claim;
mod upload;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use kith_store::{
    Batch, Json, Scan, StreamPosition,
    tables::{self, DeviceKey},
};
use ruma::{
    DeviceId, OneTimeKeyAlgorithm, OwnedOneTimeKeyId, UInt, UserId, encryption::OneTimeKey,
    serde::Raw,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::{
    claim::{ClaimRequest, Claimed},
    upload::OneTimeKeyError,
};
use super::Keys;

/// Key objects by ID.
pub type KeyObjects = BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>;

/// How many one-time keys a device may have here.
const MOST: usize = 1_000;
/// How many of the keys that were given out last are known again.
const CLAIMED: usize = 128;
/// How many bytes of its hash stand for a key.
const HASH: usize = 8;

/// What a device is told of its one-time keys with every sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneTimeKeys {
    /// Unclaimed keys by algorithm; 0 for `signed_curve25519` is said too.
    pub counts: BTreeMap<OneTimeKeyAlgorithm, UInt>,
    /// Algorithms with a fallback key that was not given out yet.
    pub unused_fallback_types: Vec<OneTimeKeyAlgorithm>,
}

/// What is remembered of a device.
#[derive(Debug, Clone, Default)]
pub(super) struct OneTimeState {
    counts: BTreeMap<String, usize>,
    /// Algorithm, and whether the key was given out.
    fallback: BTreeMap<String, bool>,
    /// Of each algorithm the key that was claimed last: those before it are gone, or on their way.
    taken: BTreeMap<String, (StreamPosition, String)>,
    /// As in `CLAIMED_KEYS`.
    claimed: Bytes,
}

impl Keys {
    /// What a device has left. Reads no disk if the device was here lately.
    pub async fn one_time_keys(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<OneTimeKeys, kith_store::Error> {
        let device = (user_id.to_owned(), device_id.to_owned());
        if let Some(state) = self.0.one_time.get(&device) {
            return Ok(state.told());
        }
        let _guard = self.0.locks.lock(device.0.clone()).await;
        Ok(self.one_time_under_lock(&device).await?.told())
    }

    async fn one_time_under_lock(
        &self,
        device: &DeviceKey,
    ) -> Result<Arc<OneTimeState>, kith_store::Error> {
        if let Some(state) = self.0.one_time.get(device) {
            return Ok(state);
        }
        self.0.store.settled().await?;
        self.one_time_settled(device).await
    }

    /// Waits, if one of these devices must be read from the disk, for what is on its way there: once
    /// for all of them. Call it under their users' locks.
    async fn settle_unknown<'a>(
        &self,
        mut devices: impl Iterator<Item = &'a DeviceKey>,
    ) -> Result<(), kith_store::Error> {
        if devices.any(|device| self.0.one_time.get(device).is_none()) {
            self.0.store.settled().await?;
        }
        Ok(())
    }

    async fn one_time_settled(
        &self,
        device: &DeviceKey,
    ) -> Result<Arc<OneTimeState>, kith_store::Error> {
        if let Some(state) = self.0.one_time.get(device) {
            return Ok(state);
        }
        let store = &self.0.store;
        let mut state = OneTimeState::default();
        let prefix = Scan::prefix(&(device.clone(),));
        for ((_, algorithm, _), _) in store.scan(&tables::ONE_TIME_KEYS, prefix.clone()).await? {
            *state.counts.entry(algorithm).or_default() += 1;
        }
        for ((_, algorithm), Json(row)) in store.scan(&tables::FALLBACK_KEYS, prefix).await? {
            state.fallback.insert(algorithm, row.used);
        }
        state.claimed = store.get(&tables::CLAIMED_KEYS, device).await?.unwrap_or_default();
        let state = Arc::new(state);
        self.0.one_time.remember(device, Arc::clone(&state));
        Ok(state)
    }

    /// Deletes a device's one-time and fallback keys in this batch. Call it under the user's lock.
    pub(super) async fn forget_one_time(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
    ) -> Result<(), kith_store::Error> {
        let store = &self.0.store;
        store.settled().await?;
        let prefix = Scan::prefix(&(device.clone(),));
        for (key, _) in store.scan(&tables::ONE_TIME_KEYS, prefix.clone()).await? {
            batch.delete(&tables::ONE_TIME_KEYS, &key);
        }
        for (key, _) in store.scan(&tables::FALLBACK_KEYS, prefix).await? {
            batch.delete(&tables::FALLBACK_KEYS, &key);
        }
        batch.delete(&tables::CLAIMED_KEYS, device);
        let (memory, device) = (self.0.one_time.clone(), device.clone());
        batch.on_commit(move |_| memory.forget(&device));
        Ok(())
    }
}

impl OneTimeState {
    pub(super) fn told(&self) -> OneTimeKeys {
        let mut counts = BTreeMap::from([(OneTimeKeyAlgorithm::SignedCurve25519, UInt::MIN)]);
        for (algorithm, count) in &self.counts {
            let count = UInt::try_from(*count).unwrap_or(UInt::MAX);
            counts.insert(algorithm.as_str().into(), count);
        }
        let unused = self.fallback.iter().filter(|(_, used)| !**used);
        let unused_fallback_types = unused.map(|(name, _)| name.as_str().into()).collect();
        OneTimeKeys { counts, unused_fallback_types }
    }

    fn was_claimed(&self, hash: [u8; HASH]) -> bool {
        self.claimed.chunks(HASH).any(|known| known == hash)
    }

    fn note_claimed(&mut self, hash: [u8; HASH]) {
        let dropped = (self.claimed.len() + HASH).saturating_sub(CLAIMED * HASH);
        self.claimed = [&self.claimed[dropped..], &hash].concat().into();
    }
}

/// A key without its signatures: two objects with the same are the same key.
fn bare(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(object) = key.as_object_mut() {
        object.remove("signatures");
    }
    key
}

fn hash(algorithm: &str, key_id: &str, key: &Value) -> [u8; HASH] {
    let text = serde_json::json!([algorithm, key_id, bare(key)]).to_string();
    *Sha256::digest(text).first_chunk().expect("SHA-256 has 32 bytes")
}
