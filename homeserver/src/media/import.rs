//! Where are the files from before there was a store of chunks?
//!
//! In a folder for each team: `ab/abcd…` and `ab/abcd….json`, copies of other servers' files under
//! `remote/`. Each becomes a file of the store, in the background or when it is asked for, and goes from the
//! folder when that is durable.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use kith_media_store::{
    Error, MediaStore, Meta, Mxc,
    old::{self, MediaStore as OldStore},
};
use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, RemoteMediaRow},
};
use ruma::OwnedServerName;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Old(#[from] old::Error),
    #[error(transparent)]
    New(#[from] Error),
    #[error(transparent)]
    Index(#[from] kith_store::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Clone)]
pub(super) struct Import(Arc<Inner>);

struct Inner {
    server: OwnedServerName,
    folder: PathBuf,
    index: Store,
    files: MediaStore,
    /// Locked while a file is imported; `None` when all are.
    old: Mutex<Option<OldStore>>,
}

impl Import {
    /// A folder that cannot be opened holds up nothing: its files are looked for again at the next start.
    pub(super) fn new(
        server: OwnedServerName,
        folder: PathBuf,
        index: Store,
        files: MediaStore,
    ) -> Self {
        let old = folder.is_dir().then(|| OldStore::folder(&folder)).and_then(|old| {
            old.inspect_err(
                |error| tracing::error!(%error, ?folder, "media: no files are imported"),
            )
            .ok()
        });
        Self(Arc::new(Inner { server, folder, index, files, old: Mutex::new(old) }))
    }

    /// Imports a file of this server now, if it waits for that.
    pub(super) async fn one(&self, mxc: &Mxc) -> Result<(), Error> {
        let old = self.0.old.lock().await;
        let Some(old) = &*old else { return Ok(()) };
        if let Err(error) = self.take(old, &self.0.folder, mxc.id(), mxc).await {
            tracing::error!(%error, %mxc, "media: a file cannot be imported");
            return Err(Error::NotYetUploaded);
        }
        Ok(())
    }

    /// Imports everything. What fails stays where it is until the next start.
    pub(super) async fn all(self, stopping: CancellationToken) {
        if self.0.old.lock().await.is_none() {
            return;
        }
        match self.run(&stopping).await {
            Ok(0) if stopping.is_cancelled() => {}
            Ok(0) => {
                *self.0.old.lock().await = None;
                // Only what is empty goes.
                let _ = std::fs::remove_dir(&self.0.folder);
                tracing::info!("media: all files are in the store");
            }
            Ok(left) => tracing::warn!(left, "media: some files could not be imported"),
            Err(error) => tracing::error!(%error, "media: files cannot be imported"),
        }
    }

    /// Answers how many could not be imported.
    async fn run(&self, stopping: &CancellationToken) -> Result<u64, ImportError> {
        let mut left = 0;
        for id in ids(&self.0.folder)? {
            if stopping.is_cancelled() {
                return Ok(left);
            }
            let Ok(mxc) = Mxc::new(self.0.server.clone(), id) else { continue };
            left += u64::from(self.one(&mxc).await.is_err());
        }
        let folder = self.0.folder.join("remote");
        if folder.is_dir() {
            left += self.remote(&folder, stopping).await?;
        }
        for name in ["unfinished", "remote/unfinished", "remote"] {
            let _ = std::fs::remove_dir(self.0.folder.join(name));
        }
        Ok(left)
    }

    /// Copies of other servers' files; small pictures of them are made anew.
    async fn remote(
        &self,
        folder: &Path,
        stopping: &CancellationToken,
    ) -> Result<u64, ImportError> {
        let old = OldStore::folder(folder)?;
        let rows = self.0.index.scan(&tables::REMOTE_MEDIA, Scan::all()).await?;
        let mut left = 0;
        for (name, Json(row)) in rows {
            if stopping.is_cancelled() {
                return Ok(left);
            }
            let imported = match file_of(&name, &row) {
                Some(mxc) => self.take(&old, folder, &name, &mxc).await,
                None => Ok(old.delete(&name).await?),
            };
            if let Err(error) = imported {
                tracing::error!(%error, name, "media: a copy cannot be imported");
                left += 1;
                continue;
            }
            let mut batch = Batch::new();
            batch.delete(&tables::REMOTE_MEDIA, &name);
            self.0.index.commit(batch).await?;
        }
        for id in ids(folder)? {
            // Without a row nobody knows what it is.
            old.delete(&id).await?;
        }
        remove_empty(folder);
        Ok(left)
    }

    async fn take(
        &self,
        old: &OldStore,
        folder: &Path,
        name: &str,
        mxc: &Mxc,
    ) -> Result<(), ImportError> {
        let Some((metadata, content)) = old.get(name).await? else { return Ok(()) };
        let meta = Meta {
            content_type: metadata.content_type,
            filename: metadata.filename,
            ..Meta::default()
        };
        let file = folder.join(&name[..name.len().min(2)]).join(name);
        self.0.files.import(mxc.clone(), meta, modified(&file), content).await?;
        old.delete(name).await?;
        let parent = file.parent().map(Path::to_owned).unwrap_or_default();
        // Only what is empty goes.
        let _ = std::fs::remove_dir(parent);
        Ok(())
    }
}

/// Which file the copy of this name is; `None` for a small picture of one.
fn file_of(name: &str, row: &RemoteMediaRow) -> Option<Mxc> {
    let mut hash = Sha256::new();
    for part in [row.server.as_str(), &row.media_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let whole: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if whole != name {
        return None;
    }
    Mxc::new(row.server.clone(), row.media_id.clone()).ok()
}

/// The names of the files in a folder of the old kind.
fn ids(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for inner in std::fs::read_dir(folder)? {
        let inner = inner?.path();
        let short = inner.file_name().is_some_and(|name| name.len() <= 2);
        if !short || !inner.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(inner)? {
            let name = file?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.map(str::to_owned));
        }
    }
    Ok(ids)
}

fn remove_empty(folder: &Path) {
    let inner = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for inner in inner {
        let _ = std::fs::remove_dir(inner.path());
    }
}

/// Milliseconds since the epoch; 0 if nobody knows.
fn modified(file: &Path) -> u64 {
    let time = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
