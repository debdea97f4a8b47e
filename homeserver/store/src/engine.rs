//! What must an engine do to hold Kith's rows?

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub mod fjall;
mod folder;
pub mod memory;
pub mod sled;

pub use folder::FORMAT;

/// The engines there are, by their names in the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    #[default]
    Sled,
    Fjall,
    /// Nothing is kept when the process ends.
    Memory,
}

impl EngineKind {
    pub const ALL: [Self; 3] = [Self::Sled, Self::Fjall, Self::Memory];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || {
            Error::Unusable(format!("there is no engine {name:?}; choose sled, fjall or memory"))
        };
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(unknown)
    }
}

/// Opens or creates the database in this folder; `cache_bytes` bounds what it keeps in memory for
/// reading. Blocks while the engine reads its log: up to seconds after a crash.
pub fn open(kind: EngineKind, path: &Path, cache_bytes: u64) -> Result<Arc<dyn Engine>> {
    Ok(match kind {
        EngineKind::Sled => Arc::new(sled::Sled::open(path, cache_bytes)?),
        EngineKind::Fjall => Arc::new(fjall::Fjall::open(path, cache_bytes)?),
        EngineKind::Memory => Arc::new(memory::Memory::default()),
    })
}

/// A key and what becomes of it: `None` deletes.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// Keys from `start` (included) to `end` (excluded).
#[derive(Debug, Clone)]
pub struct Range {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
    /// Greatest key first.
    pub reverse: bool,
    pub limit: usize,
}

/// An ordered map of byte strings. Reads see every commit that was answered.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The name in the configuration: `sled`, `fjall`, `memory`.
    fn name(&self) -> &'static str;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>>;

    /// Writes all or nothing. When it answers, the rows survive a power cut. Called by one writer
    /// at a time, on a thread of its own, so that it may block.
    async fn commit(&self, writes: Vec<Write>) -> Result<()>;

    /// Bytes that the engine takes on disk, for metrics; 0 if it has none.
    fn size_on_disk(&self) -> u64 {
        0
    }
}
