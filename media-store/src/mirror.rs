//! In which of its places is an object looked for, and where is it written?
//!
//! The first place must have every object before it is acknowledged. A mirror gets it at the same
//! time; if it cannot be written, that is logged and made up for by the next scrub. While objects are
//! moved from an old place, that one is read too and not written any more.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::backend::{Datastore, Error, Pieces, made};

#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) first: Arc<Datastore>,
    pub(crate) old: Option<Arc<Datastore>>,
    pub(crate) mirror: Option<Arc<Datastore>>,
}

impl Places {
    /// In the order in which an object is looked for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Datastore>> {
        [&self.first].into_iter().chain(&self.old).chain(&self.mirror)
    }

    /// Every place in which objects are to be.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Arc<Datastore>> {
        [&self.first].into_iter().chain(&self.mirror)
    }

    /// Durable in the first place when this answers.
    pub(crate) async fn write(&self, path: &str, content: Bytes) -> Result<(), Error> {
        let Some(mirror) = &self.mirror else {
            return self.first.write(path, content).await;
        };
        let (first, mirrored) =
            tokio::join!(self.first.write(path, content.clone()), mirror.write(path, content));
        if let Err(error) = mirrored {
            tracing::warn!(%error, path, mirror = mirror.name(), "not mirrored before the next scrub");
        }
        first
    }

    /// As [`Datastore::write_made`], in the same places as [`Places::write`].
    pub(crate) async fn write_made(
        &self,
        path: &str,
        len: usize,
        make: impl FnOnce(&mut Pieces<'_>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        if self.mirror.is_none() {
            return self.first.write_made(path, len, make).await;
        }
        self.write(path, made(len, make).await?).await
    }

    /// The first copy that is found.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let mut failure = None;
        for place in self.all() {
            match place.read(path, None).await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Whether an object of at least this length is where it can be read without the mirror.
    pub(crate) async fn holds(&self, path: &str, len: u64) -> Result<bool, Error> {
        for place in [&self.first].into_iter().chain(&self.old) {
            if place.len(path).await?.is_some_and(|found| found >= len) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the object everywhere.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        for place in self.all() {
            place.delete(path).await?;
        }
        Ok(())
    }
}
