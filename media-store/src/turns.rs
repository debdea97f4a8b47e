//! How is one thing made once, however many ask for it at the same time?

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Locks<K> = Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>;

/// One lock for each key that is in use right now; bounded by the tasks that wait.
pub(crate) struct Turns<K>(Locks<K>);

/// Holds one key's lock; forgotten on drop if nobody else waits for it.
pub(crate) struct Turn<K: Hash + Eq> {
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
    locks: Locks<K>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Locks::default())
    }
}

impl<K: Hash + Eq + Clone> Turns<K> {
    /// Waits for whoever holds the key. Look again afterwards whether there is still something to do.
    pub(crate) async fn take(&self, key: K) -> Turn<K> {
        let lock = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        // Before it waits, so that it is forgotten if the wait is given up.
        let mut turn = Turn { key, guard: None, locks: Arc::clone(&self.0) };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl<K: Hash + Eq> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        drop(self.guard.take());
        // One reference is the map's; any other belongs to a task that holds or awaits the lock.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}
