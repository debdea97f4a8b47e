//! Files of other servers, which our users ask us for. They are kept for a while.
//!
//! The oldest in use make room for new ones. Nothing of another server's choosing becomes part of a path.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use kith_federation::{
    client::{Client, RequestError},
    remotes::{FederationError, Limits, Remotes},
};
use kith_media_store::{MediaStore, Metadata};
use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, RemoteMediaRow},
};
use parking_lot::Mutex;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName, UInt,
    api::federation::authenticated_media::{get_content, get_content_thumbnail},
    media::Method,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::multipart::{Asking, Sent};
use crate::locks::KeyedLocks;

/// How many files are fetched at once: each is in memory until it is whole.
const AT_ONCE: usize = 4;
/// How long a file may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the parts of an answer may have beside the file, in bytes.
const ENVELOPE: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum RemoteMediaError {
    #[error("the file cannot be had from {server}: {error}")]
    Federation { server: OwnedServerName, error: FederationError },
    #[error("the file cannot be had from where {server} says that it is: {error}")]
    Elsewhere { server: OwnedServerName, error: RequestError },
    #[error("{0} sends the file to a place that is none")]
    Nowhere(OwnedServerName),
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Media(#[from] kith_media_store::Error),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// Which file, or which small picture of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteFile {
    pub server: OwnedServerName,
    pub id: String,
    pub thumbnail: Option<Thumbnail>,
}

/// At least this size in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Thumbnail {
    pub width: u32,
    pub height: u32,
    pub crop: bool,
    pub animated: bool,
}

/// One team's copies. Cheap to clone.
#[derive(Clone)]
pub struct RemoteMedia(Arc<Inner>);

struct Inner {
    remotes: Remotes,
    client: Client,
    store: Store,
    files: MediaStore,
    /// Bytes of one file, and of all copies together.
    limit: u64,
    budget: u64,
    kept: Mutex<Kept>,
    locks: KeyedLocks<String>,
    fetching: Semaphore,
}

/// What is there, by its name among the copies.
#[derive(Default)]
struct Kept {
    files: HashMap<String, KeptFile>,
    bytes: u64,
    /// Counts uses, so that the file that was used longest ago is known.
    uses: u64,
}

struct KeptFile {
    size: u64,
    used: u64,
}

impl RemoteFile {
    /// Its name among the copies: none that another server could choose.
    fn name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.server.as_str(), &self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        if let Some(size) = &self.thumbnail {
            hash.update(format!("{size:?}"));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Letters, digits, `_` and `-`.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#matrix-content-mxc-uris)
    fn is_well_formed(&self) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (1..=255).contains(&self.id.len()) && self.id.chars().all(allowed)
    }
}

impl RemoteMedia {
    pub async fn open(
        remotes: Remotes,
        client: Client,
        store: Store,
        files: MediaStore,
        limit: u64,
        budget: u64,
    ) -> Result<Self, kith_store::Error> {
        let mut kept = Kept::default();
        let mut rows = store.scan(&tables::REMOTE_MEDIA, Scan::all()).await?;
        rows.sort_by_key(|(_, Json(row))| row.fetched);
        for (name, Json(row)) in rows {
            kept.add(name, row.size);
        }
        Ok(Self(Arc::new(Inner {
            remotes,
            client,
            store,
            files,
            limit,
            budget,
            kept: Mutex::new(kept),
            locks: KeyedLocks::default(),
            fetching: Semaphore::new(AT_ONCE),
        })))
    }

    /// The file, fetched if it is not here; `None` if its server does not have it.
    pub async fn get(
        &self,
        file: &RemoteFile,
    ) -> Result<
        Option<(Metadata, impl Stream<Item = std::io::Result<Bytes>> + Send + 'static)>,
        RemoteMediaError,
    > {
        if !file.is_well_formed() {
            return Ok(None);
        }
        let name = file.name();
        // Whoever else asks for it now waits and finds it here.
        let _one = self.0.locks.lock(name.clone()).await;
        if self.0.kept.lock().touch(&name)
            && let Some(found) = self.0.files.get(&name).await?
        {
            return Ok(Some(found));
        }
        let Some((content_type, filename, content)) = self.fetch(file).await? else {
            return Ok(None);
        };
        self.keep(&name, file, content_type, filename, content).await?;
        Ok(self.0.files.get(&name).await?)
    }

    async fn fetch(
        &self,
        file: &RemoteFile,
    ) -> Result<Option<(Option<String>, Option<String>, Bytes)>, RemoteMediaError> {
        let _place = self.0.fetching.acquire().await;
        let limit = usize::try_from(self.0.limit).unwrap_or(usize::MAX);
        let limits = Limits { timeout: PATIENCE, body: limit.saturating_add(ENVELOPE) };
        let sent = match &file.thumbnail {
            None => {
                let asking = Asking(get_content::v1::Request::new(file.id.clone()));
                self.0.remotes.request_with(&file.server, asking, limits).await
            }
            Some(thumbnail) => {
                let asking = Asking(request_of(&file.id, thumbnail));
                self.0.remotes.request_with(&file.server, asking, limits).await
            }
        };
        match sent {
            Ok(Sent::File { content_type, filename, content }) => {
                if content.len() > limit {
                    return Err(RemoteMediaError::TooLarge(self.0.limit));
                }
                Ok(Some((content_type, filename, content.into())))
            }
            Ok(Sent::Elsewhere(url)) => {
                self.fetch_elsewhere(&file.server, &url, limit).await.map(Some)
            }
            Err(FederationError::Refused { status: 404, .. }) => Ok(None),
            Err(FederationError::Connection(RequestError::TooLong { .. })) => {
                Err(RemoteMediaError::TooLarge(self.0.limit))
            }
            Err(error) => Err(RemoteMediaError::Federation { server: file.server.clone(), error }),
        }
    }

    /// The server keeps its files at another place: it may not be one that is forbidden to us, and it
    /// may not send us on.
    async fn fetch_elsewhere(
        &self,
        server: &ServerName,
        url: &str,
        limit: usize,
    ) -> Result<(Option<String>, Option<String>, Bytes), RemoteMediaError> {
        let nowhere = || RemoteMediaError::Nowhere(server.to_owned());
        if !url.starts_with("https://") {
            return Err(nowhere());
        }
        let request = http::Request::get(url).body(Bytes::new()).map_err(|_| nowhere())?;
        let answer = match self.0.client.send(request, limit).await {
            Ok(answer) if answer.status().is_success() => answer,
            Ok(_) => return Err(nowhere()),
            Err(RequestError::TooLong { .. }) => {
                return Err(RemoteMediaError::TooLarge(self.0.limit));
            }
            Err(error) => {
                return Err(RemoteMediaError::Elsewhere { server: server.to_owned(), error });
            }
        };
        let content_type = answer.headers().get(http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((content_type, None, answer.into_body()))
    }

    /// Keeps a copy, and forgets others until all of them fit.
    async fn keep(
        &self,
        name: &str,
        file: &RemoteFile,
        content_type: Option<String>,
        filename: Option<String>,
        content: Bytes,
    ) -> Result<(), RemoteMediaError> {
        let size = content.len() as u64;
        self.make_room(size).await?;
        // A row without a file is found out when the file is read; a file without a row would stay.
        let mut batch = Batch::new();
        let (server, media_id) = (file.server.clone(), file.id.clone());
        let fetched = MilliSecondsSinceUnixEpoch::now();
        let row = RemoteMediaRow { server, media_id, size, fetched };
        batch.put(&tables::REMOTE_MEDIA, &name.to_owned(), &Json(row));
        self.0.store.commit(batch).await?;
        // What is left of a copy whose row was lost is as good as any.
        let content = stream::iter([Ok::<_, std::convert::Infallible>(content)]);
        match self.0.files.put(name, content_type, filename, self.0.limit, content).await {
            Ok(_) | Err(kith_media_store::Error::Exists) => {}
            Err(error) => return Err(error.into()),
        }
        self.0.kept.lock().add(name.to_owned(), size);
        Ok(())
    }

    async fn make_room(&self, size: u64) -> Result<(), RemoteMediaError> {
        loop {
            let Some(name) = self.0.kept.lock().take_oldest(self.0.budget, size) else {
                return Ok(());
            };
            self.0.files.delete(&name).await?;
            let mut batch = Batch::new();
            batch.delete(&tables::REMOTE_MEDIA, &name);
            self.0.store.commit(batch).await?;
        }
    }
}

impl Kept {
    fn add(&mut self, name: String, size: u64) {
        self.uses += 1;
        let before = self.files.insert(name, KeptFile { size, used: self.uses });
        self.bytes = self.bytes - before.map_or(0, |file| file.size) + size;
    }

    /// Whether it is there; it is in use again then.
    fn touch(&mut self, name: &str) -> bool {
        self.uses += 1;
        let uses = self.uses;
        self.files.get_mut(name).map(|file| file.used = uses).is_some()
    }

    /// Forgets the file that was used longest ago, if another of this size does not fit.
    fn take_oldest(&mut self, budget: u64, size: u64) -> Option<String> {
        if self.bytes.saturating_add(size) <= budget {
            return None;
        }
        let oldest = self.files.iter().min_by_key(|(_, file)| file.used);
        let name = oldest.map(|(name, _)| name.clone())?;
        let file = self.files.remove(&name)?;
        self.bytes -= file.size;
        Some(name)
    }
}

fn request_of(id: &str, size: &Thumbnail) -> get_content_thumbnail::v1::Request {
    let (width, height) = (UInt::from(size.width), UInt::from(size.height));
    let mut request = get_content_thumbnail::v1::Request::new(id.to_owned(), width, height);
    request.method = Some(if size.crop { Method::Crop } else { Method::Scale });
    request.animated = Some(size.animated);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_used_longest_ago_makes_room() {
        let mut kept = Kept::default();
        kept.add("a".to_owned(), 40);
        kept.add("b".to_owned(), 40);
        assert!(kept.touch("a"));
        assert!(!kept.touch("c"));
        assert_eq!(kept.take_oldest(100, 20), None);
        assert_eq!(kept.take_oldest(100, 30).as_deref(), Some("b"));
        assert_eq!(kept.take_oldest(100, 30), None);
        // Larger than everything: all others go, and then it is kept anyhow.
        assert_eq!(kept.take_oldest(100, 300).as_deref(), Some("a"));
        assert_eq!(kept.take_oldest(100, 300), None);
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn files_of_different_servers_have_different_names() {
        let file = |server: &str, id: &str| RemoteFile {
            server: server.try_into().expect("a server name"),
            id: id.to_owned(),
            thumbnail: None,
        };
        assert_ne!(file("a.b", "c").name(), file("a", "bc").name());
        assert_eq!(file("a.b", "c").name(), file("a.b", "c").name());
        assert!(file("a.b", "aZ9_-").is_well_formed());
        for id in ["", "a/b", "..", "a%00", "é", &"a".repeat(256)] {
            assert!(!file("a.b", id).is_well_formed(), "{id}");
        }
    }
}
