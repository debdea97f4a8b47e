//! `/keys/query`: what one user may see of others' keys.

use std::collections::BTreeMap;

use kith_store::{
    Json, Scan,
    tables::{self, DeviceKey},
};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{
    Keys,
    cross_signing::{CrossSigning, public_key},
};

/// The keys that were asked for, as JSON objects.
#[derive(Debug, Clone, Default)]
pub struct Queried {
    pub devices: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Value>>,
    pub master: BTreeMap<OwnedUserId, Value>,
    pub self_signing: BTreeMap<OwnedUserId, Value>,
    /// Nobody's but the asking user's.
    pub user_signing: BTreeMap<OwnedUserId, Value>,
}

impl Queried {
    /// Adds what was found elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.devices.extend(other.devices);
        self.master.extend(other.master);
        self.self_signing.extend(other.self_signing);
        self.user_signing.extend(other.user_signing);
    }
}

impl Keys {
    /// The keys of these devices, or of all devices of a user where none is named. Users that are not
    /// here, and devices without keys, are missing in the answer.
    pub async fn query<'a>(
        &self,
        asking: &UserId,
        users: impl IntoIterator<Item = (&'a OwnedUserId, &'a Vec<OwnedDeviceId>)>,
    ) -> Result<Queried, kith_store::Error> {
        let mut found = Queried::default();
        let own = self.cross_signing(asking).await?;
        for (user, named) in users {
            if !self.0.team.is_ours(user) {
                continue;
            }
            self.find(&mut found, asking, &own, (user, named)).await?;
        }
        Ok(found)
    }

    /// What other servers may see: not what users call their devices, and no signatures but their own.
    pub async fn query_for_server<'a>(
        &self,
        users: impl IntoIterator<Item = (&'a OwnedUserId, &'a Vec<OwnedDeviceId>)>,
    ) -> Result<Queried, kith_store::Error> {
        let mut found = Queried::default();
        for (user, named) in users {
            if !self.0.team.is_ours(user) {
                continue;
            }
            let rows = self.device_rows(user, named).await?;
            if rows.is_empty() && !self.0.store.contains(&tables::USERS, user).await? {
                continue;
            }
            let devices = rows.into_iter().map(|((_, device), Json(keys))| (device, keys));
            found.devices.insert(user.clone(), devices.collect());
            let keys = self.cross_signing(user).await?;
            found.master.extend(keys.master.map(|key| (user.clone(), key)));
            found.self_signing.extend(keys.self_signing.map(|key| (user.clone(), key)));
        }
        Ok(found)
    }

    /// What is kept of the keys of other servers' users.
    pub async fn query_known<'a>(
        &self,
        asking: &UserId,
        users: impl IntoIterator<Item = (&'a OwnedUserId, &'a Vec<OwnedDeviceId>)>,
    ) -> Result<Queried, kith_store::Error> {
        let mut found = Queried::default();
        let own = self.cross_signing(asking).await?;
        for wanted in users {
            self.find(&mut found, asking, &own, wanted).await?;
        }
        Ok(found)
    }

    /// Adds what the asking user's user-signing key says of these master keys, which are not kept.
    pub async fn show_signatures(
        &self,
        asking: &UserId,
        mut found: Queried,
    ) -> Result<Queried, kith_store::Error> {
        let own = self.cross_signing(asking).await?;
        for (user, master) in &mut found.master {
            self.show_signature(asking, &own, user, master).await?;
        }
        Ok(found)
    }

    async fn find(
        &self,
        found: &mut Queried,
        asking: &UserId,
        own: &CrossSigning,
        (user, named): (&OwnedUserId, &Vec<OwnedDeviceId>),
    ) -> Result<(), kith_store::Error> {
        let devices = self.devices(user, named).await?;
        if devices.is_empty() {
            let store = &self.0.store;
            let exists = match self.0.team.is_ours(user) {
                true => store.contains(&tables::USERS, user).await?,
                false => store.contains(&tables::REMOTE_DEVICE_LISTS, user).await?,
            };
            if !exists {
                return Ok(());
            }
        }
        found.devices.insert(user.clone(), devices);
        let is_own = user == asking;
        let keys = if is_own { own.clone() } else { self.cross_signing(user).await? };
        if let Some(mut master) = keys.master {
            if !is_own {
                self.show_signature(asking, own, user, &mut master).await?;
            }
            found.master.insert(user.clone(), master);
        }
        found.self_signing.extend(keys.self_signing.map(|key| (user.clone(), key)));
        if is_own {
            found.user_signing.extend(keys.user_signing.map(|key| (user.clone(), key)));
        }
        Ok(())
    }

    async fn devices(
        &self,
        user: &OwnedUserId,
        named: &[OwnedDeviceId],
    ) -> Result<BTreeMap<OwnedDeviceId, Value>, kith_store::Error> {
        let mut devices = BTreeMap::new();
        for (at, Json(mut keys)) in self.device_rows(user, named).await? {
            let device = self.0.store.get(&tables::DEVICES, &at).await?;
            if let Some(name) = device.and_then(|Json(device)| device.display_name) {
                keys["unsigned"] = json!({ "device_display_name": name });
            }
            devices.insert(at.1, keys);
        }
        Ok(devices)
    }

    /// Of the devices that are named, or of all if none is.
    async fn device_rows(
        &self,
        user: &OwnedUserId,
        named: &[OwnedDeviceId],
    ) -> Result<Vec<(DeviceKey, Json<Value>)>, kith_store::Error> {
        let store = &self.0.store;
        if named.is_empty() {
            return store.scan(&tables::DEVICE_KEYS, Scan::prefix(&(user.clone(),))).await;
        }
        let mut rows = Vec::new();
        for device in named {
            let at = (user.clone(), device.clone());
            let row = store.get(&tables::DEVICE_KEYS, &at).await?;
            rows.extend(row.map(|row| (at, row)));
        }
        Ok(rows)
    }

    /// Adds what the asking user's user-signing key says of another user's master key.
    async fn show_signature(
        &self,
        asking: &UserId,
        own: &CrossSigning,
        user: &OwnedUserId,
        master: &mut Value,
    ) -> Result<(), kith_store::Error> {
        let Some((signer, _)) = own.user_signing_key() else { return Ok(()) };
        let at = (asking.to_owned(), user.clone());
        let Some(Json(row)) = self.0.store.get(&tables::USER_SIGNATURES, &at).await? else {
            return Ok(());
        };
        if public_key(master) == Some(&row.master_key)
            && let Some(signature) = row.signatures.get(&signer)
        {
            master["signatures"][asking.as_str()] = json!({ signer: signature });
        }
        Ok(())
    }
}
