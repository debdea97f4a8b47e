//! How does a process read files that has the datastore and the master key, and no index?
//!
//! Whoever has the index says which bytes of which chunks make up what is wanted of a file; a [`Reader`]
//! reads them, as many processes as there are before one datastore.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use kith_store::{Database, engine::memory::Memory, tables::ChunkRow};
use serde::{Deserialize, Serialize};

use crate::{
    Error, MediaStore,
    chunks::{self, Chunks},
    config::Config,
    download::{AHEAD, part},
    id::{ChunkId, Mxc},
};

/// Bytes of one chunk, and where the chunk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// 64 hexadecimal digits.
    pub chunk: String,
    pub row: ChunkRow,
    /// From which byte of the chunk to which, without it.
    pub range: Range<u32>,
}

impl MediaStore {
    /// What must be read for these bytes of a whole file.
    pub async fn plan(&self, mxc: &Mxc, range: Range<u64>) -> Result<Vec<Part>, Error> {
        let (mut from, mut parts) = (range.start, Vec::new());
        while from < range.end {
            let page = self.extents(mxc, from).await?;
            let next = page.last().map(|last| last.offset + u64::from(last.length));
            for extent in page {
                let Some(wanted) = part(extent, &range) else { continue };
                let row = self.0.chunks.0.row(&extent.chunk).await?;
                let row = row.ok_or(chunks::Error::Missing(extent.chunk))?;
                parts.push(Part { chunk: extent.chunk.to_string(), row, range: wanted });
            }
            from = next
                .filter(|next| *next > from)
                .ok_or_else(|| Error::Damaged(format!("{mxc} lacks bytes from {from}")))?;
        }
        Ok(parts)
    }
}

/// Reads one team's chunks by plans that others made. Cheap to clone.
#[derive(Clone)]
pub struct Reader(Chunks);

impl Reader {
    /// The datastore must have been written to: its keys are read from there.
    pub async fn open(config: &Config) -> Result<Self, chunks::Error> {
        // An index that stays empty: nothing is ever stored through it.
        let store = Database::open(Arc::new(Memory::default()))?.team(0).await?;
        Ok(Self(Chunks::open_known(config, store).await?))
    }

    /// Whether it has the keys that a plan needs. After a rotation it is to be opened anew.
    pub fn has_keys(&self, parts: &[Part]) -> bool {
        let keys = self.0.0.keys();
        parts.iter().all(|part| keys.epochs().any(|epoch| epoch == part.row.epoch))
    }

    /// The bytes of all parts, in order.
    pub fn read(&self, parts: Vec<Part>) -> BoxStream<'static, Result<Bytes, chunks::Error>> {
        let chunks = self.0.clone();
        let reads = stream::iter(parts).map(move |part| {
            let chunks = chunks.clone();
            async move {
                let id: ChunkId = part
                    .chunk
                    .parse()
                    .map_err(|_| chunks::Error::Config(format!("{:?} is no chunk", part.chunk)))?;
                chunks.0.read_row(&id, &part.row, part.range).await
            }
        });
        reads.buffered(AHEAD).into_stream().boxed()
    }
}
