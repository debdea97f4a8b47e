//! Rows of the database itself and of each team as a whole.

use bytes::Bytes;

use crate::{Change, Json, StreamPosition, Table};

/// The teams of this database.
/// - Key: the server name. Value: the team's number. Only under team 0.
/// - Written by `server`.
pub const TEAMS: Table<String, u32> = Table::new(0x01, "teams");

/// Facts about the database: its format version.
/// - Key: a name. Only under team 0. Written by `export` while an import runs.
pub const META: Table<String, String> = Table::new(0x02, "meta");

/// The log: every change, in the order of publication.
/// - Key: the stream position. Written by the writer of [`crate::Database`], in the commit that makes
///   the change.
pub const LOG: Table<StreamPosition, Json<Change>> = Table::new(0x03, "log");

/// A team's secrets: its signing key and the keys that others are derived from.
/// - Key: a name. Written by `team` at its first start.
pub const SECRETS: Table<String, Bytes> = Table::new(0x04, "secrets");
