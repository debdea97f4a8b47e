//! Another device claims keys.

use std::{collections::BTreeMap, sync::Arc};

use kith_store::{
    Batch, Change, Json, Scan,
    tables::{self, DeviceKey, FallbackKeyRow},
};
use ruma::{
    OneTimeKeyAlgorithm, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, encryption::OneTimeKey,
    serde::Raw,
};
use serde_json::Value;

use super::{KeyObjects, OneTimeState, hash};
use crate::keys::Keys;

/// Of which devices a key is wanted, and of which algorithm.
pub type ClaimRequest = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>>;
/// The keys by user and device.
pub type Claimed = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, KeyObjects>>;

/// What a request's claims change in memory.
type States = BTreeMap<DeviceKey, Arc<OneTimeState>>;

impl Keys {
    /// Takes one key of each device: a one-time key if there is one left, else the fallback key.
    /// Devices without either are missing in the answer, as are those of other servers.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claimed, kith_store::Error> {
        let ours = || request.iter().filter(|(user, _)| self.0.team.is_ours(user));
        // In the order of their IDs, as in the map.
        let mut guards = Vec::new();
        for (user, _) in ours() {
            guards.push(self.0.locks.lock(user.clone()).await);
        }
        let mut wanted = Vec::new();
        for (user, devices) in ours() {
            let of_user = devices.iter();
            wanted.extend(of_user.map(|(device, kind)| ((user.clone(), device.clone()), kind)));
        }
        self.settle_unknown(wanted.iter().map(|(device, _)| device)).await?;
        let mut claimed = Claimed::new();
        let mut batch = Batch::new();
        let mut states = States::new();
        for (device, algorithm) in wanted {
            let key = self.take(&mut batch, &mut states, &device, algorithm.as_str()).await?;
            if let Some((id, key)) = key {
                let (user, device) = device;
                let of_user = claimed.entry(user).or_default();
                of_user.insert(device, KeyObjects::from([(id, key)]));
            }
        }
        // Also if it is empty: a fallback key that another claim marks as used is in a batch before.
        let submitted = self.0.store.submit(batch).await?;
        for (device, state) in states {
            self.0.one_time.remember(&device, state);
        }
        drop(guards);
        submitted.answered().await?;
        Ok(claimed)
    }

    async fn take(
        &self,
        batch: &mut Batch,
        states: &mut States,
        device: &DeviceKey,
        algorithm: &str,
    ) -> Result<Option<(OwnedOneTimeKeyId, Raw<OneTimeKey>)>, kith_store::Error> {
        let mut state = OneTimeState::clone(&*self.one_time_settled(device).await?);
        let store = &self.0.store;
        if state.counts.get(algorithm).is_some_and(|count| *count > 0) {
            let prefix = (device.clone(), algorithm.to_owned());
            let mut scan = Scan::prefix(&prefix).limit(1);
            if let Some(taken) = state.taken.get(algorithm) {
                scan = scan.after(&(prefix.0, prefix.1, taken.clone()));
            }
            let row = store.scan(&tables::ONE_TIME_KEYS, scan).await?.pop();
            if let Some((at, Json(key))) = row {
                batch.delete(&tables::ONE_TIME_KEYS, &at);
                let id = &at.2.1;
                let answer = answer(algorithm, id, &key);
                state.note_claimed(hash(algorithm, id, &key));
                batch.put(&tables::CLAIMED_KEYS, device, &state.claimed);
                state.taken.insert(algorithm.to_owned(), at.2);
                state.counts.entry(algorithm.to_owned()).and_modify(|count| *count -= 1);
                publish(batch, device);
                states.insert(device.clone(), Arc::new(state));
                return Ok(Some(answer));
            }
        }
        let Some(used) = state.fallback.get_mut(algorithm) else { return Ok(None) };
        let at = (device.clone(), algorithm.to_owned());
        let Some(Json(row)) = store.get(&tables::FALLBACK_KEYS, &at).await? else {
            return Ok(None);
        };
        let answer = answer(algorithm, &row.key_id, &row.key);
        if !*used {
            *used = true;
            batch.put(&tables::FALLBACK_KEYS, &at, &Json(FallbackKeyRow { used: true, ..row }));
            publish(batch, device);
            states.insert(device.clone(), Arc::new(state));
        }
        Ok(Some(answer))
    }
}

fn publish(batch: &mut Batch, (user, device): &DeviceKey) {
    batch.publish(Change::Keys { user: user.clone(), device: device.clone() });
}

fn answer(algorithm: &str, id: &str, key: &Value) -> (OwnedOneTimeKeyId, Raw<OneTimeKey>) {
    let id = OwnedOneTimeKeyId::try_from(format!("{algorithm}:{id}"));
    let json = serde_json::value::to_raw_value(key).expect("a JSON value is JSON");
    (id.expect("it was such an ID when it was uploaded"), Raw::from_json(json))
}
