//! `/keys/signatures/upload`: what users' keys say of other keys. Only what was verified is kept.
//!
//! - A user's self-signing key signs their devices, and their devices sign their master key: these are
//!   kept with the key itself, for all to see.
//! - A user's user-signing key signs other users' master keys: that is for the signer's eyes alone.

use std::collections::BTreeMap;

use kith_store::{
    Batch, Change, Json,
    tables::{self, UserSignatureRow},
};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Map, Value, value::RawValue};

use super::{
    Keys,
    cross_signing::{CrossSigning, public_key},
    publish_device, publish_device_list,
    signed::{bare, is_signed, key_id, set_signatures, signatures},
};

/// The largest signed object, in bytes.
const OBJECT_SIZE: usize = 64 * 1024;

/// Why one of the signed objects was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("there is no such device or master key")]
    NotFound,
    #[error("the signed object is not the key that is known here")]
    OtherKey,
    #[error("no valid signature of a key that may sign this")]
    Invalid,
}

/// Signed objects by user and by device ID or public key.
pub type SignedObjects<'a> = BTreeMap<&'a UserId, BTreeMap<&'a str, &'a RawValue>>;
/// What was refused of them.
pub type Refused = BTreeMap<OwnedUserId, BTreeMap<String, SignatureError>>;

/// Who signs, and what the batch is about to hold.
struct Signing<'a> {
    user: &'a UserId,
    keys: CrossSigning,
    batch: Batch,
    /// The signer's own master key has other signatures.
    own: bool,
    /// Of the signer, with other signatures.
    devices: Vec<OwnedDeviceId>,
}

impl Keys {
    /// Adds the signatures of a user's keys. Answers those that were refused; the others are stored.
    pub async fn add_signatures(
        &self,
        user: &UserId,
        objects: &SignedObjects<'_>,
    ) -> Result<Refused, kith_store::Error> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let keys = self.cross_signing(user).await?;
        let mut signing =
            Signing { user, keys, batch: Batch::new(), own: false, devices: Vec::new() };
        let mut refused = Refused::new();
        for (target, objects) in objects {
            for (name, object) in objects {
                let added = match parse(object) {
                    Some(object) if *target == user => {
                        self.sign_own(&mut signing, name, &object).await?
                    }
                    Some(object) => self.sign_other(&mut signing, target, name, &object).await?,
                    None => Err(SignatureError::Invalid),
                };
                if let Err(error) = added {
                    let of_user = refused.entry((*target).to_owned()).or_default();
                    of_user.insert((*name).to_owned(), error);
                }
            }
        }
        for device in std::mem::take(&mut signing.devices) {
            publish_device(&mut signing.batch, &(user.to_owned(), device));
        }
        if signing.own {
            publish_device_list(&mut signing.batch, user);
        }
        if !signing.batch.is_empty() {
            self.0.store.commit(signing.batch).await?;
        }
        Ok(refused)
    }

    /// One's own device, or one's own master key.
    async fn sign_own(
        &self,
        signing: &mut Signing<'_>,
        name: &str,
        object: &Value,
    ) -> Result<Result<(), SignatureError>, kith_store::Error> {
        let user = signing.user;
        if let Some(master) = signing.keys.master.clone()
            && public_key(&master) == Some(name)
        {
            if bare(&master) != bare(object) {
                return Ok(Err(SignatureError::OtherKey));
            }
            let new = self.signed_by_devices(user, object).await?;
            if !are_all(&new, object, user) {
                return Ok(Err(SignatureError::Invalid));
            }
            // Those of devices that are gone go too.
            let kept = self.signed_by_devices(user, &master).await?;
            let with = with_signatures(&master, user, kept, new);
            if with != master {
                let at = (user.to_owned(), "master".to_owned());
                signing.batch.put(&tables::CROSS_SIGNING_KEYS, &at, &Json(with.clone()));
                signing.keys.master = Some(with);
                signing.own = true;
            }
            return Ok(Ok(()));
        }
        let at = (user.to_owned(), name.into());
        let Some(Json(device)) = self.0.store.get(&tables::DEVICE_KEYS, &at).await? else {
            return Ok(Err(SignatureError::NotFound));
        };
        if bare(&device) != bare(object) {
            return Ok(Err(SignatureError::OtherKey));
        }
        let own_id = key_id(name);
        let own_key = device["keys"][&own_id].as_str().unwrap_or_default().to_owned();
        let trusted = [Some((own_id, own_key)), signing.keys.self_signing_key()];
        let by_trusted = |object: &Value| -> Map<String, Value> {
            let given = signatures(object, user).filter(|(id, _)| {
                let known = trusted.iter().flatten().find(|(known, _)| known == *id);
                known.is_some_and(|(id, public_key)| is_signed(object, user, id, public_key))
            });
            given.map(|(id, signature)| (id.clone(), signature.clone())).collect()
        };
        let new = by_trusted(object);
        if !are_all(&new, object, user) {
            return Ok(Err(SignatureError::Invalid));
        }
        let with = with_signatures(&device, user, by_trusted(&device), new);
        if with != device {
            signing.batch.put(&tables::DEVICE_KEYS, &at, &Json(with));
            signing.devices.push(at.1);
        }
        Ok(Ok(()))
    }

    /// Another user's master key.
    async fn sign_other(
        &self,
        signing: &mut Signing<'_>,
        target: &UserId,
        name: &str,
        object: &Value,
    ) -> Result<Result<(), SignatureError>, kith_store::Error> {
        let Some(master) = self.cross_signing(target).await?.master else {
            return Ok(Err(SignatureError::NotFound));
        };
        if public_key(&master) != Some(name) {
            return Ok(Err(SignatureError::NotFound));
        }
        if bare(&master) != bare(object) {
            return Ok(Err(SignatureError::OtherKey));
        }
        let Some((id, public_key)) = signing.keys.user_signing_key() else {
            return Ok(Err(SignatureError::Invalid));
        };
        let mut given = signatures(object, signing.user);
        let (Some((given_id, Value::String(signature))), None) = (given.next(), given.next())
        else {
            return Ok(Err(SignatureError::Invalid));
        };
        if *given_id != id || !is_signed(object, signing.user, &id, &public_key) {
            return Ok(Err(SignatureError::Invalid));
        }
        let at = (signing.user.to_owned(), target.to_owned());
        let row = UserSignatureRow {
            master_key: name.to_owned(),
            signatures: BTreeMap::from([(id, signature.clone())]),
        };
        let stored = self.0.store.get(&tables::USER_SIGNATURES, &at).await?;
        if stored.is_none_or(|Json(stored)| stored != row) {
            signing.batch.put(&tables::USER_SIGNATURES, &at, &Json(row));
            signing.batch.publish(Change::Signature { by: at.0, on: at.1 });
        }
        Ok(Ok(()))
    }
}

fn parse(object: &RawValue) -> Option<Value> {
    if object.get().len() > OBJECT_SIZE {
        return None;
    }
    serde_json::from_str(object.get()).ok()
}

/// Whether every signature that the user gave is among the verified ones, and there is one.
fn are_all(verified: &Map<String, Value>, object: &Value, user: &UserId) -> bool {
    !verified.is_empty() && signatures(object, user).all(|(id, _)| verified.contains_key(id))
}

fn with_signatures(
    object: &Value,
    user: &UserId,
    mut kept: Map<String, Value>,
    new: Map<String, Value>,
) -> Value {
    kept.extend(new);
    let mut object = object.clone();
    set_signatures(&mut object, user, kept);
    object
}
