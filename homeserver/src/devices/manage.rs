//! A user's list of devices: reading, renaming, signing out.

use std::net::IpAddr;

use kith_store::{
    Batch, Json, Scan,
    tables::{self, DeviceRow},
};
use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UserId};

use super::{Sessions, sessions::drop_tokens};
use crate::keys::publish_device;

/// The longest display name of a device, in bytes.
const DISPLAY_NAME: usize = 1024;
/// The longest device ID, in bytes.
const DEVICE_ID: usize = 255;

/// A device as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub device_id: OwnedDeviceId,
    pub display_name: Option<String>,
    pub last_seen: Option<MilliSecondsSinceUnixEpoch>,
    pub last_seen_ip: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("a device ID has 1 to {DEVICE_ID} bytes")]
    DeviceId,
    #[error("a device's display name has at most {DISPLAY_NAME} bytes")]
    DisplayName,
}

impl Sessions {
    /// Whether a client may call its device so.
    pub fn check_names(
        device_id: Option<&DeviceId>,
        display_name: Option<&str>,
    ) -> Result<(), DeviceError> {
        let is_good = |id: &DeviceId| (1..=DEVICE_ID).contains(&id.as_str().len());
        if !device_id.is_none_or(is_good) {
            return Err(DeviceError::DeviceId);
        }
        if display_name.is_some_and(|name| name.len() > DISPLAY_NAME) {
            return Err(DeviceError::DisplayName);
        }
        Ok(())
    }

    /// In the order of their IDs.
    pub async fn devices(&self, user_id: &UserId) -> Result<Vec<Device>, kith_store::Error> {
        let rows = self.rows(user_id).await?;
        Ok(rows.into_iter().map(|(key, row)| self.device_of(key, row)).collect())
    }

    pub async fn device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<Option<Device>, kith_store::Error> {
        let key = (user_id.to_owned(), device_id.to_owned());
        let row = self.store().get(&tables::DEVICES, &key).await?;
        Ok(row.map(|Json(row)| self.device_of(key, row)))
    }

    /// Gives a device a new name. Answers whether there is such a device.
    pub async fn rename(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        display_name: String,
    ) -> Result<bool, kith_store::Error> {
        let _guard = self.locks().lock(user_id.to_owned()).await;
        let key = (user_id.to_owned(), device_id.to_owned());
        let Some(Json(mut row)) = self.store().get(&tables::DEVICES, &key).await? else {
            return Ok(false);
        };
        row.display_name = Some(display_name);
        let mut batch = Batch::new();
        batch.put(&tables::DEVICES, &key, &Json(row));
        publish_device(&mut batch, &key);
        self.store().commit(batch).await?;
        Ok(true)
    }

    /// Signs devices out and forgets them, their keys and what waits for them. Those that are not there are passed over.
    pub async fn delete(
        &self,
        user_id: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), kith_store::Error> {
        let _guard = self.locks().lock(user_id.to_owned()).await;
        let mut rows = Vec::new();
        for device_id in devices {
            let key = (user_id.to_owned(), device_id.clone());
            if let Some(Json(row)) = self.store().get(&tables::DEVICES, &key).await? {
                rows.push((key, row));
            }
        }
        self.delete_rows(rows).await
    }

    /// Signs all devices out but this one.
    pub async fn delete_all_but(
        &self,
        user_id: &UserId,
        kept: Option<&DeviceId>,
    ) -> Result<(), kith_store::Error> {
        let _guard = self.locks().lock(user_id.to_owned()).await;
        let mut rows = self.rows(user_id).await?;
        rows.retain(|((_, device_id), _)| Some(&**device_id) != kept);
        self.delete_rows(rows).await
    }

    async fn delete_rows(
        &self,
        rows: Vec<((OwnedUserId, OwnedDeviceId), DeviceRow)>,
    ) -> Result<(), kith_store::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        let mut tokens = Vec::new();
        for (key, mut row) in rows {
            tokens.extend(drop_tokens(&mut batch, &mut row));
            self.forget_device(&mut batch, &key).await?;
            publish_device(&mut batch, &key);
        }
        self.store().commit(batch).await?;
        self.forget(&tokens);
        Ok(())
    }

    /// A user has as many devices as they signed in with and did not sign out.
    pub(super) async fn rows(
        &self,
        user_id: &UserId,
    ) -> Result<Vec<((OwnedUserId, OwnedDeviceId), DeviceRow)>, kith_store::Error> {
        let scan = Scan::prefix(&(user_id.to_owned(),));
        let rows = self.store().scan(&tables::DEVICES, scan).await?;
        Ok(rows.into_iter().map(|(key, Json(row))| (key, row)).collect())
    }

    fn device_of(&self, key: (OwnedUserId, OwnedDeviceId), row: DeviceRow) -> Device {
        let newer = self.last_seen().of(&key.0, &key.1);
        Device {
            device_id: key.1,
            display_name: row.display_name,
            last_seen: newer.map(|seen| seen.at).or(row.last_seen),
            last_seen_ip: match newer {
                Some(seen) => Some(seen.address),
                None => row.last_seen_ip.and_then(|address| address.parse().ok()),
            },
        }
    }
}
