//! Do the index and the datastore say the same? And if there is no index, what did it say?

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use kith_store::{
    Batch, Json, Scan,
    tables::{CHUNKS, CHUNKS_BY_CHECK, ChunkRow, PACKS, PackedRow},
};
use serde::{Deserialize, Serialize};

use crate::{
    chunks::{Chunks, Error, Inner},
    format::{self, HEADER, Header, sealed_len},
    id::ChunkId,
    layout::{self, Location, chunk_at, chunks_folder, pack_at},
    scrub::Checked,
};

/// How many damaged chunks a report names.
const NAMED: usize = 1000;
const PAGE: usize = 256;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// Compares rows with listings.
    Quick,
    /// Reads every byte as well.
    Full,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsckReport {
    /// Chunks with a row.
    pub chunks: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Rows that did not fit others and now do.
    pub rows_mended: u64,
    /// Chunks that were healed from another place.
    pub healed: u64,
    /// Chunks that nobody can read, in hexadecimal digits. The first 1,000.
    pub lost: Vec<String>,
    /// Objects that no row names: the collector removes them, or [`Chunks::rebuild`] adopts them.
    pub orphans: u64,
    /// Of 256 parts of the whole, how many were looked at.
    pub parts: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Rows that were missing.
    pub added: u64,
    /// Objects that are not what their name says.
    pub malformed: u64,
    /// Packs that were read.
    pub packs: u64,
}

impl Chunks {
    /// Compares index and datastore, mends rows, heals chunks from the mirror. `progress` is told after
    /// each of 256 parts; a check that is cut off goes on where it was.
    pub async fn fsck(
        &self,
        look: Look,
        mut progress: impl FnMut(&FsckReport),
    ) -> Result<FsckReport, Error> {
        let cursor = format!("cursor fsck {look:?}");
        let mut report: FsckReport = self.0.cursor(&cursor).await?.unwrap_or_default();
        let packs = self.0.packs().await?;
        while let Ok(first) = u8::try_from(report.parts) {
            self.0.fsck_part(first, look, &packs, &mut report).await?;
            report.parts += 1;
            self.0.set_cursor(&cursor, Some(&report)).await?;
            progress(&report);
        }
        self.0.set_cursor::<FsckReport>(&cursor, None).await?;
        Ok(report)
    }

    /// Makes the rows of chunks anew from what lies in the datastore; rows that are there stay as they
    /// are. What the files are made of is in the journals: see [`Chunks::journals`]. Chunks that no file
    /// uses by the time are collected after the grace.
    pub async fn rebuild(
        &self,
        mut progress: impl FnMut(&RebuildReport),
    ) -> Result<RebuildReport, Error> {
        let mut report = RebuildReport::default();
        for first in 0..=u8::MAX {
            self.0.rebuild_part(first, &mut report).await?;
            progress(&report);
        }
        let packs = self.0.packs().await?;
        let packs: BTreeSet<u64> = packs.into_iter().flat_map(HashMap::into_keys).collect();
        // A chunk that was brought elsewhere is whole in the newer pack.
        for pack in packs.into_iter().rev() {
            self.0.rebuild_pack(pack, &mut report).await?;
            progress(&report);
        }
        Ok(report)
    }
}

impl Inner {
    /// The lengths of packs, in each place that is to have all: where things are moved from and to is
    /// one of them.
    async fn packs(&self) -> Result<Vec<HashMap<u64, u64>>, Error> {
        self.lengths(layout::PACKS, pack_at).await
    }

    /// The lengths of the objects of chunks whose ids begin with `first`, in each place as above.
    async fn objects(&self, first: u8) -> Result<Vec<HashMap<ChunkId, u64>>, Error> {
        self.lengths(&chunks_folder(first), chunk_at).await
    }

    async fn lengths<T: Eq + Hash>(
        &self,
        folder: &str,
        name: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<HashMap<T, u64>>, Error> {
        let places = self.places();
        let mut found = Vec::new();
        for kept in places.kept() {
            let old = places.old.as_ref().filter(|_| found.is_empty());
            let mut lengths = HashMap::new();
            for place in [kept].into_iter().chain(old) {
                let mut objects = place.list(folder).await?;
                while let Some(object) = objects.try_next().await? {
                    if let Some(name) = name(&object.path) {
                        lengths.entry(name).or_insert(object.len);
                    }
                }
            }
            found.push(lengths);
        }
        Ok(found)
    }

    async fn fsck_part(
        self: &Arc<Self>,
        first: u8,
        look: Look,
        packs: &[HashMap<u64, u64>],
        report: &mut FsckReport,
    ) -> Result<(), Error> {
        let mut objects = self.objects(first).await?;
        let mut after: Option<[u8; 32]> = None;
        loop {
            let mut scan = Scan::prefix(&first).limit(PAGE);
            if let Some(after) = &after {
                scan = scan.after(after);
            }
            let rows = self.store.scan(&CHUNKS, scan).await?;
            for (id, Json(row)) in &rows {
                let id = ChunkId(*id);
                report.chunks += 1;
                report.bytes += u64::from(row.len);
                report.rows_mended += u64::from(self.mend_rows(&id).await?);
                let location = Location::of(&id, row);
                let there = match &row.packed {
                    Some(packed) => packs.iter().all(|packs| {
                        packs.get(&packed.pack).is_some_and(|len| *len >= location.end)
                    }),
                    None => {
                        let found = objects.iter_mut().map(|objects| objects.remove(&id));
                        // Each of them gives up the object, whatever the others have.
                        found.fold(true, |all, len| all & (len == Some(location.end)))
                    }
                };
                if there && look == Look::Quick && row.damage.is_none() {
                    continue;
                }
                match self.check(id).await? {
                    Checked::Gone | Checked::Whole { .. } => {}
                    Checked::Healed { .. } => report.healed += 1,
                    Checked::Lost(_) if report.lost.len() < NAMED => {
                        report.lost.push(id.to_string())
                    }
                    Checked::Lost(_) => {}
                }
            }
            after = rows.last().map(|(id, _)| *id);
            if rows.len() < PAGE {
                break;
            }
        }
        for id in objects.iter().flat_map(HashMap::keys) {
            // It may have been stored while we looked.
            report.orphans += u64::from(self.row(id).await?.is_none_or(|row| row.packed.is_some()));
        }
        Ok(())
    }

    /// Writes the chunk's other rows anew if one is not there.
    async fn mend_rows(&self, id: &ChunkId) -> Result<bool, Error> {
        let pin = self.flights.pin(*id);
        let _guard = pin.lock().await;
        let Some(row) = self.row(id).await? else {
            return Ok(false);
        };
        let due = self.store.contains(&CHUNKS_BY_CHECK, &(row.checked, id.0)).await?;
        let packed = match &row.packed {
            Some(packed) => self.store.contains(&PACKS, &(packed.pack, id.0)).await?,
            None => true,
        };
        if due && packed {
            return Ok(false);
        }
        let mut batch = Batch::new();
        self.record(&mut batch, id, row).await?;
        self.store.commit(batch).await?;
        Ok(true)
    }

    async fn rebuild_part(&self, first: u8, report: &mut RebuildReport) -> Result<(), Error> {
        for (id, len) in self.objects(first).await?.into_iter().flatten() {
            if self.row(&id).await?.is_some() {
                continue;
            }
            let path = layout::chunk_path(&id);
            let mut header = None;
            for place in self.places().all() {
                if header.is_none()
                    && let Some(bytes) = place.read(&path, Some(0..HEADER as u64)).await?
                {
                    header = Header::decode(&bytes).ok();
                }
            }
            match header.filter(|header| sealed_len(header.len) == len) {
                Some(header) => self.adopt(&id, header, None, report).await?,
                None => report.malformed += 1,
            }
        }
        Ok(())
    }

    async fn rebuild_pack(&self, pack: u64, report: &mut RebuildReport) -> Result<(), Error> {
        self.packer.seen(pack);
        report.packs += 1;
        let Some(bytes) = self.places().read(&layout::pack_path(pack)).await? else {
            return Ok(());
        };
        let (records, end) = format::records(&bytes);
        report.malformed += u64::from(end.is_err());
        for record in records {
            if self.row(&record.id).await?.is_some() {
                continue;
            }
            let sealed = &bytes[record.sealed.clone()];
            let header = Header::decode(sealed).ok();
            match header.filter(|header| sealed_len(header.len) == sealed.len() as u64) {
                Some(header) => {
                    let packed = PackedRow { pack, offset: record.offset };
                    self.adopt(&record.id, header, Some(packed), report).await?;
                }
                None => report.malformed += 1,
            }
        }
        Ok(())
    }

    /// Gives the chunk a row, unless it has one. The next scrub looks at it first.
    async fn adopt(
        &self,
        id: &ChunkId,
        header: Header,
        packed: Option<PackedRow>,
        report: &mut RebuildReport,
    ) -> Result<(), Error> {
        let pin = self.flights.pin(*id);
        let _guard = pin.lock().await;
        if self.row(id).await?.is_some() {
            return Ok(());
        }
        let Header { epoch, len } = header;
        let row = ChunkRow { len, epoch, packed, checked: 0, unused_since: None, damage: None };
        let mut batch = Batch::new();
        self.record(&mut batch, id, row).await?;
        self.store.commit(batch).await?;
        report.added += 1;
        Ok(())
    }
}
