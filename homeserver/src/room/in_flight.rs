//! Which transactions are on their way to the disk?

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedEventId, OwnedUserId};

/// The key of `TRANSACTION_IDS`.
pub(super) type TransactionKey = (OwnedUserId, OwnedDeviceId, String);

/// Bounded by the requests that are being answered.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<TransactionKey, OwnedEventId>>>);

/// Forgets its transaction when dropped.
pub(super) struct Held {
    in_flight: InFlight,
    key: TransactionKey,
}

impl InFlight {
    pub(super) fn get(&self, key: &TransactionKey) -> Option<OwnedEventId> {
        self.0.lock().get(key).cloned()
    }

    pub(super) fn hold(&self, key: TransactionKey, event_id: OwnedEventId) -> Held {
        self.0.lock().insert(key.clone(), event_id);
        Held { in_flight: self.clone(), key }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_flight.0.lock().remove(&self.key);
    }
}
