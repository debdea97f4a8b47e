//! How are many small chunks written at the price of one?
//!
//! A durable write costs a flush of the disk or a request, however short it is. So all small chunks
//! that wait while a pack is being written make up the next one: one object, one row's batch. Packs
//! never change; the collector brings what is left of sparse and small ones together.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use kith_store::{
    Batch, Scan, Store,
    tables::{ChunkRow, PACKS, PackedRow},
};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, RwLock, RwLockWriteGuard, oneshot};

use crate::{
    chunks::{Error, Inner, now},
    format::{RECORD, put_record},
    id::ChunkId,
    layout::pack_path,
};

/// Bytes of a pack at most; one chunk more is begun below that.
pub(crate) const PACK: usize = 16 << 20;

pub(crate) struct Packer {
    /// Bounded by the small chunks that are stored at a time.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Whoever has it writes the next pack, of all that wait.
    writer: AsyncMutex<()>,
    /// Shared by those whose pack is there and whose rows are not.
    without_rows: RwLock<()>,
    /// The number of the newest pack.
    newest: AtomicU64,
}

/// A chunk that is to be packed. Its lock is held by whoever waits for the answer.
struct Waiting {
    chunk: Packable,
    answer: oneshot::Sender<Result<(), Error>>,
}

pub(crate) struct Packable {
    pub(crate) id: ChunkId,
    pub(crate) row: ChunkRow,
    pub(crate) sealed: Bytes,
}

impl Packer {
    pub(crate) async fn open(store: &Store) -> Result<Self, Error> {
        let newest = store.scan(&PACKS, Scan::all().reverse().limit(1)).await?;
        let newest = newest.first().map_or(0, |((pack, _), _)| *pack);
        Ok(Self {
            waiting: Mutex::default(),
            writer: AsyncMutex::default(),
            without_rows: RwLock::default(),
            newest: AtomicU64::new(newest),
        })
    }

    /// No pack has this number yet, not even one that was written just before a crash.
    fn number(&self) -> u64 {
        let at = now();
        let before = self.newest.fetch_max(at, Ordering::Relaxed);
        if before < at { at } else { self.newest.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// The pack's number is taken, so that no new one gets it.
    pub(crate) fn seen(&self, pack: u64) {
        self.newest.fetch_max(pack, Ordering::Relaxed);
    }

    /// While it lives, there is no pack whose rows are still to come.
    pub(crate) async fn settled(&self) -> RwLockWriteGuard<'_, ()> {
        self.without_rows.write().await
    }

    fn take(&self) -> Vec<Waiting> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut waiting = self.waiting.lock();
        while bytes < PACK
            && let Some(next) = waiting.pop_front()
        {
            bytes += RECORD + next.chunk.sealed.len();
            taken.push(next);
        }
        taken
    }
}

impl Inner {
    /// Writes a small sealed chunk and its row, together with others. The caller has the chunk's lock.
    pub(crate) async fn pack(
        &self,
        id: ChunkId,
        row: ChunkRow,
        sealed: Bytes,
    ) -> Result<(), Error> {
        let (answer, mut answered) = oneshot::channel();
        let chunk = Packable { id, row, sealed };
        self.packer.waiting.lock().push_back(Waiting { chunk, answer });
        loop {
            let turn = self.packer.writer.lock().await;
            match answered.try_recv() {
                Ok(result) => return result,
                Err(oneshot::error::TryRecvError::Closed) => return Err(Error::Closed),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let (chunks, answers): (Vec<_>, Vec<_>) = self
                .packer
                .take()
                .into_iter()
                .map(|waiting| (waiting.chunk, waiting.answer))
                .unzip();
            if chunks.is_empty() {
                // Our chunk is in a pack, and its row about to be written.
                drop(turn);
                return answered.await.map_err(|_| Error::Closed)?;
            }
            let _without_rows = self.packer.without_rows.read().await;
            let written = self.write_object(&chunks).await;
            // The next pack can be written while the rows of this one are.
            drop(turn);
            let result = match written {
                Ok(rows) => self.store.commit(rows).await.map(drop).map_err(Error::from),
                Err(error) => Err(error),
            };
            for answer in answers {
                // Nobody listens any more if the caller was cancelled.
                let _ = answer.send(result.clone());
            }
        }
    }

    /// Writes one pack and the rows of its chunks. The caller has the locks of all of them.
    pub(crate) async fn write_pack(&self, chunks: &[Packable]) -> Result<(), Error> {
        let rows = self.write_object(chunks).await?;
        self.store.commit(rows).await?;
        Ok(())
    }

    /// Writes one pack and answers the rows of its chunks.
    async fn write_object(&self, chunks: &[Packable]) -> Result<Batch, Error> {
        let len = chunks.iter().map(|chunk| RECORD + chunk.sealed.len()).sum();
        let number = self.packer.number();
        let (mut pack, mut batch) = (Vec::with_capacity(len), Batch::new());
        for Packable { id, row, sealed } in chunks {
            let offset = u32::try_from(pack.len()).expect("packs are short");
            put_record(&mut pack, id, sealed);
            let packed = Some(PackedRow { pack: number, offset });
            self.record(&mut batch, id, ChunkRow { packed, ..row.clone() }).await?;
        }
        self.places().write(&pack_path(number), pack.into()).await?;
        Ok(batch)
    }
}
