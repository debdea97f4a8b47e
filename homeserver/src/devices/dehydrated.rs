//! A device that is not signed in: it lies here, encrypted, and collects what is sent to it until the
//! user wakes it somewhere else (MSC3814). A user has one at most.

use kith_store::{
    Batch, Json,
    tables::{self, DehydratedDeviceRow, DeviceKey, DeviceRow},
};
use ruma::{DeviceId, OwnedDeviceId, UserId};
use serde_json::{Map, Value};

use super::Sessions;
use crate::{
    keys::{KeyError, Upload, publish_device},
    to_device::{MOST_AT_ONCE, Waiting},
};

/// The largest encrypted device, in bytes.
const DATA_SIZE: usize = 64 * 1024;

/// A device to be left here.
#[derive(Debug, Clone)]
pub struct NewDehydrated {
    pub device_id: OwnedDeviceId,
    pub display_name: Option<String>,
    /// Encrypted by the client.
    pub data: Map<String, Value>,
    pub keys: Upload,
}

#[derive(Debug, thiserror::Error)]
pub enum DehydratedError {
    #[error("there is no dehydrated device")]
    NotFound,
    #[error("this is not the ID of the dehydrated device")]
    OtherDevice,
    #[error("the user has a device with this ID")]
    InUse,
    #[error("the device is too large")]
    TooLarge,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Sessions {
    /// Leaves a device with its keys here, in the place of the one before it.
    pub async fn dehydrate(
        &self,
        user_id: &UserId,
        new: NewDehydrated,
    ) -> Result<(), DehydratedError> {
        let size = serde_json::to_vec(&new.data).map_or(usize::MAX, |json| json.len());
        if size > DATA_SIZE {
            return Err(DehydratedError::TooLarge);
        }
        if !new.data.get("algorithm").is_some_and(Value::is_string) {
            return Err(DehydratedError::Missing("`device_data.algorithm`"));
        }
        if new.keys.device_keys.is_none() {
            return Err(DehydratedError::Missing("`device_keys`"));
        }
        let _guard = self.locks().lock(user_id.to_owned()).await;
        let user = user_id.to_owned();
        let before = self.dehydrated_row(user_id).await?.map(|row| row.device_id);
        let key: DeviceKey = (user.clone(), new.device_id.clone());
        let mut batch = Batch::new();
        // The same again is a repeated request: what waits for it stays.
        if before.as_ref() != Some(&new.device_id) {
            if self.store().contains(&tables::DEVICES, &key).await? {
                return Err(DehydratedError::InUse);
            }
            if let Some(before) = before {
                let before = (user.clone(), before);
                self.forget_device(&mut batch, &before).await?;
                publish_device(&mut batch, &before);
            }
        }
        let row = DeviceRow { display_name: new.display_name, ..DeviceRow::default() };
        batch.put(&tables::DEVICES, &key, &Json(row));
        let row = DehydratedDeviceRow { device_id: new.device_id, device_data: new.data };
        batch.put(&tables::DEHYDRATED_DEVICES, &user, &Json(row));
        self.keys().commit_upload(batch, &key, &new.keys).await?;
        Ok(())
    }

    pub async fn dehydrated(
        &self,
        user_id: &UserId,
    ) -> Result<Option<DehydratedDeviceRow>, kith_store::Error> {
        self.dehydrated_row(user_id).await
    }

    /// What was sent to the dehydrated device, after a position. It stays until the device goes.
    pub async fn dehydrated_events(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        after: u64,
    ) -> Result<Waiting, DehydratedError> {
        let row = self.dehydrated_row(user_id).await?;
        if row.is_none_or(|row| row.device_id != device_id) {
            return Err(DehydratedError::OtherDevice);
        }
        Ok(self.to_device().after(user_id, device_id, after, MOST_AT_ONCE).await?)
    }

    /// Answers its ID.
    pub async fn delete_dehydrated(
        &self,
        user_id: &UserId,
    ) -> Result<OwnedDeviceId, DehydratedError> {
        let row = self.dehydrated_row(user_id).await?.ok_or(DehydratedError::NotFound)?;
        self.delete(user_id, std::slice::from_ref(&row.device_id)).await?;
        Ok(row.device_id)
    }

    pub(super) async fn dehydrated_row(
        &self,
        user_id: &UserId,
    ) -> Result<Option<DehydratedDeviceRow>, kith_store::Error> {
        let row = self.store().get(&tables::DEHYDRATED_DEVICES, &user_id.to_owned()).await?;
        Ok(row.map(|Json(row)| row))
    }

    /// Deletes a device with all that belongs to it in this batch, its tokens excepted. Call it under
    /// the user's lock.
    pub(super) async fn forget_device(
        &self,
        batch: &mut Batch,
        device: &DeviceKey,
    ) -> Result<(), kith_store::Error> {
        batch.delete(&tables::DEVICES, device);
        self.keys().forget_device(batch, device).await?;
        self.to_device().forget(batch, device).await?;
        if self.dehydrated_row(&device.0).await?.is_some_and(|row| row.device_id == device.1) {
            batch.delete(&tables::DEHYDRATED_DEVICES, &device.0);
        }
        Ok(())
    }
}
