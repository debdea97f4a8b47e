//! Encrypted copies of room keys that users keep on the server.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{Json, Table};

/// The versions of each user's backup; a deleted one keeps its row, so that no number comes twice.
/// - Key: the user, the version: 1, 2, 3 ... Written by `key_backup`.
pub const KEY_BACKUPS: Table<(OwnedUserId, u64), Json<KeyBackupRow>> =
    Table::new(0x54, "key_backups");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBackupRow {
    pub algorithm: String,
    pub auth_data: Map<String, Value>,
    /// How many keys are in it.
    pub count: u64,
    /// Grows with each change of the keys.
    pub etag: u64,
    /// Nobody can see it any more; the keys may still have to be deleted.
    #[serde(default)]
    pub deleted: bool,
    /// The keys of a deleted version are gone too.
    #[serde(default)]
    pub emptied: bool,
}

/// Keys in a backup.
/// - Key: the user, the version, the room and the session ID. Value: as the client uploaded it.
/// - Written by `key_backup`.
pub const BACKED_UP_KEYS: Table<(OwnedUserId, u64, OwnedRoomId, String), Json<Box<RawValue>>> =
    Table::new(0x55, "backed_up_keys");
