//! How is one room, one user or one media file changed by one task at a time?

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One asynchronous lock for each key that is in use right now; bounded by the tasks that wait.
#[derive(Debug)]
pub struct KeyedLocks<K> {
    locks: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

impl<K> Clone for KeyedLocks<K> {
    fn clone(&self) -> Self {
        Self { locks: Arc::clone(&self.locks) }
    }
}

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self { locks: Arc::default() }
    }
}

/// Holds one key's lock; on drop the lock is forgotten if nobody else waits for it.
#[derive(Debug)]
pub struct KeyedGuard<K: Hash + Eq> {
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
    locks: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

impl<K: Hash + Eq + Clone> KeyedLocks<K> {
    pub async fn lock(&self, key: K) -> KeyedGuard<K> {
        let lock = Arc::clone(self.locks.lock().entry(key.clone()).or_default());
        let guard = lock.lock_owned().await;
        KeyedGuard { key, guard: Some(guard), locks: Arc::clone(&self.locks) }
    }
}

impl<K: Hash + Eq> Drop for KeyedGuard<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        drop(self.guard.take());
        // One reference is the map's; any other belongs to a task that holds or awaits the lock.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}
