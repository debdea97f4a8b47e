//! Is a chunk what it was? And if not, where is a copy that is?

use std::sync::Arc;

use bytes::Bytes;
use kith_store::tables::{ChunkDamage, ChunkRow};

use crate::{
    backend::Datastore,
    chunks::{Error, Inner, worked},
    format::{self, RECORD},
    id::ChunkId,
    layout::Location,
};

/// What one place has of a chunk.
pub(crate) enum Copied {
    Whole {
        sealed: Bytes,
        plaintext: Bytes,
    },
    Missing,
    Corrupt {
        /// What is there instead.
        found: Bytes,
        /// The sealed chunk, if only what stands around it is damaged.
        rescued: Option<Bytes>,
    },
}

impl Copied {
    pub(crate) fn damage(&self) -> Option<ChunkDamage> {
        match self {
            Self::Whole { .. } => None,
            Self::Missing => Some(ChunkDamage::Missing),
            Self::Corrupt { .. } => Some(ChunkDamage::Corrupt),
        }
    }
}

impl Inner {
    /// Reads and checks every byte of the chunk in one place.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        id: &ChunkId,
        row: &ChunkRow,
        place: &Datastore,
    ) -> Result<Copied, Error> {
        let location = Location::of(id, row);
        let record = location.record;
        let range = record.map(|record| record..location.end);
        let Some(bytes) = place.read(&location.path, range).await? else {
            // A cut-off object is not a missing one.
            let rest = place.read(&location.path, None).await?;
            return Ok(rest.map_or(Copied::Missing, |rest| {
                let start = (record.unwrap_or_default() as usize).min(rest.len());
                Copied::Corrupt { found: rest.slice(start..), rescued: None }
            }));
        };
        let (keys, buffers, id, len) = (self.keys(), self.buffers.clone(), *id, row.len);
        let checked = worked(bytes.len(), move || {
            let (sealed, around) = match record {
                None => (bytes.clone(), true),
                Some(_) => {
                    let around = format::record(&bytes, 0).is_ok_and(|record| record.id == id);
                    (bytes.slice(RECORD..), around)
                }
            };
            let plaintext = keys.open_whole(&id, &sealed, &buffers);
            match plaintext.ok().filter(|plaintext| plaintext.len() == len as usize) {
                Some(plaintext) if around => Copied::Whole { sealed, plaintext },
                opened => Copied::Corrupt { found: bytes, rescued: opened.map(|_| sealed) },
            }
        });
        checked.await
    }
}
