//! How are bytes kept so that they come back as they were, or not at all?
//!
//! A chunk is what a file is made of: up to 16 MiB that are encrypted, named by what they are, and
//! stored once however many files have them. [`Chunks`] knows nothing of files; whoever needs a chunk
//! says so in [`CHUNK_USES`].

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use kith_store::{
    Batch, Json, Store,
    tables::{CHUNK_STORE, CHUNK_USES, CHUNKS, CHUNKS_BY_CHECK, ChunkRow, PACKS},
};
use parking_lot::RwLock;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    backend::{self, Pieces},
    buffers::{Buffer, Buffers},
    chunker::{Chunker, Cut},
    config::{Config, MAX_CHUNK},
    crypto::KeyRing,
    flight::{Flights, Pin},
    format::{self, Header, sealed_len},
    generation::{Entered, Generations},
    id::ChunkId,
    keys,
    layout::Location,
    mirror::Places,
    moving,
    pack::Packer,
    verify::Copied,
};

/// Chunks up to this length, 64 KiB, share objects: see [`crate::pack`].
pub const PACKED: u32 = 64 << 10;
/// How many packed chunks may wait to be written.
const SMALL_WRITES: usize = 1024;
/// Chunks from this length on are hashed and sealed on a thread of their own.
const LARGE: usize = 128 << 10;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such chunk, or its object is gone.
    #[error("chunk {0} is not there")]
    Missing(ChunkId),
    /// What is there is not what was stored, and no other copy was found.
    #[error("chunk {0} is damaged")]
    Corrupt(ChunkId),
    #[error("a chunk of {0} bytes is too long")]
    TooLong(usize),
    /// Bytes were asked for that the chunk does not have.
    #[error("beyond the end of the chunk")]
    OutOfRange,
    /// No space is left, or no quota. Nothing was kept.
    #[error("the datastore is full")]
    Full,
    /// The keys cannot be read; the text says what to do.
    #[error("keys: {0}")]
    Keys(String),
    /// The configuration does not fit what is there; the text says why.
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Datastore(backend::Error),
    #[error(transparent)]
    Index(#[from] kith_store::Error),
    /// The process is about to end.
    #[error("the media store is being closed")]
    Closed,
}

impl From<backend::Error> for Error {
    fn from(error: backend::Error) -> Self {
        match error {
            backend::Error::Full => Self::Full,
            error => Self::Datastore(error),
        }
    }
}

/// One team's chunks. Cheap to clone.
#[derive(Clone)]
pub struct Chunks(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) places: RwLock<Places>,
    pub(crate) keys: RwLock<Arc<KeyRing>>,
    pub(crate) master: [u8; 32],
    pub(crate) flights: Arc<Flights>,
    pub(crate) generations: Generations,
    pub(crate) packer: Packer,
    pub(crate) buffers: Buffers,
    /// Whoever goes through everything does so alone.
    pub(crate) collecting: AsyncMutex<()>,
    /// Milliseconds since the epoch: when this index first knew the datastore.
    pub(crate) born: u64,
    writes: Arc<Semaphore>,
    small_writes: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
}

/// A stored chunk that the collector leaves alone while this lives. Keep it until the batch is
/// committed in which [`Chunks::used_by`] was called.
#[derive(Debug)]
pub struct Held {
    pub id: ChunkId,
    /// Bytes.
    pub len: u32,
    _pin: Pin,
}

/// A chunk whose object is durable, and whose row may still be to come: it goes into the batch of who needs
/// the chunk. Keep this until that is committed. What is dropped without is an object that no row names,
/// and collected as such.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) held: Held,
    row: Option<ChunkRow>,
    _entered: Entered,
}

/// The right to have one more chunk in memory. Whoever reads a stream takes one before it hands over
/// a chunk and reads on, so that all streams together hold no more than [`Config::writes`] chunks
/// beside the one that each is filling.
#[derive(Debug)]
pub struct Slot(#[allow(dead_code, reason = "is released when dropped")] OwnedSemaphorePermit);

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Opens the datastore and reads the keys, or makes them at the first start.
    pub async fn open(config: &Config, store: Store) -> Result<Self, Error> {
        Self::open_with(config, store, true).await
    }

    /// As [`Chunks::open`], for a datastore that was written to before: no keys are made.
    pub(crate) async fn open_known(config: &Config, store: Store) -> Result<Self, Error> {
        Self::open_with(config, store, false).await
    }

    async fn open_with(config: &Config, store: Store, may_begin: bool) -> Result<Self, Error> {
        if !(PACKED..=MAX_CHUNK).contains(&config.chunk_size) {
            return Err(Error::Config("chunks have 64 KiB to 16 MiB".to_owned()));
        }
        let buffers = Buffers::of(sealed_len(config.chunk_size) as usize);
        let places = moving::places(config, &store, &buffers).await?;
        let (keys, master) = keys::load(&config.master_key, &store, &places, may_begin).await?;
        let packer = Packer::open(&store).await?;
        let born = born(&store).await?;
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            store,
            places: RwLock::new(places),
            keys: RwLock::new(Arc::new(keys)),
            master,
            flights: Arc::default(),
            generations: Generations::default(),
            packer,
            buffers,
            collecting: AsyncMutex::default(),
            born,
            writes: Arc::new(Semaphore::new(config.writes.max(1))),
            small_writes: Arc::new(Semaphore::new(SMALL_WRITES)),
            tasks: TaskTracker::new(),
        })))
    }

    /// Waits until everything that was begun is done. Call it before the database is closed.
    pub async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Cuts a stream of bytes into chunks of the configured length.
    pub fn chunker(&self) -> Chunker {
        Chunker::new(Cut::Fixed(self.0.config.chunk_size))
    }

    /// Waits for the right to one more chunk in memory.
    pub async fn slot(&self) -> Result<Slot, Error> {
        let permit = Arc::clone(&self.0.writes).acquire_owned().await;
        permit.map(Slot).map_err(|_| Error::Closed)
    }

    /// Stores a chunk. It is durable (its object, the object's name and the row) when this answers, and
    /// is not written again if it was there.
    pub async fn put(&self, plaintext: Bytes) -> Result<Held, Error> {
        let slot = self.slot_for(&plaintext).await?;
        self.put_in(slot, plaintext).await
    }

    /// As [`Chunks::put`], in a slot that the caller waited for.
    pub async fn put_in(&self, slot: Slot, plaintext: Bytes) -> Result<Held, Error> {
        let chunks = self.clone();
        // Whoever waits may go away; nothing is left half done.
        let stored = self.0.tasks.spawn(async move {
            let placed = chunks.0.place(plaintext).await?;
            drop(slot);
            let mut batch = Batch::new();
            chunks.record(&mut batch, &placed).await?;
            chunks.0.store.commit(batch).await?;
            Ok(placed.held)
        });
        stored.await.map_err(|_| Error::Closed)?
    }

    /// As [`Chunks::put`], but its row goes into the caller's batch: see [`Chunks::record`].
    pub(crate) async fn place(&self, plaintext: Bytes) -> Result<Placed, Error> {
        let slot = self.slot_for(&plaintext).await?;
        let inner = Arc::clone(&self.0);
        let placed = self.0.tasks.spawn(async move {
            let placed = inner.place(plaintext).await;
            drop(slot);
            placed
        });
        placed.await.map_err(|_| Error::Closed)?
    }

    /// Adds the rows of a placed chunk, if they are new, to the batch in which somebody needs it.
    pub(crate) async fn record(&self, batch: &mut Batch, placed: &Placed) -> Result<(), Error> {
        match &placed.row {
            Some(row) => self.0.record(batch, &placed.held.id, row.clone()).await,
            None => Ok(()),
        }
    }

    async fn slot_for(&self, plaintext: &Bytes) -> Result<Slot, Error> {
        let small = plaintext.len() <= PACKED as usize;
        let writes = if small { &self.0.small_writes } else { &self.0.writes };
        let permit = Arc::clone(writes).acquire_owned().await;
        permit.map(Slot).map_err(|_| Error::Closed)
    }

    /// Memory for a chunk that is to come.
    pub(crate) fn buffer(&self, len: usize) -> Buffer {
        self.0.buffers.take(len)
    }

    /// Holds a chunk that may be there already; `None` if it is not, or not whole as far as is known.
    pub async fn hold(&self, id: &ChunkId) -> Result<Option<Held>, Error> {
        let pin = self.0.flights.pin(*id);
        let _guard = pin.lock().await;
        let stored = self.0.stored(id).await?;
        Ok(stored.map(|row| Held { id: *id, len: row.len, _pin: pin }))
    }

    /// Bytes `range` of the chunk: those that were stored, or an error.
    pub async fn read(&self, id: &ChunkId, range: Range<u32>) -> Result<Bytes, Error> {
        self.0.read(id, range).await
    }

    /// The chunk's length in bytes, if there is such a chunk.
    pub async fn len(&self, id: &ChunkId) -> Result<Option<u32>, Error> {
        Ok(self.0.row(id).await?.map(|row| row.len))
    }

    /// Somebody needs the chunk: it stays. `owner` is any name that tells one use from another; saying
    /// it twice is saying it once. Hold the chunk until the batch is committed.
    pub fn used_by(&self, batch: &mut Batch, id: &ChunkId, owner: &str) {
        batch.put(&CHUNK_USES, &(id.0, owner.to_owned()), &());
    }

    /// Takes back [`Chunks::used_by`]. A chunk that nobody needs is removed after [`Config::grace`].
    pub fn unused_by(&self, batch: &mut Batch, id: &ChunkId, owner: &str) {
        batch.delete(&CHUNK_USES, &(id.0, owner.to_owned()));
    }
}

impl Inner {
    pub(crate) fn places(&self) -> Places {
        self.places.read().clone()
    }

    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read())
    }

    /// Answers when everything that was being stored at the call is stored, and its rows are written.
    pub(crate) async fn quiesce(&self) {
        self.generations.turn().await;
    }

    pub(crate) async fn row(&self, id: &ChunkId) -> Result<Option<ChunkRow>, Error> {
        Ok(self.store.get(&CHUNKS, &id.0).await?.map(|Json(row)| row))
    }

    /// The chunk's row, if its object is there as well and not known to be damaged. Later content with
    /// this id need not be written.
    async fn stored(&self, id: &ChunkId) -> Result<Option<ChunkRow>, Error> {
        let Some(row) = self.row(id).await?.filter(|row| row.damage.is_none()) else {
            return Ok(None);
        };
        let location = Location::of(id, &row);
        let holds = self.places().holds(&location.path, location.end).await?;
        Ok(Some(row).filter(|_| holds))
    }

    /// Writes the chunk's object, if it is not there. Only a packed chunk has its row then.
    async fn place(self: &Arc<Self>, plaintext: Bytes) -> Result<Placed, Error> {
        let len = u32::try_from(plaintext.len()).ok().filter(|len| *len <= MAX_CHUNK);
        let len = len.ok_or(Error::TooLong(plaintext.len()))?;
        // Before keys and places are looked at: whoever changes them waits for us.
        let entered = self.generations.enter();
        let keys = self.keys();
        let hash = {
            let (keys, plaintext) = (Arc::clone(&keys), plaintext.clone());
            move || keys.id(&plaintext)
        };
        let id = worked(plaintext.len(), hash).await?;
        let pin = self.flights.pin(id);
        let mut landed = pin.lock().await;
        let generation = entered.generation;
        let mut placed = Placed { held: Held { id, len, _pin: pin }, row: None, _entered: entered };
        if self.stored(&id).await?.is_some() {
            return Ok(placed);
        }
        // Somebody else has just written it, and not yet the row.
        if let Some((_, row)) = landed.as_ref().filter(|(then, _)| *then == generation) {
            placed.row = Some(row.clone());
            return Ok(placed);
        }
        let epoch = keys.current();
        let row =
            ChunkRow { len, epoch, packed: None, checked: now(), unused_since: None, damage: None };
        if len <= PACKED {
            let sealed = keys.seal(&id, &plaintext, &self.buffers);
            self.pack(id, row, sealed).await?;
            return Ok(placed);
        }
        let (path, sealed) = (Location::of(&id, &row).path, sealed_len(len) as usize);
        let seal = move |write: &mut Pieces<'_>| keys.seal_to(&id, &plaintext, write);
        self.places().write_made(&path, sealed, seal).await?;
        *landed = Some((generation, row.clone()));
        placed.row = Some(row);
        Ok(placed)
    }

    /// Writes a sealed chunk and its row. The caller has the chunk's lock.
    pub(crate) async fn write(
        self: &Arc<Self>,
        id: &ChunkId,
        row: ChunkRow,
        sealed: Bytes,
    ) -> Result<(), Error> {
        if row.len <= PACKED {
            return self.pack(*id, row, sealed).await;
        }
        let row = ChunkRow { packed: None, ..row };
        self.places().write(&Location::of(id, &row).path, sealed).await?;
        let mut batch = Batch::new();
        self.record(&mut batch, id, row).await?;
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Puts the chunk's row in the place of the one it has. The caller has the chunk's lock.
    pub(crate) async fn record(
        &self,
        batch: &mut Batch,
        id: &ChunkId,
        row: ChunkRow,
    ) -> Result<(), Error> {
        self.erase(batch, id).await?;
        batch.put(&CHUNKS_BY_CHECK, &(row.checked, id.0), &());
        if let Some(packed) = &row.packed {
            let len = Location::of(id, &row).len() as u32;
            batch.put(&PACKS, &(packed.pack, id.0), &len);
        }
        batch.put(&CHUNKS, &id.0, &Json(row));
        Ok(())
    }

    /// Removes every row of the chunk. The caller has the chunk's lock.
    pub(crate) async fn erase(&self, batch: &mut Batch, id: &ChunkId) -> Result<(), Error> {
        if let Some(row) = self.row(id).await? {
            batch.delete(&CHUNKS_BY_CHECK, &(row.checked, id.0));
            if let Some(packed) = row.packed {
                batch.delete(&PACKS, &(packed.pack, id.0));
            }
            batch.delete(&CHUNKS, &id.0);
        }
        Ok(())
    }

    async fn read(self: &Arc<Self>, id: &ChunkId, range: Range<u32>) -> Result<Bytes, Error> {
        let mut row = self.row(id).await?.ok_or(Error::Missing(*id))?;
        loop {
            let read = self.read_row(id, &row, range.clone()).await;
            if !matches!(read, Err(Error::Missing(_) | Error::Corrupt(_))) {
                return read;
            }
            let now = self.row(id).await?.ok_or(Error::Missing(*id))?;
            // A packed chunk may have been brought elsewhere after we had looked where it was.
            if now.packed == row.packed {
                if now.damage.is_none() {
                    self.check_later(*id);
                }
                return read;
            }
            row = now;
        }
    }

    pub(crate) async fn read_row(
        self: &Arc<Self>,
        id: &ChunkId,
        row: &ChunkRow,
        range: Range<u32>,
    ) -> Result<Bytes, Error> {
        let span = format::span(row.len, range.clone()).ok_or(Error::OutOfRange)?;
        let location = Location::of(id, row);
        let frames = location.start + span.sealed.start..location.start + span.sealed.end;
        let (mut damaged, mut corrupt, mut failure) = (false, false, None);
        let places = self.places();
        for place in places.all() {
            let sealed = match place.read(&location.path, Some(frames.clone())).await {
                Ok(sealed) => sealed,
                Err(error) => {
                    failure = Some(error.into());
                    continue;
                }
            };
            let Some(sealed) = sealed else {
                // What is still to come to a new place is not damage.
                damaged |= places.old.is_none();
                continue;
            };
            if let Some(plaintext) = self.opened(id, row, span.first, sealed).await? {
                if damaged && row.damage.is_none() {
                    self.check_later(*id);
                }
                return Ok(plaintext.slice(span.inner));
            }
            // It may have been sealed anew, with another key.
            match self.copy(id, row, place).await {
                Ok(Copied::Whole { plaintext, .. }) => {
                    return Ok(plaintext.slice(range.start as usize..range.end as usize));
                }
                Ok(Copied::Corrupt { .. }) => (damaged, corrupt) = (true, true),
                Ok(Copied::Missing) => damaged = true,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        Err(if corrupt { Error::Corrupt(*id) } else { Error::Missing(*id) })
    }

    async fn opened(
        &self,
        id: &ChunkId,
        row: &ChunkRow,
        first: u32,
        sealed: Bytes,
    ) -> Result<Option<Bytes>, Error> {
        let (keys, buffers, id) = (self.keys(), self.buffers.clone(), *id);
        let header = Header { epoch: row.epoch, len: row.len };
        let length = sealed.len();
        let open = move || keys.open(&id, header, first, &sealed, &buffers).ok();
        worked(length, open).await
    }
}

/// Runs what takes a while for so many bytes where it holds up nobody.
pub(crate) async fn worked<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes < LARGE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)
}

/// When this index first knew the datastore.
async fn born(store: &Store) -> Result<u64, Error> {
    let name = "born".to_owned();
    let known = store.get(&CHUNK_STORE, &name).await?;
    if let Some(known) = known.and_then(|row| row.first_chunk().copied()) {
        return Ok(u64::from_be_bytes(known));
    }
    let born = now();
    let mut batch = Batch::new();
    batch.put(&CHUNK_STORE, &name, &Bytes::copy_from_slice(&born.to_be_bytes()));
    store.commit(batch).await?;
    Ok(born)
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
