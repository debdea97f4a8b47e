//! A user's cross-signing keys: the master key, and the two that it signs.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#cross-signing)

use kith_store::{Batch, Json, Scan, tables};
use ruma::{
    OwnedUserId, UserId,
    encryption::{self, KeyUsage},
    serde::Raw,
};
use serde_json::{Map, Value};

use super::{
    KeyError, Keys, publish_device_list,
    signed::{bare, is_public_key, is_signed, key_id, set_signatures, signatures},
};

/// The largest object with a cross-signing key, in bytes.
const KEY_SIZE: usize = 16 * 1024;

type RawKey = Raw<encryption::CrossSigningKey>;

/// A user's keys, as they are stored or uploaded. Each has passed [`check`].
#[derive(Debug, Clone, Default)]
pub struct CrossSigning {
    pub master: Option<Value>,
    pub self_signing: Option<Value>,
    pub user_signing: Option<Value>,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// The keys are stored.
    Stored,
    /// They would replace others: the user must confirm that first.
    NeedsConfirmation,
}

impl CrossSigning {
    /// The keys of an upload, if they have the shape that they should.
    pub fn check(
        user: &UserId,
        master: Option<&RawKey>,
        self_signing: Option<&RawKey>,
        user_signing: Option<&RawKey>,
    ) -> Result<Self, KeyError> {
        let check =
            |key: Option<&RawKey>, usage| key.map(|key| check(user, key, usage)).transpose();
        Ok(Self {
            master: check(master, KeyUsage::Master)?,
            self_signing: check(self_signing, KeyUsage::SelfSigning)?,
            user_signing: check(user_signing, KeyUsage::UserSigning)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = (KeyUsage, &Value)> {
        let named = [
            (KeyUsage::Master, &self.master),
            (KeyUsage::SelfSigning, &self.self_signing),
            (KeyUsage::UserSigning, &self.user_signing),
        ];
        named.into_iter().filter_map(|(usage, key)| Some((usage, key.as_ref()?)))
    }

    fn get(&self, usage: &KeyUsage) -> Option<&Value> {
        self.all().find(|(other, _)| other == usage).map(|(_, key)| key)
    }

    /// Whether one of the keys has this name, as a device might.
    pub(super) fn has_public_key(&self, name: &str) -> bool {
        self.all().any(|(_, key)| public_key(key) == Some(name))
    }

    /// ID and public key.
    pub(super) fn self_signing_key(&self) -> Option<(String, String)> {
        self.self_signing.as_ref().and_then(named)
    }

    pub(super) fn user_signing_key(&self) -> Option<(String, String)> {
        self.user_signing.as_ref().and_then(named)
    }
}

/// The public key itself, which is also the key's name.
pub(super) fn public_key(key: &Value) -> Option<&str> {
    key["keys"].as_object()?.values().next()?.as_str()
}

fn named(key: &Value) -> Option<(String, String)> {
    let public_key = public_key(key)?;
    Some((key_id(public_key), public_key.to_owned()))
}

impl Keys {
    pub(super) async fn cross_signing(
        &self,
        user: &UserId,
    ) -> Result<CrossSigning, kith_store::Error> {
        let scan = Scan::prefix(&(user.to_owned(),));
        let mut keys = CrossSigning::default();
        for ((_, usage), Json(key)) in self.0.store.scan(&tables::CROSS_SIGNING_KEYS, scan).await? {
            match KeyUsage::from(usage) {
                KeyUsage::Master => keys.master = Some(key),
                KeyUsage::SelfSigning => keys.self_signing = Some(key),
                KeyUsage::UserSigning => keys.user_signing = Some(key),
                _ => {}
            }
        }
        Ok(keys)
    }

    /// Stores a user's cross-signing keys. The first ones are stored at once, and ones that are there
    /// already change nothing; for all others the user must have `confirmed` that it is them.
    pub async fn set_cross_signing(
        &self,
        user: &UserId,
        upload: &CrossSigning,
        confirmed: bool,
    ) -> Result<Uploaded, KeyError> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let stored = self.cross_signing(user).await?;
        let is_new = |usage: &KeyUsage, key: &Value| {
            stored.get(usage).is_none_or(|stored| bare(stored) != bare(key))
        };
        if !upload.all().any(|(usage, key)| is_new(&usage, key)) {
            return Ok(Uploaded::Stored);
        }
        let master = upload.master.as_ref().or(stored.master.as_ref());
        let master = master.and_then(named).ok_or(KeyError::NoMasterKey)?;
        let mut batch = Batch::new();
        for (usage, key) in upload.all() {
            let public_key = public_key(key).unwrap_or_default();
            let device = (user.to_owned(), public_key.into());
            if self.0.store.contains(&tables::DEVICES, &device).await? {
                return Err(KeyError::InUse);
            }
            let mut key = key.clone();
            let verified = match usage {
                KeyUsage::Master => self.signed_by_devices(user, &key).await?,
                _ if is_signed(&key, user, &master.0, &master.1) => signatures(&key, user)
                    .filter(|(id, _)| **id == master.0)
                    .map(|(id, signature)| (id.clone(), signature.clone()))
                    .collect(),
                _ => return Err(KeyError::Signature),
            };
            set_signatures(&mut key, user, verified);
            let at = (user.to_owned(), usage.to_string());
            batch.put(&tables::CROSS_SIGNING_KEYS, &at, &Json(key));
        }
        if stored.master.is_some() && !confirmed {
            return Ok(Uploaded::NeedsConfirmation);
        }
        // Those that the new master key did not sign are of no use.
        for (usage, key) in stored.all() {
            let signed = is_signed(key, user, &master.0, &master.1);
            if usage != KeyUsage::Master && upload.get(&usage).is_none() && !signed {
                let at = (user.to_owned(), usage.to_string());
                batch.delete(&tables::CROSS_SIGNING_KEYS, &at);
            }
        }
        publish_device_list(&mut batch, user);
        self.0.store.commit(batch).await?;
        Ok(Uploaded::Stored)
    }

    /// Deletes the user's cross-signing keys.
    pub async fn delete_cross_signing(&self, user: &UserId) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let mut batch = Batch::new();
        for (usage, _) in self.cross_signing(user).await?.all() {
            batch.delete(&tables::CROSS_SIGNING_KEYS, &(user.to_owned(), usage.to_string()));
        }
        if !batch.is_empty() {
            publish_device_list(&mut batch, user);
            self.0.store.commit(batch).await?;
        }
        Ok(())
    }

    /// The signatures that the user's devices made on their master key.
    pub(super) async fn signed_by_devices(
        &self,
        user: &UserId,
        master: &Value,
    ) -> Result<Map<String, Value>, kith_store::Error> {
        let mut verified = Map::new();
        for (id, signature) in signatures(master, user) {
            let Some((_, device)) = id.split_once(':') else { continue };
            let at: (OwnedUserId, _) = (user.to_owned(), device.into());
            let Some(Json(keys)) = self.0.store.get(&tables::DEVICE_KEYS, &at).await? else {
                continue;
            };
            let public_key = keys["keys"][id].as_str().unwrap_or_default();
            if is_signed(master, user, id, public_key) {
                verified.insert(id.clone(), signature.clone());
            }
        }
        Ok(verified)
    }
}

fn check(user: &UserId, raw: &RawKey, usage: KeyUsage) -> Result<Value, KeyError> {
    let json = raw.json().get();
    if json.len() > KEY_SIZE {
        return Err(KeyError::TooLarge);
    }
    let malformed = |reason: &str| KeyError::Malformed(reason.to_owned());
    let key: encryption::CrossSigningKey =
        serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
    if key.user_id != user {
        return Err(malformed("this is the key of another user"));
    }
    if !key.usage.contains(&usage) {
        return Err(malformed("the key is not for this usage"));
    }
    let mut keys = key.keys.iter();
    let (Some((id, public_key)), None) = (keys.next(), keys.next()) else {
        return Err(malformed("there is exactly one key in each object"));
    };
    if id.as_str() != key_id(public_key) || !is_public_key(public_key) {
        return Err(malformed("the key's ID is not `ed25519:` and the public key"));
    }
    let mut value: Value =
        serde_json::from_str(json).map_err(|error| malformed(&error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("unsigned");
    }
    Ok(value)
}
