//! Which encrypted copies of their room keys do users keep here?
//!
//! A user has versions of their backup; keys go into the newest one. The server sees of a key no more
//! than how good a copy it is.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#server-side-key-backups)

mod keys;

use std::sync::Arc;

use kith_store::{
    Batch, Json, Scan, Store,
    tables::{self, KeyBackupRow},
};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::keys::{BackedUpKey, NewKeys};
use crate::locks::KeyedLocks;

/// The largest `auth_data`, in bytes.
const AUTH_DATA: usize = 64 * 1024;
/// The longest name of an algorithm, in bytes.
const ALGORITHM: usize = 255;
/// How many versions a user may keep.
const VERSIONS: usize = 100;
/// The one algorithm of the specification.
const MEGOLM_V1: &str = "m.megolm_backup.v1.curve25519-aes-sha2";

/// The backups of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct KeyBackups(Arc<Inner>);

struct Inner {
    store: Store,
    /// Held while a user's backups are changed.
    locks: KeyedLocks<OwnedUserId>,
}

/// How a backup is encrypted, in the words of its user.
#[derive(Debug, Clone, Deserialize)]
pub struct Algorithm {
    pub algorithm: String,
    pub auth_data: Map<String, Value>,
    /// Clients may repeat it when they change the rest.
    #[serde(default)]
    pub version: Option<String>,
}

/// One version of a backup.
#[derive(Debug, Clone)]
pub struct Backup {
    pub version: u64,
    pub row: KeyBackupRow,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("unknown backup version")]
    NotFound,
    #[error("wrong backup version: keys go into version {current}")]
    WrongVersion { current: u64 },
    #[error("{0}")]
    Malformed(String),
    #[error("the {0} is not that of this backup")]
    Mismatch(&'static str),
    #[error("too large, or too many")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl KeyBackups {
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, locks: KeyedLocks::default() }))
    }

    /// A new version, empty, which is the one for keys from now on.
    pub async fn create(&self, user: &UserId, algorithm: Algorithm) -> Result<u64, BackupError> {
        check(&algorithm)?;
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let versions = self.versions(user).await?;
        if versions.iter().filter(|backup| !backup.row.deleted).count() >= VERSIONS {
            return Err(BackupError::TooLarge);
        }
        let version = versions.last().map_or(1, |newest| newest.version + 1);
        let Algorithm { algorithm, auth_data, .. } = algorithm;
        let row = KeyBackupRow {
            algorithm,
            auth_data,
            count: 0,
            etag: 0,
            deleted: false,
            emptied: false,
        };
        let mut batch = Batch::new();
        batch.put(&tables::KEY_BACKUPS, &(user.to_owned(), version), &Json(row));
        // Of deleted versions only the newest has a purpose: its number is taken.
        for old in versions.iter().filter(|old| old.row.emptied) {
            batch.delete(&tables::KEY_BACKUPS, &(user.to_owned(), old.version));
        }
        self.0.store.commit(batch).await?;
        Ok(version)
    }

    /// The newest version.
    pub async fn latest(&self, user: &UserId) -> Result<Backup, BackupError> {
        let versions = self.versions(user).await?;
        let newest = versions.into_iter().rev().find(|backup| !backup.row.deleted);
        newest.ok_or(BackupError::NotFound)
    }

    pub async fn get(&self, user: &UserId, version: &str) -> Result<Backup, BackupError> {
        let backup = self.with_deleted(user, version).await?;
        if backup.row.deleted { Err(BackupError::NotFound) } else { Ok(backup) }
    }

    /// Replaces the `auth_data`.
    pub async fn update(
        &self,
        user: &UserId,
        version: &str,
        algorithm: Algorithm,
    ) -> Result<(), BackupError> {
        check(&algorithm)?;
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let Backup { version: number, mut row } = self.get(user, version).await?;
        if algorithm.version.is_some_and(|other| other != version) {
            return Err(BackupError::Mismatch("version"));
        }
        if algorithm.algorithm != row.algorithm {
            return Err(BackupError::Mismatch("algorithm"));
        }
        row.auth_data = algorithm.auth_data;
        let mut batch = Batch::new();
        batch.put(&tables::KEY_BACKUPS, &(user.to_owned(), number), &Json(row));
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// Deletes a version with its keys. Doing it again is no error.
    pub async fn delete(&self, user: &UserId, version: &str) -> Result<(), BackupError> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        match self.with_deleted(user, version).await {
            Ok(backup) => Ok(self.delete_version(user, backup).await?),
            // Not even its number is remembered, but there was one.
            Err(BackupError::NotFound) => {
                let newest = self.versions(user).await?.last().map_or(0, |newest| newest.version);
                let was_there = number(version).is_some_and(|number| (1..newest).contains(&number));
                if was_there { Ok(()) } else { Err(BackupError::NotFound) }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes everything that the user has here.
    pub async fn delete_all(&self, user: &UserId) -> Result<(), kith_store::Error> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        for backup in self.versions(user).await? {
            self.delete_version(user, backup).await?;
        }
        Ok(())
    }

    /// First nobody sees it any more; then the keys go, a page at a time. What a crash leaves of them
    /// goes when the version is deleted again.
    async fn delete_version(&self, user: &UserId, backup: Backup) -> Result<(), kith_store::Error> {
        let Backup { version, mut row } = backup;
        if row.emptied {
            return Ok(());
        }
        let key = (user.to_owned(), version);
        row.deleted = true;
        row.auth_data = Map::new();
        let mut batch = Batch::new();
        batch.put(&tables::KEY_BACKUPS, &key, &Json(row.clone()));
        self.0.store.commit(batch).await?;
        self.delete_rows(user, version).await?;
        row.emptied = true;
        let mut batch = Batch::new();
        batch.put(&tables::KEY_BACKUPS, &key, &Json(row));
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// Oldest first, deleted ones too.
    async fn versions(&self, user: &UserId) -> Result<Vec<Backup>, kith_store::Error> {
        let scan = Scan::prefix(&(user.to_owned(),));
        let rows = self.0.store.scan(&tables::KEY_BACKUPS, scan).await?;
        Ok(rows.into_iter().map(|((_, version), Json(row))| Backup { version, row }).collect())
    }

    async fn with_deleted(&self, user: &UserId, version: &str) -> Result<Backup, BackupError> {
        let version = number(version).ok_or(BackupError::NotFound)?;
        let row = self.0.store.get(&tables::KEY_BACKUPS, &(user.to_owned(), version)).await?;
        let Json(row) = row.ok_or(BackupError::NotFound)?;
        Ok(Backup { version, row })
    }
}

/// A version as it was given out: `01` is another string.
fn number(version: &str) -> Option<u64> {
    version.parse::<u64>().ok().filter(|number| number.to_string() == version)
}

fn check(algorithm: &Algorithm) -> Result<(), BackupError> {
    let size = serde_json::to_vec(&algorithm.auth_data).map_or(usize::MAX, |json| json.len());
    if size > AUTH_DATA || algorithm.algorithm.len() > ALGORITHM {
        return Err(BackupError::TooLarge);
    }
    let has_key = algorithm.auth_data.get("public_key").is_some_and(Value::is_string);
    if algorithm.algorithm == MEGOLM_V1 && !has_key {
        return Err(BackupError::Malformed("`auth_data` has no `public_key`".to_owned()));
    }
    Ok(())
}
