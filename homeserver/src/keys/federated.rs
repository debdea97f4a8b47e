//! What do servers tell each other of their users' keys?
//!
//! The keys of other servers' users lie beside those of ours, for as long as somebody here shares a room
//! with them and their server keeps us up to date. They are checked as if they were ours, but for their
//! signatures: those are for the clients that trust somebody's keys.

use std::collections::BTreeMap;

use kith_store::{
    Batch, Json, Scan,
    tables::{self, DeviceKey, RemoteDeviceListRow},
};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    encryption::{CrossSigningKey, DeviceKeys},
    serde::Raw,
};
use serde_json::{Value, json};

use super::{KeyError, Keys, cross_signing::CrossSigning, device, publish_device_list};

/// The longest name of a device, in bytes; the rest is cut off.
const NAME: usize = 100;
/// How many devices a user of another server may have.
const DEVICES: usize = 1_000;

/// A local user's device, as other servers may see it.
#[derive(Debug, Clone)]
pub struct ShownDevice {
    pub device_id: OwnedDeviceId,
    /// `None` before it uploads them.
    pub keys: Option<Raw<DeviceKeys>>,
}

/// Everything that another server says of one user's keys. What is malformed is left out.
#[derive(Debug, Clone, Default)]
pub struct RemoteKeys {
    pub devices: BTreeMap<OwnedDeviceId, Value>,
    pub cross_signing: CrossSigning,
}

impl RemoteKeys {
    pub fn add_device(
        &mut self,
        user_id: &UserId,
        device_id: &OwnedDeviceId,
        keys: &Raw<DeviceKeys>,
        name: Option<&str>,
    ) {
        if self.devices.len() >= DEVICES {
            return;
        }
        let device = (user_id.to_owned(), device_id.clone());
        match check_device(&device, keys, name) {
            Ok(keys) => {
                self.devices.insert(device.1, keys);
            }
            Err(error) => tracing::debug!(%user_id, %device_id, %error, "keys are left out"),
        }
    }

    pub fn add_cross_signing(
        &mut self,
        user_id: &UserId,
        master: Option<&Raw<CrossSigningKey>>,
        self_signing: Option<&Raw<CrossSigningKey>>,
    ) {
        for (master, self_signing) in [(master, None), (None, self_signing)] {
            match CrossSigning::check(user_id, master, self_signing, None) {
                Ok(keys) => {
                    let known = &mut self.cross_signing;
                    known.master = keys.master.or(known.master.take());
                    known.self_signing = keys.self_signing.or(known.self_signing.take());
                }
                Err(error) => tracing::debug!(%user_id, %error, "a key is left out"),
            }
        }
    }
}

fn check_device(
    device: &DeviceKey,
    keys: &Raw<DeviceKeys>,
    name: Option<&str>,
) -> Result<Value, KeyError> {
    let mut keys = device::check(device, keys)?;
    if let Some(name) = name {
        let name: String = name.chars().take(NAME).collect();
        keys["unsigned"] = json!({ "device_display_name": name });
    }
    Ok(keys)
}

impl Keys {
    /// A local user's devices.
    pub async fn devices_shown_to_servers(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Vec<ShownDevice>, kith_store::Error> {
        let prefix = Scan::prefix(&(user_id.clone(),));
        let rows = self.0.store.scan(&tables::DEVICES, prefix.clone()).await?;
        let keys = self.0.store.scan(&tables::DEVICE_KEYS, prefix).await?;
        let mut keys: BTreeMap<_, _> =
            keys.into_iter().map(|((_, device), Json(keys))| (device, raw(&keys))).collect();
        let shown = |((_, device_id), _): ((_, OwnedDeviceId), _)| {
            let keys = keys.remove(&device_id);
            ShownDevice { device_id, keys }
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// A local user's master key and self-signing key.
    pub async fn cross_signing_shown_to_servers(
        &self,
        user_id: &UserId,
    ) -> Result<(Option<Raw<CrossSigningKey>>, Option<Raw<CrossSigningKey>>), kith_store::Error>
    {
        let keys = self.cross_signing(user_id).await?;
        Ok((keys.master.as_ref().map(raw), keys.self_signing.as_ref().map(raw)))
    }

    /// How up to date the list of a user of another server is; `None` if there is none.
    pub async fn remote_list(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Option<RemoteDeviceListRow>, kith_store::Error> {
        let row = self.0.store.get(&tables::REMOTE_DEVICE_LISTS, user_id).await?;
        Ok(row.map(|Json(row)| row))
    }

    /// Replaces everything that is known of a user of another server, and tells readers if that makes
    /// a difference.
    pub async fn set_remote(
        &self,
        user_id: &OwnedUserId,
        stream_id: u64,
        stale: bool,
        keys: &RemoteKeys,
    ) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let store = &self.0.store;
        let scan = Scan::prefix(&(user_id.clone(),));
        let known = store.scan(&tables::DEVICE_KEYS, scan).await?;
        let mut known: BTreeMap<_, _> =
            known.into_iter().map(|((_, device), Json(keys))| (device, keys)).collect();
        let mut batch = Batch::new();
        for (device_id, keys) in &keys.devices {
            if known.remove(device_id).as_ref() != Some(keys) {
                let at = (user_id.clone(), device_id.clone());
                batch.put(&tables::DEVICE_KEYS, &at, &Json(keys.clone()));
            }
        }
        for device_id in known.into_keys() {
            batch.delete(&tables::DEVICE_KEYS, &(user_id.clone(), device_id));
        }
        let stored = self.cross_signing(user_id).await?;
        let new = &keys.cross_signing;
        put_key(&mut batch, user_id, "master", stored.master.as_ref(), new.master.as_ref());
        let (before, after) = (stored.self_signing.as_ref(), new.self_signing.as_ref());
        put_key(&mut batch, user_id, "self_signing", before, after);
        if !batch.is_empty() {
            publish_device_list(&mut batch, user_id);
        }
        let row = RemoteDeviceListRow { stream_id, stale };
        batch.put(&tables::REMOTE_DEVICE_LISTS, user_id, &Json(row));
        store.commit(batch).await?;
        Ok(())
    }

    /// Applies an update of one device to the list of a user of another server: other keys, or none
    /// any more.
    pub async fn update_remote(
        &self,
        user_id: &OwnedUserId,
        stream_id: u64,
        device_id: &OwnedDeviceId,
        keys: Option<Value>,
    ) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let at = (user_id.clone(), device_id.clone());
        let mut batch = Batch::new();
        match keys {
            Some(keys) => batch.put(&tables::DEVICE_KEYS, &at, &Json(keys)),
            None => batch.delete(&tables::DEVICE_KEYS, &at),
        }
        let row = RemoteDeviceListRow { stream_id, stale: false };
        batch.put(&tables::REMOTE_DEVICE_LISTS, user_id, &Json(row));
        publish_device_list(&mut batch, user_id);
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// Other cross-signing keys of a user of another server. Those that are not named stay.
    pub async fn update_remote_cross_signing(
        &self,
        user_id: &OwnedUserId,
        keys: &CrossSigning,
    ) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let stored = self.cross_signing(user_id).await?;
        let mut batch = Batch::new();
        for (usage, before, after) in [
            ("master", &stored.master, &keys.master),
            ("self_signing", &stored.self_signing, &keys.self_signing),
        ] {
            if after.is_some() {
                put_key(&mut batch, user_id, usage, before.as_ref(), after.as_ref());
            }
        }
        if !batch.is_empty() {
            publish_device_list(&mut batch, user_id);
            self.0.store.commit(batch).await?;
        }
        Ok(())
    }

    /// The list is out of date: readers are told, and what is known stays until it is asked for again.
    pub async fn set_remote_stale(&self, user_id: &OwnedUserId) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let mut batch = Batch::new();
        if let Some(row) = self.remote_list(user_id).await? {
            let row = RemoteDeviceListRow { stale: true, ..row };
            batch.put(&tables::REMOTE_DEVICE_LISTS, user_id, &Json(row));
        }
        publish_device_list(&mut batch, user_id);
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// Forgets everything that is known of a user of another server.
    pub async fn forget_remote(&self, user_id: &OwnedUserId) -> Result<(), kith_store::Error> {
        if self.remote_list(user_id).await?.is_none() {
            return Ok(());
        }
        let _guard = self.0.locks.lock(user_id.clone()).await;
        let store = &self.0.store;
        let scan = Scan::prefix(&(user_id.clone(),));
        let mut batch = Batch::new();
        for (key, _) in store.scan(&tables::DEVICE_KEYS, scan.clone()).await? {
            batch.delete(&tables::DEVICE_KEYS, &key);
        }
        for (key, _) in store.scan(&tables::CROSS_SIGNING_KEYS, scan).await? {
            batch.delete(&tables::CROSS_SIGNING_KEYS, &key);
        }
        batch.delete(&tables::REMOTE_DEVICE_LISTS, user_id);
        batch.delete(&tables::DEVICE_LIST_CHANGES, user_id);
        store.commit(batch).await?;
        Ok(())
    }

    /// A device's keys in an update of its server, if they are what it may say.
    pub fn check_remote_device(
        device: &DeviceKey,
        keys: &Raw<DeviceKeys>,
        name: Option<&str>,
    ) -> Result<Value, KeyError> {
        check_device(device, keys, name)
    }
}

fn put_key(
    batch: &mut Batch,
    user_id: &OwnedUserId,
    usage: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    let at = (user_id.clone(), usage.to_owned());
    match after {
        Some(key) if before != Some(key) => {
            batch.put(&tables::CROSS_SIGNING_KEYS, &at, &Json(key.clone()));
        }
        None if before.is_some() => batch.delete(&tables::CROSS_SIGNING_KEYS, &at),
        _ => {}
    }
}

fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(serde_json::value::to_raw_value(value).expect("a JSON value is JSON"))
}
