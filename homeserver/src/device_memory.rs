//! What is known in memory about each device, and who may change it?
//!
//! The rule: whatever the tables hold of a user's devices (the devices themselves, their keys, their
//! queues) is changed under the user's lock, and so is what is remembered of it. A batch may be
//! handed over under the lock and awaited without it; whoever reads rows under the lock because
//! nothing is remembered waits for such batches first ([`kith_store::Store::settled`]).

use std::{collections::HashMap, sync::Arc};

use kith_store::tables::DeviceKey;
use parking_lot::Mutex;
use ruma::OwnedUserId;

use crate::locks::KeyedLocks;

/// Held while anything about a user's devices is changed. Whoever takes those of several users takes
/// them in the order of their IDs.
pub type DeviceLocks = KeyedLocks<OwnedUserId>;

/// How many devices' facts are remembered; all are forgotten when there are more.
const REMEMBERED: usize = 20_000;

/// A small fact about each device that was of interest lately. Cheap to clone.
pub struct DeviceMemory<V>(Arc<Mutex<HashMap<DeviceKey, V>>>);

impl<V> Clone for DeviceMemory<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> Default for DeviceMemory<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V: Clone> DeviceMemory<V> {
    pub fn get(&self, device: &DeviceKey) -> Option<V> {
        self.0.lock().get(device).cloned()
    }

    /// Call it under the user's lock, with what was read there.
    pub fn remember(&self, device: &DeviceKey, value: V) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED && !known.contains_key(device) {
            known.clear();
        }
        known.insert(device.clone(), value);
    }

    /// Changes what is remembered; nothing, if nothing is.
    pub fn change(&self, device: &DeviceKey, change: impl FnOnce(&mut V)) {
        if let Some(value) = self.0.lock().get_mut(device) {
            change(value);
        }
    }

    pub fn forget(&self, device: &DeviceKey) {
        self.0.lock().remove(device);
    }
}
