//! A device's identity keys: checked when they come, the same for as long as the device is there.

use kith_store::{
    Batch, Json,
    tables::{self, DeviceKey},
};
use ruma::{encryption, encryption::DeviceKeys, serde::Raw};
use serde_json::{Map, Value};

use super::{
    KeyError, KeyObjects, Keys, OneTimeKeys, publish_device,
    signed::{bare, is_public_key, is_signed, key_id, set_signatures, signatures},
};

/// The largest object with a device's keys, in bytes.
const DEVICE_KEYS_SIZE: usize = 16 * 1024;
/// How many keys, and how many algorithms, a device may have.
const KEYS: usize = 16;
/// The longest name of an algorithm, and the longest key, in bytes.
const NAME: usize = 255;

/// What a device uploads.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    pub device_keys: Option<Raw<DeviceKeys>>,
    pub one_time_keys: KeyObjects,
    pub fallback_keys: KeyObjects,
}

impl Keys {
    /// Stores a device's keys. Answers how many one-time keys it has now.
    pub async fn upload(
        &self,
        device: &DeviceKey,
        upload: &Upload,
    ) -> Result<OneTimeKeys, KeyError> {
        let _guard = self.0.locks.lock(device.0.clone()).await;
        if !self.0.store.contains(&tables::DEVICES, device).await? {
            return Err(KeyError::NoDevice);
        }
        self.commit_upload(Batch::new(), device, upload).await
    }

    /// Adds a device's keys to the batch and commits it. Call it under the user's lock.
    pub async fn commit_upload(
        &self,
        mut batch: Batch,
        device: &DeviceKey,
        upload: &Upload,
    ) -> Result<OneTimeKeys, KeyError> {
        if let Some(keys) = &upload.device_keys {
            self.add_device_keys(&mut batch, device, keys).await?;
        }
        let (one_time, fallback) = (&upload.one_time_keys, &upload.fallback_keys);
        let state = self.add_one_time(&mut batch, device, one_time, fallback).await?;
        if !batch.is_empty() {
            self.0.store.commit(batch).await?;
        }
        let told = state.told();
        self.0.one_time.remember(device, state);
        Ok(told)
    }

    async fn add_device_keys(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
        keys: &Raw<DeviceKeys>,
    ) -> Result<(), KeyError> {
        let mut new = check(device, keys)?;
        let id = key_id(device.1.as_str());
        let public_key = new["keys"][&id].as_str().unwrap_or_default().to_owned();
        if !is_signed(&new, &device.0, &id, &public_key) {
            return Err(KeyError::Signature);
        }
        let cross_signing = self.cross_signing(&device.0).await?;
        if cross_signing.has_public_key(device.1.as_str()) {
            return Err(KeyError::InUse);
        }
        let stored = self.0.store.get(&tables::DEVICE_KEYS, device).await?;
        let stored = stored.map(|Json(stored)| stored);
        if let Some(stored) = &stored
            && stored["keys"] != new["keys"]
        {
            return Err(KeyError::Changed);
        }
        // Beside its own the device may have that of the self-signing key, now or from before.
        let mut verified = Map::new();
        let trusted = [Some((id, public_key)), cross_signing.self_signing_key()];
        for source in stored.iter().chain([&new]) {
            for (key, public_key) in trusted.iter().flatten() {
                if is_signed(source, &device.0, key, public_key)
                    && bare(source) == bare(&new)
                    && let Some((_, signature)) =
                        signatures(source, &device.0).find(|(id, _)| *id == key)
                {
                    verified.insert(key.clone(), signature.clone());
                }
            }
        }
        set_signatures(&mut new, &device.0, verified);
        if stored.as_ref() != Some(&new) {
            batch.put(&tables::DEVICE_KEYS, device, &Json(new));
            publish_device(batch, device);
        }
        Ok(())
    }
}

/// The object without `unsigned`, if it is what a device may say of itself.
pub(super) fn check(device: &DeviceKey, raw: &Raw<DeviceKeys>) -> Result<Value, KeyError> {
    let json = raw.json().get();
    if json.len() > DEVICE_KEYS_SIZE {
        return Err(KeyError::TooLarge);
    }
    let malformed = |reason: &str| KeyError::Malformed(reason.to_owned());
    let keys: encryption::DeviceKeys =
        serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
    if keys.user_id != device.0 || keys.device_id != device.1 {
        return Err(malformed("these are the keys of another user or another device"));
    }
    let long = |text: &str| text.len() > NAME;
    if keys.keys.len() > KEYS
        || keys.algorithms.len() > KEYS
        || keys.algorithms.iter().any(|algorithm| long(algorithm.as_str()))
        || keys.keys.iter().any(|(id, key)| long(id.as_str()) || long(key))
    {
        return Err(KeyError::TooLarge);
    }
    for (id, key) in &keys.keys {
        if *id.key_name() != *device.1 {
            return Err(malformed("a key's ID does not name the device"));
        }
        let known = matches!(id.algorithm().as_str(), "ed25519" | "curve25519");
        if known && !is_public_key(key) {
            return Err(malformed("a key is not 32 bytes in base64"));
        }
    }
    let mut value: Value =
        serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("unsigned");
    }
    Ok(value)
}
