//! Who waits for news, and how are they woken at once?

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::Notify;

/// Users whose `/sync` waits. Bounded by the requests that are open. Cheap to clone.
#[derive(Clone, Default)]
pub struct Waiters(Arc<Mutex<HashMap<OwnedUserId, Arc<Notify>>>>);

/// A place among those who wait; given back on drop.
pub struct Waiting {
    waiters: Waiters,
    user_id: OwnedUserId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// From now on the user is woken. Take [`Waiting::notified`] before looking for news, so that
    /// what happens between looking and waiting is not missed.
    pub fn wait(&self, user_id: &UserId) -> Waiting {
        let notify = Arc::clone(self.0.lock().entry(user_id.to_owned()).or_default());
        Waiting { waiters: self.clone(), user_id: user_id.to_owned(), notify }
    }

    pub fn wake(&self, user_id: &UserId) {
        if let Some(notify) = self.0.lock().get(user_id) {
            notify.notify_waiters();
        }
    }

    /// Wakes all who wait, where it is not known whom the news concern.
    pub fn wake_everyone(&self) {
        self.0.lock().values().for_each(|notify| notify.notify_waiters());
    }

    pub fn wake_all<'a>(&self, users: impl IntoIterator<Item = &'a OwnedUserId>) {
        let waiting = self.0.lock();
        if waiting.is_empty() {
            return;
        }
        for user_id in users {
            if let Some(notify) = waiting.get(user_id) {
                notify.notify_waiters();
            }
        }
    }
}

impl Waiting {
    /// Completes at the next wake after this call.
    pub fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.waiters.0.lock();
        // The map's reference and this one: nobody else waits for this user.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(&self.user_id);
        }
    }
}
