//! A device uploads keys for others to claim.

use std::{collections::BTreeMap, sync::Arc};

use kith_store::{
    Batch, Change, Json, Scan,
    tables::{self, DeviceKey, FallbackKeyRow},
};
use ruma::{OneTimeKeyId, OwnedOneTimeKeyId};
use serde_json::Value;

use super::{KeyObjects, MOST, OneTimeState, bare, hash};
use crate::keys::Keys;

/// The largest key object, in bytes.
const KEY_SIZE: usize = 4 * 1024;
/// The longest key ID, in bytes, with its algorithm.
const KEY_ID: usize = 255;
/// How many kinds of fallback keys a device may have.
const FALLBACK_TYPES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum OneTimeKeyError {
    #[error("{0} is no key of its algorithm")]
    Malformed(OwnedOneTimeKeyId),
    #[error("a key has at most {KEY_SIZE} bytes, and its ID {KEY_ID}")]
    TooLarge,
    #[error(
        "a device has at most {MOST} one-time keys and fallback keys of {FALLBACK_TYPES} kinds"
    )]
    TooMany,
    #[error("there can be one fallback key of each algorithm")]
    TwoFallbackKeys,
    /// Clients read this text.
    #[error("One time key {id} already exists. Old key: {old}; new key: {new}")]
    Exists { id: OwnedOneTimeKeyId, old: Value, new: Value },
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Keys {
    /// Puts new one-time and fallback keys into the batch; those that are here already are passed
    /// over. Call it under the user's lock, and remember the answer after the commit.
    pub(in crate::keys) async fn add_one_time(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
        one_time: &KeyObjects,
        fallback: &KeyObjects,
    ) -> Result<Arc<OneTimeState>, OneTimeKeyError> {
        let known = self.one_time_under_lock(device).await?;
        let mut state = OneTimeState::clone(&known);
        let added = self.new_one_time(device, &known, one_time).await?;
        for (algorithm, _, _) in &added {
            *state.counts.entry(algorithm.clone()).or_default() += 1;
        }
        if state.counts.values().sum::<usize>() > MOST {
            return Err(OneTimeKeyError::TooMany);
        }
        let replaced = self.new_fallback(device, fallback).await?;
        for algorithm in replaced.keys() {
            state.fallback.insert(algorithm.clone(), false);
        }
        if state.fallback.len() > FALLBACK_TYPES {
            return Err(OneTimeKeyError::TooMany);
        }
        if added.is_empty() && replaced.is_empty() {
            return Ok(known);
        }
        let (user, id) = device.clone();
        let offset = batch.publish(Change::Keys { user, device: id });
        let owner = device.clone();
        batch.at_position(move |first, batch| {
            for (algorithm, id, key) in added {
                let row = (owner.clone(), algorithm, (first + offset, id));
                batch.put(&tables::ONE_TIME_KEYS, &row, &Json(key));
            }
        });
        for (algorithm, row) in replaced {
            batch.put(&tables::FALLBACK_KEYS, &(device.clone(), algorithm), &Json(row));
        }
        Ok(Arc::new(state))
    }

    /// Algorithm, name and object of the keys that are not here yet.
    async fn new_one_time(
        &self,
        device: &DeviceKey,
        known: &OneTimeState,
        keys: &KeyObjects,
    ) -> Result<Vec<(String, String, Value)>, OneTimeKeyError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if keys.len() > MOST {
            return Err(OneTimeKeyError::TooMany);
        }
        self.0.store.settled().await?;
        let scan = Scan::prefix(&(device.clone(),));
        let rows = self.0.store.scan(&tables::ONE_TIME_KEYS, scan).await?;
        let present: BTreeMap<(String, String), Value> = rows
            .into_iter()
            .map(|((_, algorithm, (_, id)), Json(key))| ((algorithm, id), key))
            .collect();
        let mut added = Vec::new();
        for (id, key) in keys {
            let new = check(id, key.json().get())?;
            let (algorithm, name) = parts(id);
            match present.get(&(algorithm.clone(), name.clone())) {
                Some(old) if bare(old) == bare(&new) => {}
                Some(old) => {
                    return Err(OneTimeKeyError::Exists { id: id.clone(), old: old.clone(), new });
                }
                None if known.was_claimed(hash(&algorithm, &name, &new)) => {}
                None => added.push((algorithm, name, new)),
            }
        }
        Ok(added)
    }

    /// The fallback keys that are others than before. One that was used is not made unused by being
    /// uploaded again.
    async fn new_fallback(
        &self,
        device: &DeviceKey,
        keys: &KeyObjects,
    ) -> Result<BTreeMap<String, FallbackKeyRow>, OneTimeKeyError> {
        let mut added = BTreeMap::new();
        for (id, key) in keys {
            let key = check(id, key.json().get())?;
            let (algorithm, key_id) = parts(id);
            let at = (device.clone(), algorithm.clone());
            let present = self.0.store.get(&tables::FALLBACK_KEYS, &at).await?;
            let same = present.is_some_and(|Json(old)| old.key_id == key_id && old.key == key);
            let row = FallbackKeyRow { key_id, key, used: false };
            if !same && added.insert(algorithm, row).is_some() {
                return Err(OneTimeKeyError::TwoFallbackKeys);
            }
        }
        Ok(added)
    }
}

/// The key's object, if it has the form that its algorithm asks for.
fn check(id: &OneTimeKeyId, json: &str) -> Result<Value, OneTimeKeyError> {
    if id.as_str().len() > KEY_ID || json.len() > KEY_SIZE {
        return Err(OneTimeKeyError::TooLarge);
    }
    let malformed = || OneTimeKeyError::Malformed(id.to_owned());
    let key: Value = serde_json::from_str(json).map_err(|_| malformed())?;
    let (algorithm, name) = parts(id);
    let is_good = if algorithm.starts_with("signed_") {
        key["key"].is_string() && key["signatures"].is_object()
    } else {
        key.is_string() || key.is_object()
    };
    if is_good && !name.is_empty() && !algorithm.is_empty() { Ok(key) } else { Err(malformed()) }
}

fn parts(id: &OneTimeKeyId) -> (String, String) {
    let (algorithm, name) = id.as_str().split_once(':').unwrap_or((id.as_str(), ""));
    (algorithm.to_owned(), name.to_owned())
}
