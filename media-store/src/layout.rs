//! What are objects called?
//!
//! ```text
//! v1/c/ab/cd/abcd…           a chunk
//! v1/p/<16 digits>.pack      small chunks, written together; the number counts up
//! v1/m/<day>/<time>-<id>     a journal entry of the files' records
//! v1/k/<epoch>.key           wrapped keys
//! v1/bad/<id>-<time>         what was found damaged
//! v1/tmp/                    what is being written to a folder
//! ```

use kith_store::tables::{ChunkRow, PackedRow};

use crate::{
    format::{RECORD, sealed_len},
    id::ChunkId,
};

pub(crate) const CHUNKS: &str = "v1/c/";
pub(crate) const PACKS: &str = "v1/p/";
pub(crate) const JOURNALS: &str = "v1/m/";
pub(crate) const BAD: &str = "v1/bad/";

/// Where a sealed chunk lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) path: String,
    /// Where in the object the record begins that holds it, if that is a pack.
    pub(crate) record: Option<u64>,
    /// Where in the object the sealed chunk begins.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Location {
    pub(crate) fn of(id: &ChunkId, row: &ChunkRow) -> Self {
        match row.packed {
            None => Self { path: chunk_path(id), record: None, start: 0, end: sealed_len(row.len) },
            Some(PackedRow { pack, offset }) => {
                let record = u64::from(offset);
                let start = record + RECORD as u64;
                let end = start + sealed_len(row.len);
                Self { path: pack_path(pack), record: Some(record), start, end }
            }
        }
    }

    /// Bytes of the object that are there for this chunk.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.record.unwrap_or(self.start)
    }
}

pub(crate) fn chunk_path(id: &ChunkId) -> String {
    let name = id.to_string();
    format!("{CHUNKS}{}/{}/{name}", &name[..2], &name[2..4])
}

/// The chunks whose ids begin with this byte.
pub(crate) fn chunks_folder(first: u8) -> String {
    format!("{CHUNKS}{first:02x}/")
}

/// The chunk that is stored at this path.
pub(crate) fn chunk_at(path: &str) -> Option<ChunkId> {
    let id = path.rsplit('/').next()?.parse().ok()?;
    (chunk_path(&id) == path).then_some(id)
}

pub(crate) fn pack_path(pack: u64) -> String {
    format!("{PACKS}{pack:016}.pack")
}

/// The pack that is stored at this path.
pub(crate) fn pack_at(path: &str) -> Option<u64> {
    let number = path.strip_prefix(PACKS)?.strip_suffix(".pack")?.parse().ok()?;
    (pack_path(number) == path).then_some(number)
}

/// A journal entry of this moment, milliseconds since the epoch. Paths are in the order of moments.
pub(crate) fn journal_path(at: u64, id: &ChunkId) -> String {
    format!("{JOURNALS}{:05}/{at:013}-{id}", at / 86_400_000)
}

pub(crate) fn journal_at(path: &str) -> Option<ChunkId> {
    path.strip_prefix(JOURNALS)?.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        let id = ChunkId([0xab; 32]);
        assert!(chunk_path(&id).starts_with(&format!("{}ab/abab", chunks_folder(0xab))));
        assert_eq!(chunk_at(&chunk_path(&id)), Some(id));
        assert_eq!(chunk_at(&chunk_path(&id).replacen("/ab/", "/00/", 1)), None);
        assert_eq!(chunk_at("v1/c/ab/ab/.tmp"), None);
        assert_eq!(pack_at(&pack_path(7)), Some(7));
        assert_eq!(pack_at("v1/p/7.pack"), None);
        assert_eq!(journal_at(&journal_path(1_795_292_981_000, &id)), Some(id));
        assert!(journal_path(9, &id) < journal_path(1_795_292_981_000, &id));
    }
}
