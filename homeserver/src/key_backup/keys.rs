//! The keys in a backup.

use std::{cmp::Reverse, collections::BTreeMap};

use kith_store::{
    Batch, Json, Scan,
    tables::{self, KeyBackupRow},
};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{Backup, BackupError, KeyBackups};

/// The largest key with what is said about it, in bytes.
const KEY_SIZE: usize = 64 * 1024;
/// The longest session ID, in bytes.
const SESSION_ID: usize = 255;
/// How many keys a backup may hold.
const KEYS: u64 = 1_000_000;
/// How many rows one commit deletes.
const DELETED_AT_ONCE: usize = 1_000;

/// Keys to be stored, by room and session.
pub type NewKeys<'a> = BTreeMap<&'a RoomId, BTreeMap<&'a str, &'a RawValue>>;

/// A key as it was uploaded.
#[derive(Debug, Clone)]
pub struct BackedUpKey {
    pub room: OwnedRoomId,
    pub session: String,
    pub data: Box<RawValue>,
}

/// What the server must know of a key to tell the better of two copies.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Quality {
    is_verified: bool,
    first_message_index: u64,
    forwarded_count: u64,
    /// Not for the server to read.
    #[serde(rename = "session_data")]
    _session_data: Map<String, Value>,
}

impl Quality {
    fn of(data: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(data.get())
    }

    /// Greater is better.
    fn rank(&self) -> (bool, Reverse<u64>, Reverse<u64>) {
        (self.is_verified, Reverse(self.first_message_index), Reverse(self.forwarded_count))
    }
}

impl KeyBackups {
    /// Stores keys in the newest version; of a key that is there already the better copy stays.
    /// Answers the backup as it is then.
    pub async fn add_keys(
        &self,
        user: &UserId,
        version: &str,
        keys: &NewKeys<'_>,
    ) -> Result<KeyBackupRow, BackupError> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let current = self.latest(user).await?;
        let Backup { version, mut row } = self.get(user, version).await?;
        if version != current.version {
            return Err(BackupError::WrongVersion { current: current.version });
        }
        let mut batch = Batch::new();
        for (room, sessions) in keys {
            for (session, data) in sessions {
                let quality = check(session, data)?;
                let at = (user.to_owned(), version, (*room).to_owned(), (*session).to_owned());
                let stored = self.0.store.get(&tables::BACKED_UP_KEYS, &at).await?;
                let is_better = stored.as_ref().is_none_or(|Json(stored)| {
                    Quality::of(stored).is_ok_and(|stored| quality.rank() > stored.rank())
                });
                if is_better {
                    row.count += u64::from(stored.is_none());
                    batch.put(&tables::BACKED_UP_KEYS, &at, &Json((*data).to_owned()));
                }
            }
        }
        if row.count > KEYS {
            return Err(BackupError::TooLarge);
        }
        if !batch.is_empty() {
            row.etag += 1;
            batch.put(&tables::KEY_BACKUPS, &(user.to_owned(), version), &Json(row.clone()));
            self.0.store.commit(batch).await?;
        }
        Ok(row)
    }

    /// Keys of a version in the order of room and session, from `after` on. The version must be
    /// there: see [`Self::get`].
    pub async fn page(
        &self,
        user: &UserId,
        version: u64,
        room: Option<&RoomId>,
        after: Option<&(OwnedRoomId, String)>,
        limit: usize,
    ) -> Result<Vec<BackedUpKey>, kith_store::Error> {
        let user = user.to_owned();
        let mut scan = match room {
            Some(room) => Scan::prefix(&(user.clone(), version, room.to_owned())),
            None => Scan::prefix(&(user.clone(), version)),
        };
        if let Some((room, session)) = after {
            scan = scan.after(&(user, version, room.clone(), session.clone()));
        }
        let rows = self.0.store.scan(&tables::BACKED_UP_KEYS, scan.limit(limit)).await?;
        let keys = rows.into_iter().map(|((_, _, room, session), Json(data))| BackedUpKey {
            room,
            session,
            data,
        });
        Ok(keys.collect())
    }

    pub async fn key(
        &self,
        user: &UserId,
        version: &str,
        room: &RoomId,
        session: &str,
    ) -> Result<Option<Box<RawValue>>, BackupError> {
        let version = self.get(user, version).await?.version;
        let at = (user.to_owned(), version, room.to_owned(), session.to_owned());
        Ok(self.0.store.get(&tables::BACKED_UP_KEYS, &at).await?.map(|Json(data)| data))
    }

    /// Deletes one key, those of a room, or all. Answers the backup as it is then.
    pub async fn delete_keys(
        &self,
        user: &UserId,
        version: &str,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<KeyBackupRow, BackupError> {
        let _guard = self.0.locks.lock(user.to_owned()).await;
        let Backup { version, mut row } = self.get(user, version).await?;
        loop {
            let mut deleted = Vec::new();
            if let (Some(room), Some(session)) = (room, session) {
                let at = (user.to_owned(), version, room.to_owned(), session.to_owned());
                if self.0.store.contains(&tables::BACKED_UP_KEYS, &at).await? {
                    deleted.push(at);
                }
            } else {
                let page = self.page(user, version, room, None, DELETED_AT_ONCE).await?;
                let keys = page.into_iter();
                deleted.extend(keys.map(|key| (user.to_owned(), version, key.room, key.session)));
            }
            if deleted.is_empty() {
                return Ok(row);
            }
            let is_last = deleted.len() < DELETED_AT_ONCE;
            let mut batch = Batch::new();
            row.count = row.count.saturating_sub(deleted.len() as u64);
            row.etag += 1;
            for at in deleted {
                batch.delete(&tables::BACKED_UP_KEYS, &at);
            }
            batch.put(&tables::KEY_BACKUPS, &(user.to_owned(), version), &Json(row.clone()));
            self.0.store.commit(batch).await?;
            if is_last {
                return Ok(row);
            }
        }
    }

    /// Deletes the rows of a version that nobody sees any more.
    pub(super) async fn delete_rows(
        &self,
        user: &UserId,
        version: u64,
    ) -> Result<(), kith_store::Error> {
        loop {
            let page = self.page(user, version, None, None, DELETED_AT_ONCE).await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for key in page {
                let at = (user.to_owned(), version, key.room, key.session);
                batch.delete(&tables::BACKED_UP_KEYS, &at);
            }
            self.0.store.commit(batch).await?;
        }
    }
}

fn check(session: &str, data: &RawValue) -> Result<Quality, BackupError> {
    if session.is_empty() || session.len() > SESSION_ID {
        return Err(BackupError::Malformed(format!("a session ID has 1 to {SESSION_ID} bytes")));
    }
    if data.get().len() > KEY_SIZE {
        return Err(BackupError::TooLarge);
    }
    Quality::of(data).map_err(|error| BackupError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> Quality {
        let _session_data = Map::new();
        Quality { is_verified, first_message_index, forwarded_count, _session_data }
    }

    #[test]
    fn the_better_copy_is_verified_then_older_then_less_forwarded() {
        let from_worst = [
            quality(false, 9, 9),
            quality(false, 9, 1),
            quality(false, 2, 5),
            quality(true, 9, 9),
            quality(true, 9, 0),
            quality(true, 0, 7),
        ];
        assert!(from_worst.is_sorted_by(|a, b| a.rank() < b.rank()));
    }
}
