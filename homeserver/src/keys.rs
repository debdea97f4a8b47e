//! Which public keys did a user's devices upload, and who is given which?
//! [Spec](https://spec.matrix.org/latest/client-server-api/#end-to-end-encryption)

mod cross_signing;
mod device;
mod federated;
mod one_time;
mod query;
mod signatures;
mod signed;

use std::sync::Arc;

use kith_store::{
    Batch, Change, Store, StreamPosition,
    tables::{self, DeviceKey},
};
use ruma::UserId;

use self::one_time::OneTimeState;
pub use self::{
    cross_signing::{CrossSigning, Uploaded},
    device::Upload,
    federated::{RemoteKeys, ShownDevice},
    one_time::{ClaimRequest, Claimed, KeyObjects, OneTimeKeyError, OneTimeKeys},
    query::Queried,
    signatures::{Refused, SignatureError, SignedObjects},
};
use crate::{
    device_memory::{DeviceLocks, DeviceMemory},
    team::Team,
};

/// The keys of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    team: Team,
    store: Store,
    locks: DeviceLocks,
    one_time: DeviceMemory<Arc<OneTimeState>>,
}

/// Why keys are not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{0}")]
    Malformed(String),
    #[error("the object is too large")]
    TooLarge,
    #[error("it is not signed by the key that should have signed it")]
    Signature,
    #[error("the identity keys of a device cannot be changed")]
    Changed,
    #[error("the ID is in use as a device ID and as a public key")]
    InUse,
    #[error("there is no master key")]
    NoMasterKey,
    #[error("this device was signed out")]
    NoDevice,
    #[error(transparent)]
    OneTime(#[from] OneTimeKeyError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Keys {
    pub fn new(team: Team, store: Store, locks: DeviceLocks) -> Self {
        Self(Arc::new(Inner { team, store, locks, one_time: DeviceMemory::default() }))
    }
}

impl Keys {
    pub fn team(&self) -> &Team {
        &self.0.team
    }

    /// Grows with each change of a user's devices, as those are told of it who follow them; 0 before the
    /// first.
    pub async fn device_list_version(
        &self,
        user_id: &UserId,
    ) -> Result<StreamPosition, kith_store::Error> {
        let position = self.0.store.get(&tables::DEVICE_STREAMS, &user_id.to_owned()).await?;
        Ok(position.unwrap_or_default())
    }

    /// Deletes everything that a device uploaded in this batch, which tells readers of the log. Call
    /// it under the user's lock.
    pub async fn forget_device(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
    ) -> Result<(), kith_store::Error> {
        batch.delete(&tables::DEVICE_KEYS, device);
        self.forget_one_time(batch, device).await
    }
}

/// Tells readers that a user's cross-signing keys changed, or that so much of their device list did
/// that they should look at all of it.
pub fn publish_device_list(batch: &mut Batch, user_id: &UserId) {
    let user = user_id.to_owned();
    let offset = batch.publish(Change::DeviceList { user: user.clone(), device: None });
    batch.at_position(move |first, batch| {
        batch.put(&tables::DEVICE_LIST_CHANGES, &user, &(first + offset));
    });
}

/// Tells readers that a device came, went, or has other keys or another name.
pub fn publish_device(batch: &mut Batch, device: &DeviceKey) {
    let (user, device) = device.clone();
    let offset = batch.publish(Change::DeviceList { user: user.clone(), device: Some(device) });
    batch.at_position(move |first, batch| {
        batch.put(&tables::DEVICE_LIST_CHANGES, &user, &(first + offset));
        batch.put(&tables::DEVICE_STREAMS, &user, &(first + offset));
    });
}
