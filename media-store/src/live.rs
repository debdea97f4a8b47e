//! Who works on a file right now, and who waits for it?

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;

use crate::{hash::Hashing, id::Mxc};

/// The files that somebody has to do with; bounded by the requests and the unfinished uploads.
#[derive(Default)]
pub(crate) struct Live {
    entries: Mutex<HashMap<Mxc, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    turn: Arc<AsyncMutex<()>>,
    /// Ends the request whose turn it is, or that will have the next one.
    newest: Mutex<CancellationToken>,
    /// Of the bytes that are durable, if this process has seen all of them.
    hashing: Mutex<Option<Hashing>>,
    changed: watch::Sender<()>,
}

/// A share in a file's entry; with the last one the entry is forgotten.
struct Seat {
    live: Arc<Live>,
    mxc: Mxc,
    entry: Option<Arc<Entry>>,
}

/// The right to change one file's rows. No two exist for one file.
pub(crate) struct Turn {
    /// Dropped before the seat.
    _guard: OwnedMutexGuard<()>,
    seat: Seat,
    /// Cancelled when somebody else wants a turn.
    pub(crate) ended: CancellationToken,
}

/// Learns when a file is whole or gone.
pub(crate) struct Waiter {
    changed: watch::Receiver<()>,
    _seat: Seat,
}

impl Live {
    fn seat(self: &Arc<Self>, mxc: &Mxc) -> Seat {
        let entry = Arc::clone(self.entries.lock().entry(mxc.clone()).or_default());
        Seat { live: Arc::clone(self), mxc: mxc.clone(), entry: Some(entry) }
    }

    /// Ends whatever is done to the file now, and waits until it has ended.
    pub(crate) async fn take_turn(
        self: &Arc<Self>,
        mxc: &Mxc,
        stopping: &CancellationToken,
    ) -> Turn {
        let seat = self.seat(mxc);
        let ended = stopping.child_token();
        std::mem::replace(&mut *seat.entry().newest.lock(), ended.clone()).cancel();
        let guard = Arc::clone(&seat.entry().turn).lock_owned().await;
        Turn { _guard: guard, seat, ended }
    }

    /// A turn, if nobody has one.
    pub(crate) fn try_turn(
        self: &Arc<Self>,
        mxc: &Mxc,
        stopping: &CancellationToken,
    ) -> Option<Turn> {
        let seat = self.seat(mxc);
        let guard = Arc::clone(&seat.entry().turn).try_lock_owned().ok()?;
        let ended = stopping.child_token();
        *seat.entry().newest.lock() = ended.clone();
        Some(Turn { _guard: guard, seat, ended })
    }

    pub(crate) fn wait(self: &Arc<Self>, mxc: &Mxc) -> Waiter {
        let seat = self.seat(mxc);
        Waiter { changed: seat.entry().changed.subscribe(), _seat: seat }
    }
}

impl Seat {
    fn entry(&self) -> &Entry {
        self.entry.as_deref().expect("it is there until the seat is dropped")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut entries = self.live.entries.lock();
        let last = self.entry.take().is_some_and(|entry| {
            // The map's reference and this one.
            Arc::strong_count(&entry) == 2 && entry.hashing.lock().is_none()
        });
        if last {
            entries.remove(&self.mxc);
        }
    }
}

impl Turn {
    pub(crate) fn mxc(&self) -> &Mxc {
        &self.seat.mxc
    }

    /// The digests so far, if they are of exactly the first `size` bytes.
    pub(crate) fn hashing(&self, size: u64) -> Option<Hashing> {
        if size == 0 {
            return Some(Hashing::new());
        }
        self.seat.entry().hashing.lock().take().filter(|hashing| hashing.upto == size)
    }

    pub(crate) fn keep_hashing(&self, hashing: Option<Hashing>) {
        *self.seat.entry().hashing.lock() = hashing;
    }

    /// The file is whole or gone: tells everybody who waits for that.
    pub(crate) fn tell(&self) {
        self.keep_hashing(None);
        self.seat.entry().changed.send_replace(());
    }
}

impl Waiter {
    pub(crate) async fn changed(&mut self) {
        // The sender is in the entry that the seat holds.
        let _ = self.changed.changed().await;
    }
}
