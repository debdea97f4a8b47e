//! What is the datastore itself told of the files in it?
//!
//! The journal holds every whole file's row and chunks, and which files are gone. With the chunks and the
//! keys it is enough to make the index anew. It is written a moment after a file is whole.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kith_store::{
    Batch,
    tables::{MANIFEST, MediaRow, MediaState},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, MediaStore,
    agenda::{self, Duty},
    id::{ChunkId, Mxc},
    quota::Delta,
    record::{self, Extent},
    upload::bytes,
};

/// How many files one entry tells of at most.
const FILES: usize = 500;
/// How many chunks, so that an entry stays far below its limit; a file with more has one to itself.
const CHUNKS: usize = 50_000;
/// From how many entries on they are written anew as few.
const ENTRIES: usize = 256;

/// What an entry says of one file; a newer entry is right.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    mxc: String,
    /// Absent: the file is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<MediaRow>,
    /// Each chunk in hexadecimal digits and its length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<(String, u32)>,
}

/// What [`MediaStore::rebuild`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub files: u64,
    /// Files some of whose chunks are not there.
    pub incomplete: u64,
    /// Entries that cannot be read.
    pub unreadable: u64,
}

impl MediaStore {
    /// Tells the datastore of the files that became whole or went since the last time. Answers how many.
    pub async fn write_journal(&self) -> Result<u64, Error> {
        let mut written = 0;
        loop {
            let now = self.0.now();
            let due = agenda::due(&self.0.store, Duty::Journal, now, FILES).await?;
            if due.is_empty() {
                break;
            }
            let (mut entry, mut chunks, mut done) = (Vec::new(), 0, Batch::new());
            for (when, mxc) in due {
                let told = self.told(&mxc).await?;
                if chunks > 0 && chunks + told.chunks.len() > CHUNKS {
                    break;
                }
                chunks += told.chunks.len();
                entry.push(told);
                agenda::strike(&mut done, Duty::Journal, when, &mxc);
            }
            written += entry.len() as u64;
            self.write_entry(&entry).await?;
            self.0.store.commit(done).await?;
        }
        Ok(written)
    }

    /// Writes the whole journal anew if it is in many entries.
    pub async fn compact_journal(&self) -> Result<bool, Error> {
        let old = self.0.chunks.journals().await?;
        if old.len() < ENTRIES {
            return Ok(false);
        }
        let (mut entry, mut chunks) = (Vec::new(), 0);
        let mut after: Option<Mxc> = None;
        loop {
            let page = self.all(after.as_ref(), FILES).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (mxc, row) in page {
                if row.state != MediaState::Complete {
                    continue;
                }
                let told = self.told(&mxc).await?;
                if entry.len() == FILES || chunks + told.chunks.len() > CHUNKS {
                    self.write_entry(&entry).await?;
                    (entry, chunks) = (Vec::new(), 0);
                }
                chunks += told.chunks.len();
                entry.push(told);
            }
        }
        self.write_entry(&entry).await?;
        for journal in &old {
            self.0.chunks.remove_journal(journal).await?;
        }
        Ok(true)
    }

    async fn write_entry(&self, entry: &[Told]) -> Result<(), Error> {
        if !entry.is_empty() {
            let entry = serde_json::to_vec(entry).expect("our own types serialise");
            self.0.chunks.write_journal(Bytes::from(entry)).await?;
        }
        Ok(())
    }

    async fn told(&self, mxc: &Mxc) -> Result<Told, Error> {
        let row = self.0.row(mxc).await?;
        let row = row.filter(|row| row.state == MediaState::Complete);
        let mut chunks = Vec::new();
        let size = row.as_ref().map_or(0, |row| row.size);
        let mut from = 0;
        while from < size {
            let page = self.0.extents(mxc, from).await?;
            let last = page.last();
            from = last.map_or(size, |last| last.offset + u64::from(last.length));
            chunks.extend(page.iter().map(|extent| (extent.chunk.to_string(), extent.length)));
        }
        Ok(Told { mxc: mxc.to_string(), row, chunks })
    }

    /// Makes the records of files anew from the journal, after [`Chunks::rebuild`](crate::chunks::Chunks)
    /// has found the chunks. What the index knows of a file is kept.
    pub async fn rebuild(&self) -> Result<Rebuilt, Error> {
        let mut rebuilt = Rebuilt::default();
        let mut files: BTreeMap<String, Told> = BTreeMap::new();
        for journal in self.0.chunks.journals().await? {
            let entry = match self.0.chunks.read_journal(&journal).await {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(%error, ?journal, "an entry of the journal is passed over");
                    rebuilt.unreadable += 1;
                    continue;
                }
            };
            match serde_json::from_slice::<Vec<Told>>(&entry) {
                Ok(told) => files.extend(told.into_iter().map(|told| (told.mxc.clone(), told))),
                Err(error) => {
                    tracing::warn!(%error, ?journal, "an entry of the journal is passed over");
                    rebuilt.unreadable += 1;
                }
            }
        }
        for told in files.into_values() {
            let Ok(mxc) = told.mxc.parse::<Mxc>() else { continue };
            let Some(row) = told.row else { continue };
            if self.0.row(&mxc).await?.is_none() {
                let whole = self.put_back(&mxc, row, &told.chunks).await?;
                rebuilt.files += 1;
                rebuilt.incomplete += u64::from(!whole);
            }
        }
        Ok(rebuilt)
    }

    /// Answers whether all its chunks are there.
    async fn put_back(
        &self,
        mxc: &Mxc,
        row: MediaRow,
        chunks: &[(String, u32)],
    ) -> Result<bool, Error> {
        let turn = self.turn(mxc).await?;
        let (mut offset, mut missing, mut seen) = (0, false, BTreeSet::new());
        let owner = record::owner(mxc);
        let mut batch = Batch::new();
        for (id, length) in chunks {
            let chunk: ChunkId =
                id.parse().map_err(|_| Error::Damaged(format!("{id} in a journal")))?;
            let extent = Extent { offset, chunk, length: *length };
            if seen.insert(chunk) {
                missing |= self.0.chunks.len(&chunk).await? != Some(*length);
            }
            let (server, media_id) = mxc.key();
            batch.put(&MANIFEST, &(server, media_id, extent.offset), &(chunk.0, *length));
            self.0.chunks.used_by(&mut batch, &chunk, &owner);
            offset += u64::from(*length);
        }
        record::put(&mut batch, mxc, &row);
        record::put_new(&mut batch, mxc, &row);
        record::put_digest(&mut batch, mxc, &row);
        if self.0.is_remote(mxc) {
            agenda::note(&mut batch, Duty::Remote, row.accessed, mxc);
        }
        let delta = Delta { bytes: bytes(offset), files: 1, pending: 0 };
        let (owner, policy) = (self.0.owner(mxc, &row), crate::Policy::unlimited());
        let submitted = self.0.counters.submit(batch, owner, delta, &policy).await?;
        submitted.answered().await?;
        turn.tell();
        Ok(!missing && offset == row.size)
    }
}
