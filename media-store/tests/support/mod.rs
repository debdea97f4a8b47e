//! What the tests of chunks have in common.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use kith_media_store::{
    chunks::{Chunks, Error},
    config::{Config, MasterKey, Place},
    id::ChunkId,
};
use kith_store::{Batch, Database, Json, Store, engine, engine::EngineKind, tables::CHUNKS};
use tempfile::TempDir;

/// `len` bytes that no other `seed` gives, and that no compression finds anything in.
pub fn chunk(len: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; len];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// As `assert_eq!`, without megabytes of output.
#[track_caller]
pub fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len());
    let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!(at, None, "the first byte that is another");
}

/// Rows that last as long as the first value.
pub async fn store() -> (Arc<Database>, Store) {
    let database = engine::open(EngineKind::Memory, Path::new(""), 1 << 20).expect("memory");
    let database = Database::open(database).expect("a runtime");
    let store = database.team(1).await.expect("a team");
    (database, store)
}

/// A store of chunks in a temporary folder, with its index in memory.
pub struct Kept {
    pub temporary: TempDir,
    pub config: Config,
    _database: Arc<Database>,
    pub store: Store,
    pub chunks: Chunks,
    /// What a server of the test's own serves.
    pub served: Option<PathBuf>,
}

impl Kept {
    pub async fn new() -> Self {
        Self::configured(|_, _| {}).await
    }

    /// As [`Kept::new`]; `change` sees the temporary folder and the configuration.
    pub async fn configured(change: impl FnOnce(&Path, &mut Config)) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let datastore = Place::folder(temporary.path().join("media"));
        let key = MasterKey::File(temporary.path().join("secrets/media.key"));
        let mut config = Config::new(datastore, "example.org", key);
        change(temporary.path(), &mut config);
        let (database, store) = store().await;
        let chunks = Chunks::open(&config, store.clone()).await.expect("opened");
        Self { temporary, config, _database: database, store, chunks, served: None }
    }

    pub async fn reopen(&mut self) -> Result<(), Error> {
        self.chunks = Chunks::open(&self.config, self.store.clone()).await?;
        Ok(())
    }

    /// Opens the datastore with an index that knows nothing.
    pub async fn lose_index(&mut self) {
        (self._database, self.store) = store().await;
        self.reopen().await.expect("the keys are in the datastore");
    }

    /// The datastore.
    pub fn folder(&self) -> PathBuf {
        self.temporary.path().join("media")
    }

    pub fn mirror(&self) -> PathBuf {
        self.temporary.path().join("mirror")
    }

    pub fn master_key_path(&self) -> PathBuf {
        self.temporary.path().join("secrets/media.key")
    }

    /// The file in which the chunk lies.
    pub async fn object_of(&self, id: &ChunkId) -> PathBuf {
        self.part_of(id).await.0
    }

    /// The file in which the chunk lies, and which part of it is the chunk's.
    pub async fn part_of(&self, id: &ChunkId) -> (PathBuf, Range<usize>) {
        let row = self.store.get(&CHUNKS, &id.0).await.expect("readable").expect("there");
        let Json(row) = row;
        let sealed = 16 + row.len as usize + 16 * row.len.div_ceil(64 << 10).max(1) as usize;
        let name = id.to_string();
        let (below, part) = match row.packed {
            Some(packed) => {
                let start = packed.offset as usize;
                (format!("p/{:016}.pack", packed.pack), start..start + 44 + sealed)
            }
            None => (format!("c/{}/{}/{name}", &name[..2], &name[2..4]), 0..sealed),
        };
        (self.folder().join("example.org/v1").join(below), part)
    }
}

/// Stores a chunk that `owner` uses from now on.
pub async fn put_used(chunks: &Chunks, store: &Store, content: Bytes, owner: &str) -> ChunkId {
    let held = chunks.put(content).await.expect("stored");
    let mut batch = Batch::new();
    chunks.used_by(&mut batch, &held.id, owner);
    store.commit(batch).await.expect("committed");
    held.id
}

/// Every file below the folder, in order.
pub fn objects(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.as_ref().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
