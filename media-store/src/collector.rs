//! What may go, and what may come together?
//!
//! One pass looks at every chunk, then at every pack, then at every object, and remembers where it is:
//! a pass that was cut off goes on at the next call.
//!
//! A chunk without a use is marked at first sight and removed when it was without one for the whole
//! grace: its rows first, then its object, so that a row never names what is gone. Whoever stores the
//! same content meanwhile holds the chunk's lock before, and then the chunk stays, or gets it after,
//! and then writes the object anew.

use std::{collections::HashMap, sync::Arc};

use futures_util::TryStreamExt as _;
use kith_store::{
    Batch, Json, Scan,
    tables::{CHUNK_STORE, CHUNK_USES, CHUNKS, ChunkRow, PACKS},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    backend::Datastore,
    chunks::{Chunks, Error, Inner, now},
    flight::Pin,
    format,
    id::ChunkId,
    layout::{self, Location, chunk_at, chunks_folder, pack_at, pack_path},
    pack::{PACK, Packable},
};

/// Rows that are read at a time.
const PAGE: usize = 256;
/// A pack of fewer bytes is brought together with others.
const SMALL_PACK: u64 = 4 << 20;
/// Clocks of datastores may be that wrong: milliseconds.
const CLOCKS: u64 = 60_000;
const CURSOR: &str = "cursor collect";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Rows and objects that were looked at.
    pub looked_at: u64,
    /// Chunks that nobody had used for the whole grace.
    pub removed: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Packs that were brought together or had nothing left.
    pub packs: u64,
    /// Objects that no row named, left by a crash.
    pub orphans: u64,
    /// The pass is at its end; the next call begins another.
    pub finished: bool,
}

/// Where the pass is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
enum Cursor {
    #[default]
    Start,
    /// After this chunk.
    Chunks(String),
    Packs,
    /// In the folder of this first byte.
    Objects(u8),
}

impl Chunks {
    /// Goes on with the pass until about `budget` rows and objects were looked at. One at a time.
    pub async fn collect(&self, budget: u64) -> Result<CollectReport, Error> {
        let _alone = self.0.collecting.lock().await;
        let mut report = CollectReport::default();
        let mut cursor: Cursor = self.0.cursor(CURSOR).await?.unwrap_or_default();
        while report.looked_at < budget {
            let next = match cursor {
                Cursor::Start => self.0.collect_chunks(None, &mut report).await?,
                Cursor::Chunks(after) => {
                    self.0.collect_chunks(after.parse().ok(), &mut report).await?
                }
                Cursor::Packs => {
                    self.0.collect_packs(&mut report).await?;
                    Some(Cursor::Objects(0))
                }
                Cursor::Objects(first) => {
                    self.0.collect_objects(first, &mut report).await?;
                    first.checked_add(1).map(Cursor::Objects)
                }
            };
            self.0.set_cursor(CURSOR, next.as_ref()).await?;
            match next {
                Some(next) => cursor = next,
                None => {
                    report.finished = true;
                    break;
                }
            }
        }
        Ok(report)
    }
}

impl Inner {
    pub(crate) async fn cursor<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let row = self.store.get(&CHUNK_STORE, &name.to_owned()).await?;
        // One that cannot be read is one that begins anew.
        Ok(row.and_then(|row| serde_json::from_slice(&row).ok()))
    }

    pub(crate) async fn set_cursor<T: Serialize>(
        &self,
        name: &str,
        cursor: Option<&T>,
    ) -> Result<(), Error> {
        let mut batch = Batch::new();
        match cursor {
            Some(cursor) => {
                let row = serde_json::to_vec(cursor).expect("our own types serialise");
                batch.put(&CHUNK_STORE, &name.to_owned(), &row.into());
            }
            None => batch.delete(&CHUNK_STORE, &name.to_owned()),
        }
        self.store.commit(batch).await?;
        Ok(())
    }

    /// One page of chunks.
    async fn collect_chunks(
        self: &Arc<Self>,
        after: Option<ChunkId>,
        report: &mut CollectReport,
    ) -> Result<Option<Cursor>, Error> {
        let mut scan = Scan::all().limit(PAGE);
        if let Some(after) = after {
            scan = scan.after(&after.0);
        }
        let rows = self.store.scan(&CHUNKS, scan).await?;
        for (id, Json(row)) in &rows {
            report.looked_at += 1;
            let id = ChunkId(*id);
            if self.unused(&id).await? {
                if self.remove_unused(id).await? {
                    report.removed += 1;
                    report.bytes += u64::from(row.len);
                }
            } else if row.unused_since.is_some() {
                self.mark(id, None).await?;
            }
        }
        Ok(Some(match rows.last() {
            Some((id, _)) if rows.len() == PAGE => Cursor::Chunks(ChunkId(*id).to_string()),
            _ => Cursor::Packs,
        }))
    }

    async fn unused(&self, id: &ChunkId) -> Result<bool, Error> {
        let uses = self.store.scan(&CHUNK_USES, Scan::prefix(&(id.0,)).limit(1)).await?;
        Ok(uses.is_empty())
    }

    async fn mark(&self, id: ChunkId, unused_since: Option<u64>) -> Result<(), Error> {
        let pin = self.flights.pin(id);
        let _guard = pin.lock().await;
        if let Some(row) = self.row(&id).await? {
            let mut batch = Batch::new();
            batch.put(&CHUNKS, &id.0, &Json(ChunkRow { unused_since, ..row }));
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    /// Removes the chunk, or marks it. Answers whether it was removed.
    async fn remove_unused(&self, id: ChunkId) -> Result<bool, Error> {
        let Some((_pin, _guard)) = self.flights.pin_idle(id) else {
            return Ok(false);
        };
        // Who used it before we had it to ourselves has committed that.
        let Some(row) = self.row(&id).await? else {
            return Ok(false);
        };
        if !self.unused(&id).await? {
            return Ok(false);
        }
        let now = now();
        let since = row.unused_since.unwrap_or(now);
        if now.saturating_sub(since) < self.config.grace.as_millis() as u64 {
            if row.unused_since.is_none() {
                let mut batch = Batch::new();
                batch.put(&CHUNKS, &id.0, &Json(ChunkRow { unused_since: Some(now), ..row }));
                self.store.commit(batch).await?;
            }
            return Ok(false);
        }
        let mut batch = Batch::new();
        self.erase(&mut batch, &id).await?;
        self.store.commit(batch).await?;
        if row.packed.is_none() {
            self.places().delete(&Location::of(&id, &row).path).await?;
        }
        Ok(true)
    }

    /// Removes packs of which nothing is needed and brings sparse and small ones together.
    async fn collect_packs(self: &Arc<Self>, report: &mut CollectReport) -> Result<(), Error> {
        let places = self.places();
        let mut lengths = HashMap::new();
        for place in places.all() {
            let mut packs = place.list(layout::PACKS).await?;
            while let Some(object) = packs.try_next().await? {
                report.looked_at += 1;
                if let Some(number) = pack_at(&object.path) {
                    lengths.entry(number).or_insert(object);
                }
            }
        }
        let mut numbers: Vec<u64> = lengths.keys().copied().collect();
        numbers.sort_unstable();
        let (mut together, mut bytes, mut sparse) = (Vec::new(), 0, false);
        for number in numbers {
            let object = &lengths[&number];
            let live: u64 =
                self.in_pack(number).await?.iter().map(|(_, len)| u64::from(*len)).sum();
            if live == 0 {
                report.packs += u64::from(self.remove_pack(number, object.modified).await?);
            } else if live < object.len / 2 || object.len < SMALL_PACK {
                sparse |= live < object.len / 2;
                together.push(number);
                bytes += live;
            }
            if bytes >= PACK as u64 {
                report.packs += self.merge(&std::mem::take(&mut together)).await?;
                (bytes, sparse) = (0, false);
            }
        }
        if together.len() > 1 || sparse {
            report.packs += self.merge(&together).await?;
        }
        Ok(())
    }

    async fn in_pack(&self, number: u64) -> Result<Vec<(ChunkId, u32)>, Error> {
        let rows = self.store.scan(&PACKS, Scan::prefix(&(number,))).await?;
        Ok(rows.into_iter().map(|((_, id), len)| (ChunkId(id), len)).collect())
    }

    /// Removes a pack if nothing of it is needed.
    async fn remove_pack(&self, number: u64, modified: u64) -> Result<bool, Error> {
        // A pack whose rows are about to be written has none either.
        let _settled = self.packer.settled().await;
        if !self.in_pack(number).await?.is_empty() || self.foreign(modified) {
            return Ok(false);
        }
        self.places().delete(&pack_path(number)).await?;
        Ok(true)
    }

    /// Writes what is needed of these packs as one. Answers how many of them are gone.
    async fn merge(self: &Arc<Self>, packs: &[u64]) -> Result<u64, Error> {
        let (mut chunks, mut locks) = (Vec::new(), Vec::new());
        for number in packs {
            let Some(pack) = self.places().read(&pack_path(*number)).await? else {
                continue;
            };
            for (id, _) in self.in_pack(*number).await? {
                let Some((pin, guard)) = self.flights.pin_idle(id) else {
                    continue;
                };
                let Some(row) = self.row(&id).await? else { continue };
                let Some(record) = row.packed.filter(|packed| packed.pack == *number) else {
                    continue;
                };
                match format::record(&pack, record.offset as usize) {
                    Ok(record) if record.id == id => {
                        let row = ChunkRow { packed: None, ..row };
                        chunks.push(Packable { id, row, sealed: pack.slice(record.sealed) });
                        locks.push((guard, pin));
                    }
                    // The pack stays as long as there is something in it to be healed.
                    _ => self.check_later(id),
                }
            }
        }
        if !chunks.is_empty() {
            self.write_pack(&chunks).await?;
        }
        drop(locks);
        let mut gone = 0;
        for number in packs {
            gone += u64::from(self.remove_pack(*number, u64::MAX).await?);
        }
        Ok(gone)
    }

    /// One folder of objects of which a crash or a failed removal may have left some.
    async fn collect_objects(&self, first: u8, report: &mut CollectReport) -> Result<(), Error> {
        for place in self.places().all() {
            let mut objects = place.list(&chunks_folder(first)).await?;
            while let Some(object) = objects.try_next().await? {
                report.looked_at += 1;
                let Some(id) = chunk_at(&object.path) else { continue };
                let young =
                    now().saturating_sub(object.modified) < self.config.grace.as_millis() as u64;
                if young || self.foreign(object.modified) {
                    continue;
                }
                report.orphans += u64::from(self.remove_orphan(place, id).await?);
            }
        }
        Ok(())
    }

    async fn remove_orphan(&self, place: &Datastore, id: ChunkId) -> Result<bool, Error> {
        if self.row(&id).await?.is_some_and(|row| row.packed.is_none()) {
            return Ok(false);
        }
        let Some((_pin, _guard)): Option<(Pin, _)> = self.flights.pin_idle(id) else {
            return Ok(false);
        };
        if self.row(&id).await?.is_some_and(|row| row.packed.is_none()) {
            return Ok(false);
        }
        place.delete(&layout::chunk_path(&id)).await?;
        Ok(true)
    }

    /// Whether the object is older than the index: then the index may be a new one that does not know
    /// it yet, and only [`Chunks::rebuild`] can tell.
    fn foreign(&self, modified: u64) -> bool {
        modified.saturating_add(CLOCKS) < self.born
    }
}
