//! Where do objects lie, and what stands between us and them?
//!
//! From the outside: tracing, metrics, four retries, time limits (for what is reached by network), at
//! most 64 operations at a time, OpenDAL's service. Only what is written to and read from a folder of this
//! machine goes there directly: see [`folder`].

mod folder;

use std::{io, ops::Range, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use opendal::{
    EntryMode, ErrorKind, Operator,
    layers::{ConcurrentLimitLayer, RetryLayer, TimeoutLayer, TracingLayer},
    services,
};

use self::folder::Folder;
use crate::{
    buffers::Buffers,
    config::{Metrics, Place},
};

/// How many operations one datastore is asked at a time.
const OPERATIONS: usize = 64;
/// Below the prefix; what is being written to a folder. Emptied at each start.
const UNFINISHED: &str = "v1/tmp";

/// Why a datastore did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Ask the administrator for space; nothing was lost.
    #[error("the datastore is full")]
    Full,
    #[error("the datastore cannot be used: {0}")]
    Unusable(String),
    #[error("datastore: {0}")]
    Service(Arc<opendal::Error>),
    #[error("datastore: {0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Io(Arc::new(error)) }
    }
}

impl From<opendal::Error> for Error {
    fn from(error: opendal::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(next) = cause {
            if next.downcast_ref::<io::Error>().is_some_and(is_full) {
                return Self::Full;
            }
            cause = next.source();
        }
        Self::Service(Arc::new(error))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Below the prefix.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) len: u64,
    /// Milliseconds since the epoch; 0 if the datastore does not tell.
    pub(crate) modified: u64,
}

/// One place for one team's objects. Paths are below the team's prefix.
pub(crate) struct Datastore {
    operator: Operator,
    /// Before every path; empty or ends with a slash.
    prefix: String,
    /// If it is a folder of this machine.
    folder: Option<Arc<Folder>>,
    /// For the administrator; without secrets.
    name: String,
}

impl Datastore {
    /// Call it within a tokio runtime. Two stores never share a prefix of one place.
    pub(crate) fn open(
        place: &Place,
        prefix: &str,
        metrics: Option<&Metrics>,
        buffers: &Buffers,
    ) -> Result<Self, Error> {
        let prefix = checked(prefix)?;
        let name = place.to_string();
        let (operator, folder) = match place {
            Place::Operator(operator) => (operator.clone(), None),
            Place::Uri(uri) => match folder_of(uri) {
                Some(folder) => {
                    let unfinished = format!("{prefix}{UNFINISHED}");
                    let folder = Folder::open(folder, &unfinished, buffers.clone())?;
                    let Some(root) = folder.root().to_str() else {
                        let text = format!("{} is not UTF-8", folder.root().display());
                        return Err(Error::Unusable(text));
                    };
                    (Operator::new(services::Fs::default().root(root))?, Some(Arc::new(folder)))
                }
                None => (open_service(uri)?, None),
            },
        };
        let operator = operator.layer(ConcurrentLimitLayer::new(OPERATIONS));
        let operator = match place {
            Place::Uri(_) if folder.is_none() => operator.layer(
                TimeoutLayer::new()
                    .with_timeout(Duration::from_secs(10))
                    .with_io_timeout(Duration::from_mins(1)),
            ),
            // A disk answers late but does answer; the write goes on if nobody waits for it.
            _ => operator,
        };
        let mut operator = operator.layer(
            RetryLayer::new()
                .with_jitter()
                .with_min_delay(Duration::from_millis(50))
                .with_max_delay(Duration::from_secs(5))
                .with_max_times(4),
        );
        if let Some(Metrics(layer)) = metrics {
            operator = operator.layer(layer.clone());
        }
        let operator = operator.layer(TracingLayer::new());
        Ok(Self { operator, prefix, folder, name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The object is there, whole and durable, when this answers; or as it was, if this fails.
    pub(crate) async fn write(&self, path: &str, content: Bytes) -> Result<(), Error> {
        let path = self.path(path);
        if let Some(folder) = self.folder.clone() {
            return waiting(move || folder.write(&path, &content)).await;
        }
        self.operator.write(&path, content).await?;
        Ok(())
    }

    /// As [`Datastore::write`], for `len` bytes that are made while they are written. Only a folder takes them
    /// so: for others they are made first.
    pub(crate) async fn write_made(
        &self,
        path: &str,
        len: usize,
        make: impl FnOnce(&mut Pieces<'_>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        if let Some(folder) = self.folder.clone() {
            let path = self.path(path);
            return waiting(move || folder.write_made(&path, make)).await;
        }
        let content = made(len, make).await?;
        self.write(path, content).await
    }

    /// The object's bytes, all or some; `None` if it is not there or not as long.
    pub(crate) async fn read(
        &self,
        path: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, Error> {
        let path = self.path(path);
        if let Some(folder) = self.folder.clone() {
            return waiting(move || folder.read(&path, range)).await;
        }
        let expected = range.as_ref().map(|range| range.end - range.start);
        let read = match range {
            Some(range) => self.operator.read_with(&path).range(range).await,
            None => self.operator.read(&path).await,
        };
        match read {
            Ok(bytes) if expected.is_some_and(|len| bytes.len() as u64 != len) => Ok(None),
            Ok(bytes) => Ok(Some(bytes.to_bytes())),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::RangeNotSatisfied => Ok(None),
                _ => Err(error.into()),
            },
        }
    }

    /// The object's length; `None` if it is not there.
    pub(crate) async fn len(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.operator.stat(&self.path(path)).await {
            Ok(metadata) => Ok(Some(metadata.content_length())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the object, if it is there.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        Ok(self.operator.delete(&self.path(path)).await?)
    }

    /// Every object whose path begins with `folder`, which ends with a slash, in no order.
    pub(crate) async fn list(
        &self,
        folder: &str,
    ) -> Result<impl Stream<Item = Result<Object, Error>> + Unpin + Send + use<'_>, Error> {
        let lister = self.operator.lister_with(&self.path(folder)).recursive(true).await?;
        let objects = lister.map_err(Error::from).try_filter_map(async |entry| {
            let path = entry.path().strip_prefix(&self.prefix).map(str::to_owned);
            let file = path.filter(|_| entry.metadata().mode() == EntryMode::FILE);
            Ok(file.map(|path| object(path, entry.metadata())))
        });
        Ok(objects.boxed())
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

/// Where the pieces of a content go.
pub(crate) type Pieces<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Content that is made piece by piece, in one.
pub(crate) async fn made(
    len: usize,
    make: impl FnOnce(&mut Pieces<'_>) -> io::Result<()> + Send + 'static,
) -> Result<Bytes, Error> {
    let content = waiting(move || {
        let mut content = Vec::with_capacity(len);
        make(&mut |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(content)
    });
    Ok(content.await?.into())
}

/// Does what waits for the disk.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}

fn object(path: String, metadata: &opendal::Metadata) -> Object {
    let modified = metadata.last_modified().map(|at| at.into_inner().as_millisecond());
    let modified = modified.and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
    Object { path, len: metadata.content_length(), modified }
}

/// With a slash at its end, if it is not empty.
fn checked(prefix: &str) -> Result<String, Error> {
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:-".contains(&c);
    let segment =
        |text: &str| !text.is_empty() && text != "." && text != ".." && text.bytes().all(allowed);
    if prefix.len() > 255 || !prefix.split('/').all(segment) {
        return Err(Error::Unusable(format!("{prefix:?} cannot be a team's folder")));
    }
    Ok(format!("{prefix}/"))
}

/// The path in `fs:/a/b`, `fs:///a/b`, `/a/b` or `a/b`.
fn folder_of(uri: &str) -> Option<&Path> {
    let path = match uri.split_once(':') {
        Some(("fs" | "file", path)) => path.strip_prefix("//").unwrap_or(path),
        Some((scheme, _)) if scheme.bytes().all(|c| c.is_ascii_alphanumeric()) => return None,
        _ => uri,
    };
    Some(Path::new(path))
}

fn open_service(uri: &str) -> Result<Operator, Error> {
    opendal::install_default();
    if uri == "memory:" {
        return Ok(Operator::new(services::Memory::default())?);
    }
    Operator::from_uri(uri).map_err(|error| match error.kind() {
        ErrorKind::Unsupported | ErrorKind::ConfigInvalid => Error::Unusable(error.to_string()),
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_in_several_ways() {
        for (uri, folder) in [
            ("fs:/a/b", Some("/a/b")),
            ("fs:///a/b", Some("/a/b")),
            ("file:///a", Some("/a")),
            ("/a/b", Some("/a/b")),
            ("a/b", Some("a/b")),
            ("memory:", None),
            ("s3://bucket/a?region=x", None),
        ] {
            assert_eq!(folder_of(uri), folder.map(Path::new), "{uri}");
        }
    }

    #[test]
    fn no_prefix_leads_out_of_the_datastore() {
        assert_eq!(checked("").expect("none"), "");
        assert_eq!(checked("example.org:8448").expect("a team"), "example.org:8448/");
        assert_eq!(checked("teams/a").expect("two"), "teams/a/");
        for prefix in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a b", "ä"] {
            assert!(checked(prefix).is_err(), "{prefix}");
        }
    }
}
