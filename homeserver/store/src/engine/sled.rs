//! Rows in sled 0.34, the embedded default. What it took to rely on it:
//!
//! - A batch is atomic on one tree only: everything is in one.
//! - Its `flush` survives a killed process but not a power cut, for it ends with `sync_file_range`.
//!   So its file is synchronised here before a commit is answered.
//! - It cleans its file, at most one segment a round, only in a background thread; without that the
//!   file grows to four times its rows. So the thread runs. What fails in it is seen here: a failed
//!   write makes every later write fail, and a failed `fsync` is reported once to each open file
//!   description, of which ours is one. It never answers for a commit.
//! - Values above a quarter of a segment become files of their own; Kith's (an event: 64 KiB) do not.
//! - A leaf holds 16 rows, and each full leaf rewrites its parent: a row takes about 60 bytes beside
//!   its own, and gives the cleaning work. Few rows are better than many small ones.
//! - A scan sees each row as of some moment, not all rows as of one: a commit may fall between.
//! - `len`, `drop_tree` and `transaction` are slow or unsound, and not used.
//!
//! A read takes place on the calling thread: mostly from memory, a few microseconds.

use std::{fs::File, path::Path, thread, time::Duration, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Engine, EngineKind, Range, Write,
    folder::{Folder, PATIENCE, unusable},
};
use crate::{Error, Result};

/// How much sled cleans in one round.
const SEGMENT_BYTES: usize = 1 << 20;
/// How often it cleans. Three segments a second keep up with some 1,300 events a second.
const CLEAN_EVERY_MS: u64 = 300;

#[derive(Debug)]
pub struct Sled {
    // Dropped in this order: the folder is free when sled has let go of it.
    tree: sled::Tree,
    db: sled::Db,
    /// sled's own file, opened once more to synchronise it.
    file: File,
    _folder: Folder,
}

impl Sled {
    /// Opens or creates the database in this folder. sled keeps about `cache_bytes` of pages in
    /// memory.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self> {
        let folder = Folder::open(path, EngineKind::Sled)?;
        let db = open_patiently(&folder, cache_bytes)?;
        let tree = db.open_tree("rows").map_err(Error::engine)?;
        let file = File::open(folder.rows().join("db"))?;
        db.flush().map_err(Error::engine)?;
        file.sync_data()?;
        folder.sync()?;
        Ok(Self { tree, db, file, _folder: folder })
    }
}

/// Threads of a database that was closed a moment ago may still hold sled's own lock.
fn open_patiently(folder: &Folder, cache_bytes: u64) -> Result<sled::Db> {
    let config = sled::Config::new()
        .path(folder.rows())
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(CLEAN_EVERY_MS));
    let start = Instant::now();
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                if start.elapsed() > PATIENCE {
                    return Err(Folder::in_use(folder.path()));
                }
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(unusable(folder.path(), "cannot be opened", &error)),
        }
    }
}

#[async_trait]
impl Engine for Sled {
    fn name(&self) -> &'static str {
        EngineKind::Sled.name()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.tree.get(key).map_err(Error::engine)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.tree.range(range.start..range.end);
        let pair = |row: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = row.map_err(Error::engine)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        };
        if range.reverse {
            rows.rev().take(range.limit).map(pair).collect()
        } else {
            rows.take(range.limit).map(pair).collect()
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(Error::engine)?;
        self.tree.flush().map_err(Error::engine)?;
        self.file.sync_data()?;
        Ok(())
    }

    fn size_on_disk(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }
}
