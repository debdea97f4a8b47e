//! What other servers tell of their users' devices.

use ruma::{
    OwnedUserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, SigningKeyUpdateContent},
};

use super::RemoteDevices;
use crate::{
    keys::{CrossSigning, Keys},
    room::RoomError,
};

impl RemoteDevices {
    /// A device of a user came, changed or went. The user must be one of the telling server's.
    pub async fn device_changed(&self, update: DeviceListUpdateContent) -> Result<(), RoomError> {
        let user_id = &update.user_id;
        self.touch(user_id);
        if !self.is_known(user_id).await? {
            return Ok(self.0.keys.forget_remote(user_id).await?);
        }
        let Some(list) = self.0.keys.remote_list(user_id).await? else {
            return self.announce(user_id).await;
        };
        let stream_id = u64::from(update.stream_id);
        let follows = !update.prev_id.is_empty()
            && update.prev_id.iter().all(|previous| u64::from(*previous) == list.stream_id);
        if list.stale || !follows {
            // Told again, or from before what is known.
            let known = !list.stale && !update.prev_id.is_empty() && stream_id <= list.stream_id;
            return if known { Ok(()) } else { self.resync(user_id).await };
        }
        let device = (user_id.clone(), update.device_id.clone());
        let name = update.device_display_name.as_deref();
        let keys = match (&update.keys, update.deleted) {
            (_, Some(true)) | (None, _) => None,
            (Some(keys), _) => match Keys::check_remote_device(&device, keys, name) {
                Ok(keys) => Some(keys),
                Err(error) => {
                    // As a device without keys: nobody can write to it.
                    tracing::debug!(%user_id, device = %device.1, %error, "keys are left out");
                    None
                }
            },
        };
        Ok(self.0.keys.update_remote(user_id, stream_id, &device.1, keys).await?)
    }

    /// A user has other cross-signing keys. The user must be one of the telling server's.
    pub async fn cross_signing_changed(
        &self,
        update: SigningKeyUpdateContent,
    ) -> Result<(), RoomError> {
        let user_id = &update.user_id;
        self.touch(user_id);
        if !self.is_known(user_id).await? {
            return Ok(self.0.keys.forget_remote(user_id).await?);
        }
        let Some(list) = self.0.keys.remote_list(user_id).await? else {
            return self.announce(user_id).await;
        };
        if list.stale {
            return self.resync(user_id).await;
        }
        let (master, own) = (update.master_key.as_ref(), update.self_signing_key.as_ref());
        match CrossSigning::check(user_id, master, own, None) {
            Ok(keys) => Ok(self.0.keys.update_remote_cross_signing(user_id, &keys).await?),
            Err(error) => {
                tracing::debug!(%user_id, %error, "a key is left out");
                Ok(())
            }
        }
    }

    /// Tells clients once that a list changed that is not kept.
    async fn announce(&self, user_id: &OwnedUserId) -> Result<(), RoomError> {
        if self.0.announced.get(user_id).is_none() {
            self.0.announced.insert(user_id.clone(), ());
            self.0.keys.set_remote_stale(user_id).await?;
        }
        Ok(())
    }
}
