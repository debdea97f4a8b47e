//! In which order did things happen that no log keeps: typing and presence?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use kith_store::tables::RoomNumber;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::Notify;

/// Numbers for ephemeral changes. They begin at the clock in microseconds, so that those of one run
/// are greater than those of the runs before, and a token from then still makes sense.
#[derive(Debug, Clone)]
pub struct Serials(Arc<AtomicU64>);

impl Default for Serials {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(AtomicU64::new(u64::try_from(now.as_micros()).unwrap_or(0))))
    }
}

impl Serials {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The newest number that was given.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// More news than this are not kept for other servers.
const NEWS: usize = 10_000;

/// What our users do right now that other servers are to hear of: the newest of each, until it is
/// fetched. Cheap to clone.
#[derive(Clone, Default)]
pub struct LocalNews(Arc<NewsInner>);

#[derive(Default)]
struct NewsInner {
    news: Mutex<News>,
    changed: Notify,
}

/// See [`LocalNews`].
#[derive(Debug, Default)]
pub struct News {
    /// Who began to type, or stopped.
    pub typing: BTreeMap<(RoomNumber, OwnedUserId), bool>,
    /// Whose presence is another, or should be told again.
    pub presence: BTreeSet<OwnedUserId>,
}

impl LocalNews {
    pub fn typing(&self, room: RoomNumber, user_id: &UserId, typing: bool) {
        let mut news = self.0.news.lock();
        if news.typing.len() < NEWS {
            news.typing.insert((room, user_id.to_owned()), typing);
        }
        self.0.changed.notify_one();
    }

    pub fn presence(&self, user_id: &UserId) {
        let mut news = self.0.news.lock();
        if news.presence.len() < NEWS {
            news.presence.insert(user_id.to_owned());
        }
        self.0.changed.notify_one();
    }

    pub fn take(&self) -> News {
        std::mem::take(&mut self.0.news.lock())
    }

    /// Completes when there are some.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}
