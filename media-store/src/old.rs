//! Where do uploaded files lie? See README.md for what is here and what never is.
//!
//! A file is two objects: its bytes under `ab/abcd…`, and `ab/abcd….json`, its [`Metadata`], which
//! is written last: a file without it does not exist.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use opendal::{ErrorKind, Operator, services};
use serde::{Deserialize, Serialize};

/// Under the root; holds what is being written.
const UNFINISHED: &str = "unfinished";

/// What somebody said about a file when they uploaded it; none of it is to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub content_type: Option<String>,
    pub filename: Option<String>,
    /// Bytes. Counted by us.
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Ids are 1 to 255 of `A-Z a-z 0-9 _ -`, so that none can name another path.
    #[error("not a media id")]
    InvalidId,
    #[error("there is a file with this id already")]
    Exists,
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The sender went away or sent nonsense; nothing was kept.
    #[error("the upload broke off: {0}")]
    BrokenOff(String),
    #[error("media storage: {0}")]
    Storage(#[from] opendal::Error),
    #[error("media storage: {0}")]
    Io(#[from] io::Error),
    #[error("damaged metadata: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// Files by id. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore {
    operator: Operator,
    /// The folder, if it is one: its entries are made durable as well.
    folder: Option<PathBuf>,
}

impl MediaStore {
    /// Files in this folder, which is created if it is not there. Two stores never share one:
    /// unfinished files of the last run are removed.
    pub fn folder(folder: &Path) -> Result<Self, Error> {
        let unfinished = folder.join(UNFINISHED);
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        std::fs::create_dir_all(&unfinished)?;
        let text = |path: &Path| {
            let path = path.canonicalize()?;
            path.into_os_string().into_string().map_err(|path| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} is not UTF-8"))
            })
        };
        let service =
            services::Fs::default().root(&text(folder)?).atomic_write_dir(&text(&unfinished)?);
        let operator = Operator::new(service)?;
        Ok(Self { operator, folder: Some(folder.to_owned()) })
    }

    /// Forgets everything with its last clone; for tests.
    pub fn memory() -> Result<Self, Error> {
        let operator = Operator::new(services::Memory::default())?;
        Ok(Self { operator, folder: None })
    }

    /// Keeps the bytes of `content` and answers how many they are. The file appears at once, whole
    /// and durable, or not at all.
    pub async fn put<E: std::fmt::Display>(
        &self,
        id: &str,
        content_type: Option<String>,
        filename: Option<String>,
        limit: u64,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<u64, Error> {
        let path = path(id)?;
        let metadata_path = metadata_path(&path);
        if self.operator.exists(&metadata_path).await? {
            return Err(Error::Exists);
        }
        let size = self.write(&path, limit, content).await?;
        let metadata = Metadata { content_type, filename, size };
        self.operator.write(&metadata_path, serde_json::to_vec(&metadata)?).await?;
        self.sync_folders(&path).await?;
        Ok(size)
    }

    /// The file's metadata and its bytes, in pieces; `None` if there is no such file.
    pub async fn get(
        &self,
        id: &str,
    ) -> Result<
        Option<(Metadata, impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<>)>,
        Error,
    > {
        let path = path(id)?;
        let metadata = match self.operator.read(&metadata_path(&path)).await {
            Ok(metadata) => metadata.to_bytes(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata: Metadata = serde_json::from_slice(&metadata)?;
        let content = self.operator.reader(&path).await?.into_bytes_stream(..metadata.size).await?;
        Ok(Some((metadata, content)))
    }

    /// Removes a file, if it is there. Whoever reads it now may read it to the end.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let path = path(id)?;
        // Without its metadata it does not exist.
        self.operator.delete(&metadata_path(&path)).await?;
        self.operator.delete(&path).await?;
        Ok(())
    }

    async fn write<E: std::fmt::Display>(
        &self,
        path: &str,
        limit: u64,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<u64, Error> {
        let mut writer = self.operator.writer(path).await?;
        let mut content = std::pin::pin!(content);
        let mut size = 0;
        let mut failure = None;
        while let Some(piece) = content.next().await {
            let written = match piece {
                Ok(piece) => {
                    size += piece.len() as u64;
                    if size > limit {
                        Err(Error::TooLarge { limit })
                    } else {
                        writer.write(piece).await.map_err(Error::from)
                    }
                }
                Err(error) => Err(Error::BrokenOff(error.to_string())),
            };
            if let Err(error) = written {
                failure = Some(error);
                break;
            }
        }
        if let Some(failure) = failure {
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, "an unfinished file stays until the next start");
            }
            return Err(failure);
        }
        writer.close().await?;
        Ok(size)
    }

    /// A renamed file survives a power cut only when its folder is flushed as well.
    async fn sync_folders(&self, path: &str) -> Result<(), Error> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let inner = folder.join(path).parent().map(Path::to_owned);
        let sync = move || {
            for folder in inner.iter().chain([&folder]) {
                File::open(folder)?.sync_all()?;
            }
            Ok::<_, io::Error>(())
        };
        let synced = tokio::task::spawn_blocking(sync).await;
        synced.map_err(|error| Error::Io(io::Error::other(error)))??;
        Ok(())
    }
}

/// Folders by the first two characters keep each folder small.
fn path(id: &str) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.is_empty() || id.len() > 255 || !id.chars().all(allowed) {
        return Err(Error::InvalidId);
    }
    Ok(format!("{}/{id}", &id[..id.len().min(2)]))
}

fn metadata_path(path: &str) -> String {
    format!("{path}.json")
}
