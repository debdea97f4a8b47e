//! How does one task at a time do what many want?

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One lock for each key that is in use right now; bounded by the tasks that wait.
pub(crate) struct Flights<K> {
    locks: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

impl<K> Clone for Flights<K> {
    fn clone(&self) -> Self {
        Self { locks: Arc::clone(&self.locks) }
    }
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self { locks: Arc::default() }
    }
}

/// Holds one key's lock; forgotten on drop if nobody else waits for it.
pub(crate) struct Flight<K: Hash + Eq> {
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
    locks: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

impl<K: Hash + Eq + Clone> Flights<K> {
    /// Waits for whoever holds the key. Look again afterwards whether there is still something to do.
    pub(crate) async fn take(&self, key: K) -> Flight<K> {
        let lock = Arc::clone(self.locks.lock().entry(key.clone()).or_default());
        let mut flight = Flight { key, guard: None, locks: Arc::clone(&self.locks) };
        flight.guard = Some(lock.lock_owned().await);
        flight
    }
}

impl<K: Hash + Eq> Drop for Flight<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        drop(self.guard.take());
        // One reference is the map's; any other belongs to a task that holds or awaits the lock.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}
