//! Who works on a chunk right now?

use std::{collections::HashMap, fmt, sync::Arc};

use kith_store::tables::ChunkRow;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::id::ChunkId;

/// Chunks that somebody wants to stay, or changes. Bounded by the uploads that are under way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<ChunkId, Flight>>);

struct Flight {
    pins: usize,
    lock: Arc<AsyncMutex<Landed>>,
}

/// An object that was written while its chunk was pinned: its row, which may still be to come, and the
/// generation in which that was.
pub(crate) type Landed = Option<(u64, ChunkRow)>;

impl Flights {
    /// From now on the collector leaves the chunk alone; if it is at it already, [`Pin::lock`] waits
    /// until it is done.
    pub(crate) fn pin(self: &Arc<Self>, id: ChunkId) -> Pin {
        let mut flights = self.0.lock();
        let flight = flights.entry(id).or_insert_with(|| Flight { pins: 0, lock: Arc::default() });
        flight.pins += 1;
        Pin { flights: Arc::clone(self), id, lock: Arc::clone(&flight.lock) }
    }

    /// As [`Flights::pin`], for who wants to remove the chunk: only if nobody has pinned it.
    pub(crate) fn pin_idle(
        self: &Arc<Self>,
        id: ChunkId,
    ) -> Option<(Pin, OwnedMutexGuard<Landed>)> {
        let mut flights = self.0.lock();
        if flights.contains_key(&id) {
            return None;
        }
        let lock = Arc::<AsyncMutex<Landed>>::default();
        let guard = Arc::clone(&lock).try_lock_owned().ok()?;
        flights.insert(id, Flight { pins: 1, lock: Arc::clone(&lock) });
        Some((Pin { flights: Arc::clone(self), id, lock }, guard))
    }
}

/// Keeps a chunk from the collector while it lives.
pub(crate) struct Pin {
    flights: Arc<Flights>,
    pub(crate) id: ChunkId,
    lock: Arc<AsyncMutex<Landed>>,
}

impl Pin {
    /// One at a time writes, moves or removes a chunk.
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Landed> {
        Arc::clone(&self.lock).lock_owned().await
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        if let Some(flight) = flights.get_mut(&self.id) {
            flight.pins -= 1;
            if flight.pins == 0 {
                flights.remove(&self.id);
            }
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_pinned_is_not_removed_and_what_is_removed_is_waited_for() {
        let (flights, id) = (Arc::<Flights>::default(), ChunkId([1; 32]));
        let first = flights.pin(id);
        let second = flights.pin(id);
        assert!(flights.pin_idle(id).is_none());
        drop(first);
        assert!(flights.pin_idle(id).is_none());
        drop(second);
        let (removing, guard) = flights.pin_idle(id).expect("nobody has it");

        let pinned = flights.pin(id);
        let mut waiting = tokio::spawn(async move { drop(pinned.lock().await) });
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("not before it is removed"),
            () = tokio::task::yield_now() => {}
        }
        drop(guard);
        drop(removing);
        waiting.await.expect("goes on");
        assert!(flights.0.lock().is_empty());
    }
}
