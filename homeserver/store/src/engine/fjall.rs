//! Rows in fjall 3, a log-structured merge tree: one keyspace, each commit synchronised.
//!
//! A read takes place on the calling thread: a few microseconds, or one read from disk.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use fjall::{KeyspaceCreateOptions, PersistMode};

use super::{
    Engine, EngineKind, Range, Write,
    folder::{Folder, unusable},
};
use crate::{Error, Result};

/// Rows that wait in memory to be sorted into a file.
const MEMTABLE: u64 = 16 << 20;
/// What the journal of such rows may take on disk; the least that fjall accepts.
const JOURNAL: u64 = 64 << 20;

pub struct Fjall {
    // Dropped in this order: the folder is free when fjall has let go of it.
    rows: fjall::Keyspace,
    db: fjall::Database,
    _folder: Folder,
}

impl Fjall {
    /// Opens or creates the database in this folder. Blocks of `cache_bytes` are kept in memory.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self> {
        let folder = Folder::open(path, EngineKind::Fjall)?;
        let db = fjall::Database::builder(folder.rows())
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL)
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => Folder::in_use(path),
                error => unusable(path, "cannot be opened", &error),
            })?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let rows = db.keyspace("rows", options).map_err(Error::engine)?;
        db.persist(PersistMode::SyncAll).map_err(Error::engine)?;
        folder.sync()?;
        Ok(Self { rows, db, _folder: folder })
    }
}

#[async_trait]
impl Engine for Fjall {
    fn name(&self) -> &'static str {
        EngineKind::Fjall.name()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.rows.get(key).map_err(Error::engine)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.rows.range(range.start..range.end);
        let pair = |row: fjall::Guard| {
            let (key, value) = row.into_inner().map_err(Error::engine)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        };
        if range.reverse {
            rows.rev().take(range.limit).map(pair).collect()
        } else {
            rows.take(range.limit).map(pair).collect()
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.rows, key, value),
                None => batch.remove(&self.rows, key),
            }
        }
        batch.commit().map_err(Error::engine)
    }

    fn size_on_disk(&self) -> u64 {
        self.db.disk_space().unwrap_or(0)
    }
}
