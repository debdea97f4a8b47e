//! What does a device need to go on encrypting? Messages to it, how many one-time keys it has left,
//! and whose devices changed.

use ruma::api::client::sync::sync_events::v3::Response;

use super::Asked;
use crate::{
    room::{RoomError, members::Memberships},
    sync::{Sync, SyncToken, changes::Changes},
    to_device::MOST_AT_ONCE,
    users::Requester,
};

impl Sync {
    /// The device has what it was sent before this token.
    pub(super) async fn acknowledge(
        &self,
        requester: &Requester,
        since: Option<SyncToken>,
    ) -> Result<(), kith_store::Error> {
        let Some(since) = since else { return Ok(()) };
        let Requester { user_id, device_id, .. } = requester;
        self.to_device.acknowledge(user_id, device_id, since.to_device).await
    }

    /// Adds it to the answer of `/sync`. Answers whether something is new that [`Response`] does not
    /// show: how many keys are left is always in it.
    pub(super) async fn add_e2ee(
        &self,
        asked: &Asked<'_>,
        memberships: &Memberships,
        changes: &Changes,
        response: &mut Response,
    ) -> Result<bool, RoomError> {
        let Requester { user_id, device_id, .. } = asked.requester;
        let from = asked.since.to_device;
        let waiting = self.to_device.after(user_id, device_id, from, MOST_AT_ONCE).await?;
        response.to_device.events = waiting.events;
        // Without more waiting this is at least where the log stands.
        let upto = SyncToken { to_device: waiting.reached, ..asked.upto };
        response.next_batch = upto.to_string();
        let keys = self.keys.one_time_keys(user_id, device_id).await?;
        response.device_one_time_keys_count = keys.counts;
        response.device_unused_fallback_key_types = Some(keys.unused_fallback_types);
        if let Some(since) = asked.request.since {
            response.device_lists =
                self.device_lists(user_id, since.position, memberships, changes).await?;
        }
        Ok(changes.keys.contains(device_id))
    }
}
