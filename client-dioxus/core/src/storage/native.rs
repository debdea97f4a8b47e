//! A folder: `session.json`, which only this user may read, and `stores/<name>/` with SQLite.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use matrix_sdk::{Client, SqliteStoreConfig};
use tempfile::NamedTempFile;

use super::Stores;
use crate::{Error, homeserver::Homeserver, session};

/// A folder of this user's.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// Made when it is first needed. No two programs may use one folder at a time.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    fn stores_path(&self, stores: &Stores) -> PathBuf {
        self.folder.join("stores").join(&stores.name)
    }

    pub(super) fn read(&self) -> Result<Option<String>, Error> {
        match fs::read_to_string(self.record_path()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(store_error(&self.record_path(), error)),
        }
    }

    /// Whole or not at all; temporary files are for their user's eyes only.
    pub(super) fn write(&self, text: &str) -> Result<(), Error> {
        let written = fs::create_dir_all(&self.folder).and_then(|()| {
            let mut file = NamedTempFile::new_in(&self.folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(self.record_path()).map_err(|error| error.error)
        });
        written.map(drop).map_err(|error| store_error(&self.folder, error))
    }

    pub(crate) fn forget(&self) -> Result<(), Error> {
        match fs::remove_file(self.record_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(store_error(&self.record_path(), error))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn open(&self, homeserver: &str, stores: &Stores) -> Result<Client, Error> {
        let config = SqliteStoreConfig::new(self.stores_path(stores)).key(Some(&stores.key));
        let builder = session::settings(Homeserver::client(homeserver));
        Ok(builder.sqlite_store_with_config_and_cache_path(config, None::<&Path>).build().await?)
    }

    /// Removes the stores. What cannot be removed is left: it is encrypted, and its key is gone.
    pub(crate) fn delete(&self, stores: &Stores) {
        if let Err(error) = fs::remove_dir_all(self.stores_path(stores))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the stores of a session could not be removed");
        }
    }
}

fn store_error(path: &Path, error: io::Error) -> Error {
    Error::Store(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_record_is_for_its_user_only_and_gone_when_forgotten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = Storage::folder(folder.path().join("new"));
        assert_eq!(storage.read(), Ok(None));
        storage.write("one").expect("writable");
        storage.write("two").expect("writable");
        assert_eq!(storage.read(), Ok(Some("two".to_owned())));
        let mode = fs::metadata(storage.record_path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        storage.forget().expect("removable");
        storage.forget().expect("nothing to do");
        assert_eq!(storage.read(), Ok(None));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = Storage::folder(folder.path());
        storage.write("{\"version\": 9}").expect("writable");
        assert!(matches!(storage.record(), Ok(None)));
    }
}
