//! How does the datastore remember what the index knows of files?
//!
//! Whoever owns the files' records writes entries here, in a shape of its own; they are sealed like
//! chunks and named by the moment at which they were written. With the chunks and the keys they are all
//! that is needed to make a lost index anew.

use bytes::Bytes;
use futures_util::TryStreamExt as _;

use crate::{
    chunks::{Chunks, Error, Inner, now, worked},
    config::MAX_CHUNK,
    id::ChunkId,
    layout::{JOURNALS, journal_at, journal_path},
};

/// The name of a journal entry. Names are in the order in which entries were written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Journal(String);

impl Chunks {
    /// Writes an entry of at most 16 MiB. It is durable when this answers.
    pub async fn write_journal(&self, entry: Bytes) -> Result<Journal, Error> {
        if entry.len() > MAX_CHUNK as usize {
            return Err(Error::TooLong(entry.len()));
        }
        let _entered = self.0.generations.enter();
        let (id, sealed) = self.0.seal(entry).await?;
        let path = journal_path(now(), &id);
        self.0.places().write(&path, sealed).await?;
        Ok(Journal(path))
    }

    /// Every entry, oldest first. Their bytes are read one by one: [`Chunks::read_journal`].
    pub async fn journals(&self) -> Result<Vec<Journal>, Error> {
        let mut found = Vec::new();
        for place in self.0.places().all() {
            let mut objects = place.list(JOURNALS).await?;
            while let Some(object) = objects.try_next().await? {
                if journal_at(&object.path).is_some() {
                    found.push(Journal(object.path));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The entry as it was written; [`Error::Corrupt`] or [`Error::Missing`] if it is not there so.
    pub async fn read_journal(&self, journal: &Journal) -> Result<Bytes, Error> {
        let id = journal_at(&journal.0).ok_or(Error::Missing(ChunkId([0; 32])))?;
        let (mut found, mut failure) = (false, None);
        for place in self.0.places().all() {
            match place.read(&journal.0, None).await {
                Ok(Some(sealed)) => {
                    found = true;
                    let (keys, buffers) = (self.0.keys(), self.0.buffers.clone());
                    let open = move || keys.open_whole(&id, &sealed, &buffers);
                    if let Ok(entry) = worked(MAX_CHUNK as usize, open).await? {
                        return Ok(entry);
                    }
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        Err(match failure {
            Some(error) => error.into(),
            None if found => Error::Corrupt(id),
            None => Error::Missing(id),
        })
    }

    /// Removes an entry whose content is in newer ones.
    pub async fn remove_journal(&self, journal: &Journal) -> Result<(), Error> {
        Ok(self.0.places().delete(&journal.0).await?)
    }

    /// Seals the entry with the newest key.
    pub(crate) async fn reseal_journal(&self, journal: &Journal) -> Result<(), Error> {
        let entry = self.read_journal(journal).await?;
        let (_, sealed) = self.0.seal(entry).await?;
        Ok(self.0.places().write(&journal.0, sealed).await?)
    }
}

impl Inner {
    async fn seal(&self, plaintext: Bytes) -> Result<(ChunkId, Bytes), Error> {
        let (keys, buffers) = (self.keys(), self.buffers.clone());
        let seal = move || {
            let id = keys.id(&plaintext);
            (id, keys.seal(&id, &plaintext, &buffers))
        };
        worked(MAX_CHUNK as usize, seal).await
    }
}
