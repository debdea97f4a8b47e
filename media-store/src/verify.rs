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
    /// What is there instead.
    Corrupt(Bytes),
}

impl Copied {
    pub(crate) fn damage(&self) -> Option<ChunkDamage> {
        match self {
            Self::Whole { .. } => None,
            Self::Missing => Some(ChunkDamage::Missing),
            Self::Corrupt(_) => Some(ChunkDamage::Corrupt),
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
            return Ok(match place.read(&location.path, None).await? {
                Some(rest) if record.is_none() => Copied::Corrupt(rest),
                Some(rest) => Copied::Corrupt(
                    rest.slice((record.unwrap_or_default() as usize).min(rest.len())..),
                ),
                None => Copied::Missing,
            });
        };
        let (keys, id, len) = (self.keys(), *id, row.len);
        let checked = worked(bytes.len(), move || {
            let sealed = match record {
                None => bytes.clone(),
                Some(_) => match format::record(&bytes, 0) {
                    Ok(record) if record.id == id => bytes.slice(RECORD..),
                    _ => return Copied::Corrupt(bytes),
                },
            };
            match keys.open_whole(&id, &sealed) {
                Ok(plaintext) if plaintext.len() == len as usize => {
                    Copied::Whole { sealed, plaintext: plaintext.into() }
                }
                _ => Copied::Corrupt(bytes),
            }
        });
        checked.await
    }
}
