//! Where do the bytes of files lie, and what is known about each file?
//!
//! `0xa0–0xa4` chunks, `0xa5–0xab` files, `0xac–0xaf` pictures.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Json, Table};

// Chunks: written by `kith_media_store::chunks` and its collector, scrub and fsck.

/// The chunks that the datastore holds.
/// - Key: the chunk id. Written when the bytes are durable, removed before they are.
pub const CHUNKS: Table<[u8; 32], Json<ChunkRow>> = Table::new(0xa0, "chunks");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRow {
    /// Bytes of plaintext.
    pub len: u32,
    /// Which data key it is sealed with; the object's own header has the last word.
    pub epoch: u32,
    /// Where in a pack it lies, if it has no object of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<PackedRow>,
    /// Milliseconds since the epoch: when it was stored or last found whole. See [`CHUNKS_BY_CHECK`].
    pub checked: u64,
    /// Milliseconds since the epoch: when the collector first found it without a use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<u64>,
    /// What the last check found, if that was not the whole chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<ChunkDamage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRow {
    /// The pack's number, greater than that of every pack before it.
    pub pack: u64,
    /// Bytes from the pack's start to the record.
    pub offset: u32,
}

/// The greater, the more there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkDamage {
    Missing,
    Corrupt,
}

/// Who needs a chunk. No row, no need: the collector removes the chunk after its grace.
/// - Key: the chunk id, then a name that its user chose. Put and deleted in the batches of whoever
///   records the use, by way of `Chunks::used_by` and `Chunks::unused_by`.
pub const CHUNK_USES: Table<([u8; 32], String), ()> = Table::new(0xa1, "chunk_uses");

/// Chunks in the order in which they are to be checked again.
/// - Key: the row's `checked`, then the chunk id.
pub const CHUNKS_BY_CHECK: Table<(u64, [u8; 32]), ()> = Table::new(0xa2, "chunks_by_check");

/// What is needed of each pack, an immutable object of many small chunks.
/// - Key: the pack's number, then the chunk id. Value: the bytes that the chunk takes of the pack.
/// - Written with the row of [`CHUNKS`] that points there.
pub const PACKS: Table<(u64, [u8; 32]), u32> = Table::new(0xa3, "packs");

/// What else the store of chunks remembers: wrapped keys by epoch and the cursors of its tasks.
/// - Key: a name.
pub const CHUNK_STORE: Table<String, Bytes> = Table::new(0xa4, "chunk_store");
