//! Files of other servers, which our users ask us for. They are kept for a while.
//!
//! They are streamed into the store: nothing is held whole, and nothing of another server's choosing
//! becomes part of a path.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kith_federation::{
    client::{Client, RequestError},
    remotes::{FederationError, Limits, Remotes},
};
use kith_media_store::{Error, MediaStore, Meta, Mxc, Row};
use ruma::{OwnedServerName, api::federation::authenticated_media::get_content};
use tokio::sync::Semaphore;

use super::multipart::{self, MultipartError, Sent};
use crate::locks::KeyedLocks;

/// How many files are fetched at once.
const AT_ONCE: usize = 32;
/// How long a file may take at most; for how long nothing may come is the client's to say.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// What the parts of an answer may have beside the file, in bytes.
const ENVELOPE: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum RemoteMediaError {
    #[error("the file cannot be had from {server}: {error}")]
    Federation { server: OwnedServerName, error: FederationError },
    #[error("{server} does not send the file as a server does: {error}")]
    Malformed { server: OwnedServerName, error: MultipartError },
    #[error("the file cannot be had from where {server} says that it is: {error}")]
    Elsewhere { server: OwnedServerName, error: RequestError },
    #[error("{0} sends the file to a place that is none")]
    Nowhere(OwnedServerName),
    #[error("{0} did not send the file to its end")]
    CutOff(OwnedServerName),
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Media(#[from] Error),
}

/// One team's copies. Cheap to clone.
#[derive(Clone)]
pub struct RemoteMedia(Arc<Inner>);

struct Inner {
    remotes: Remotes,
    client: Client,
    files: MediaStore,
    /// Bytes of one file.
    limit: u64,
    locks: KeyedLocks<Mxc>,
    fetching: Semaphore,
}

impl RemoteMedia {
    pub fn new(remotes: Remotes, client: Client, files: MediaStore, limit: u64) -> Self {
        let (locks, fetching) = (KeyedLocks::default(), Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { remotes, client, files, limit, locks, fetching }))
    }

    /// The file, fetched if it is not here; `None` if its server does not have it, or nobody is to have it.
    /// `wait`: how long its server may wait for it to be uploaded there.
    pub async fn find(&self, mxc: &Mxc, wait: Duration) -> Result<Option<Row>, RemoteMediaError> {
        if let Some(row) = self.here(mxc).await? {
            return Ok(row);
        }
        // Whoever else asks for it now waits and finds it here.
        let _one = self.0.locks.lock(mxc.clone()).await;
        if let Some(row) = self.here(mxc).await? {
            return Ok(row);
        }
        let _place = self.0.fetching.acquire().await;
        // If nobody waits any more it is fetched to its end all the same: it was asked for.
        let (this, mxc) = (self.clone(), mxc.clone());
        let fetched = tokio::spawn(async move { this.fetch(&mxc, wait).await }).await;
        fetched.map_err(|_| RemoteMediaError::Media(Error::Closed))?
    }

    /// `Some(None)`: it is here, but nobody is to have it.
    async fn here(&self, mxc: &Mxc) -> Result<Option<Option<Row>>, RemoteMediaError> {
        match self.0.files.find(mxc, Duration::ZERO).await? {
            Some(row) => Ok(Some(Some(row))),
            None => {
                let row = self.0.files.record(mxc).await?;
                Ok(row.filter(|row| row.quarantined.is_some()).map(|_| None))
            }
        }
    }

    async fn fetch(&self, mxc: &Mxc, wait: Duration) -> Result<Option<Row>, RemoteMediaError> {
        let server = &mxc.server;
        let limit = usize::try_from(self.0.limit).unwrap_or(usize::MAX);
        let limits = Limits { timeout: PATIENCE, body: limit.saturating_add(ENVELOPE) };
        let mut request = get_content::v1::Request::new(mxc.id().to_owned());
        request.timeout_ms = wait;
        let answer = match self.0.remotes.stream(server, request, limits).await {
            Ok(answer) => answer,
            Err(FederationError::Refused { status: 404, .. }) => return Ok(None),
            Err(FederationError::Refused { status: 504, errcode: Some(code), .. })
                if code == "M_NOT_YET_UPLOADED" =>
            {
                return Err(Error::NotYetUploaded.into());
            }
            Err(FederationError::Connection(RequestError::TooLong { .. })) => {
                return Err(RemoteMediaError::TooLarge(self.0.limit));
            }
            Err(error) => {
                return Err(RemoteMediaError::Federation { server: server.clone(), error });
            }
        };
        let malformed = |error| RemoteMediaError::Malformed { server: server.clone(), error };
        match multipart::read(answer).await.map_err(malformed)? {
            Sent::File(file) => {
                let meta = Meta {
                    content_type: file.content_type,
                    filename: file.filename,
                    ..Meta::default()
                };
                self.keep(mxc, meta, file.content).await.map(Some)
            }
            Sent::Elsewhere(url) => self.fetch_elsewhere(mxc, &url, limit).await.map(Some),
        }
    }

    /// The server keeps its files at another place: it may not be one that is forbidden to us, and it
    /// may not send us on.
    async fn fetch_elsewhere(
        &self,
        mxc: &Mxc,
        url: &str,
        limit: usize,
    ) -> Result<Row, RemoteMediaError> {
        let server = &mxc.server;
        let nowhere = || RemoteMediaError::Nowhere(server.clone());
        if !url.starts_with("https://") {
            return Err(nowhere());
        }
        let request = http::Request::get(url).body(Bytes::new()).map_err(|_| nowhere())?;
        let limits = Limits { timeout: PATIENCE, body: limit };
        let answer = match self.0.client.send_streaming(request, limits).await {
            Ok(answer) if answer.status().is_success() => answer,
            Ok(_) => return Err(nowhere()),
            Err(RequestError::TooLong { .. }) => {
                return Err(RemoteMediaError::TooLarge(self.0.limit));
            }
            Err(error) => {
                return Err(RemoteMediaError::Elsewhere { server: server.clone(), error });
            }
        };
        let content_type = answer.headers().get(http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let meta = Meta { content_type, ..Meta::default() };
        self.keep(mxc, meta, answer.into_body()).await
    }

    async fn keep<E: std::fmt::Display + Send + 'static>(
        &self,
        mxc: &Mxc,
        meta: Meta,
        content: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Row, RemoteMediaError> {
        let kept =
            self.0.files.keep_remote(mxc.clone(), meta, None, self.0.limit, content.fuse()).await;
        match kept {
            Ok(kept) => Ok(kept.row),
            Err(Error::TooLarge { limit }) => Err(RemoteMediaError::TooLarge(limit)),
            Err(Error::BrokenOff(_)) => Err(RemoteMediaError::CutOff(mxc.server.clone())),
            Err(error) => Err(error.into()),
        }
    }
}
