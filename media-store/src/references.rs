//! Who names a file?
//!
//! A file that was named and is not any more goes after a while. One that nobody ever named stays: it may
//! be named where this server cannot look, as in encrypted events.

use kith_store::{
    Batch, Scan,
    tables::{MEDIA_REFERENCED, MEDIA_REFS, MediaState},
};

use crate::{
    Error, Inner, MediaStore,
    agenda::{self, Duty},
    id::Mxc,
    policy::milliseconds,
    record::named,
};

/// How many rows are read at once.
const PAGE: usize = 256;

/// What names files: an event of a room, or anything else that has two names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// A room ID, or a word.
    pub scope: String,
    /// An event ID, or whatever is named within the scope.
    pub what: String,
}

impl Source {
    pub fn new(scope: impl Into<String>, what: impl Into<String>) -> Self {
        Self { scope: scope.into(), what: what.into() }
    }
}

impl MediaStore {
    /// Notes in `batch` that this names these files; twice is as good as once.
    pub fn refer(&self, batch: &mut Batch, source: &Source, files: &[Mxc]) {
        for mxc in files {
            let ((server, id), uri) = (mxc.key(), mxc.to_string());
            let Source { scope, what } = source.clone();
            batch.put(&MEDIA_REFS, &(scope.clone(), what.clone(), uri), &());
            batch.put(&MEDIA_REFERENCED, &(server, id, scope, what), &());
        }
    }

    /// Notes in `batch` that this names no file any more; those that nothing else names go after a while.
    /// Answers which files it named.
    pub async fn unrefer(&self, batch: &mut Batch, source: &Source) -> Result<Vec<Mxc>, Error> {
        let Source { scope, what } = source;
        self.unrefer_where(batch, Scan::prefix(&(scope.clone(), what.clone()))).await
    }

    /// As [`MediaStore::unrefer`], of everything in a scope.
    pub async fn unrefer_all(&self, scope: &str) -> Result<(), Error> {
        loop {
            let mut batch = Batch::new();
            let scan = Scan::prefix(&(scope.to_owned(),)).limit(PAGE);
            if self.unrefer_where(&mut batch, scan).await?.is_empty() {
                return Ok(());
            }
            self.0.store.commit(batch).await?;
        }
    }

    async fn unrefer_where(&self, batch: &mut Batch, scan: Scan) -> Result<Vec<Mxc>, Error> {
        let due = self.0.now() + milliseconds(self.0.policy.unreferenced);
        let mut files = Vec::new();
        for ((scope, what, uri), ()) in self.0.store.scan(&MEDIA_REFS, scan).await? {
            let mxc: Mxc = uri.parse().map_err(|_| Error::Damaged(format!("{uri} is no file")))?;
            let (server, id) = mxc.key();
            batch.delete(&MEDIA_REFERENCED, &(server, id, scope.clone(), what.clone()));
            batch.delete(&MEDIA_REFS, &(scope, what, uri));
            agenda::note(batch, Duty::Unreferenced, due, &mxc);
            files.push(mxc);
        }
        Ok(files)
    }

    /// Files that are named in this scope.
    pub async fn named_in(
        &self,
        scope: &str,
        after: Option<(&Source, &Mxc)>,
        limit: usize,
    ) -> Result<Vec<(Source, Mxc)>, Error> {
        let mut scan = Scan::prefix(&(scope.to_owned(),)).limit(limit);
        if let Some((Source { scope, what }, mxc)) = after {
            scan = scan.after(&(scope.clone(), what.clone(), mxc.to_string()));
        }
        let mut named = Vec::new();
        for ((scope, what, uri), ()) in self.0.store.scan(&MEDIA_REFS, scan).await? {
            let mxc = uri.parse().map_err(|_| Error::Damaged(format!("{uri} is no file")))?;
            named.push((Source { scope, what }, mxc));
        }
        Ok(named)
    }

    /// What names this file.
    pub async fn sources_of(&self, mxc: &Mxc, limit: usize) -> Result<Vec<Source>, Error> {
        let rows =
            self.0.store.scan(&MEDIA_REFERENCED, Scan::prefix(&mxc.key()).limit(limit)).await?;
        Ok(rows.into_iter().map(|((_, _, scope, what), ())| Source { scope, what }).collect())
    }
}

impl Inner {
    /// Whether the file is one of ours that nothing names.
    pub(crate) async fn is_unreferenced(&self, mxc: &Mxc) -> Result<bool, Error> {
        let row =
            self.row(mxc).await?.filter(|row| row.state == MediaState::Complete && !row.protected);
        if row.is_none() || self.is_remote(mxc) {
            return Ok(false);
        }
        let scan = Scan::prefix(&mxc.key()).limit(1);
        Ok(self.store.scan(&MEDIA_REFERENCED, scan).await?.is_empty())
    }

    /// Of a file that is gone. At most a page goes with its batch; what is left does no harm.
    pub(crate) async fn forget_references(
        &self,
        batch: &mut Batch,
        mxc: &Mxc,
    ) -> Result<(), Error> {
        let scan = Scan::prefix(&mxc.key()).limit(PAGE);
        for ((server, id, scope, what), ()) in self.store.scan(&MEDIA_REFERENCED, scan).await? {
            let uri = named(server.clone(), id.clone())?.to_string();
            batch.delete(&MEDIA_REFS, &(scope.clone(), what.clone(), uri));
            batch.delete(&MEDIA_REFERENCED, &(server, id, scope, what));
        }
        Ok(())
    }
}
