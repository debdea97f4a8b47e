//! Which members does a device know already? Remembered to say less; forgetting only says more.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#lazy-loading-room-members)

use std::{collections::HashMap, sync::Arc};

use kith_store::{
    StreamPosition,
    tables::{EventIndex, RoomNumber},
};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::users::Requester;

/// How many devices are remembered.
const DEVICES: usize = 2_000;
/// How many members of all rooms are remembered for one device.
const MEMBERS: usize = 2_000;

type Sent = Arc<Mutex<HashMap<(RoomNumber, EventIndex), StreamPosition>>>;

/// Member events by the token of the answer they were in. Cheap to clone.
#[derive(Clone)]
pub(in crate::sync) struct LazyMembers(Arc<Cache<(OwnedUserId, OwnedDeviceId), Sent>>);

impl Default for LazyMembers {
    fn default() -> Self {
        Self(Arc::new(crate::cache::of_at_most(DEVICES)))
    }
}

impl LazyMembers {
    /// The device begins anew and knows nobody.
    pub(super) fn forget(&self, requester: &Requester) {
        self.0.remove(&(requester.user_id.clone(), requester.device_id.clone()));
    }

    /// Whether the device has this member event, given that it has every answer up to `since`. If
    /// not, it is taken as sent with the answer whose token is `upto`.
    pub(super) fn knows(
        &self,
        requester: &Requester,
        member: (RoomNumber, EventIndex),
        since: StreamPosition,
        upto: StreamPosition,
    ) -> bool {
        let key = (requester.user_id.clone(), requester.device_id.clone());
        let sent = match self.0.get(&key) {
            Some(sent) => sent,
            None => {
                let sent = Sent::default();
                self.0.insert(key, Arc::clone(&sent));
                sent
            }
        };
        let mut sent = sent.lock();
        if sent.get(&member).is_some_and(|answer| *answer <= since) {
            return true;
        }
        if sent.len() >= MEMBERS {
            sent.clear();
        }
        sent.entry(member).or_insert(upto);
        false
    }
}
