//! What must an engine do to hold Kith's rows?

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

pub mod memory;

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
