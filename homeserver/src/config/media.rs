//! Where files lie, how many there may be, and when they go.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Secret, units};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// `fs:/srv/files`, `s3://bucket/prefix?endpoint=…`; a folder in `data_dir` without. May hold a secret.
    pub datastore: Option<Secret>,
    /// A second place that gets every file too.
    pub mirror: Option<Secret>,
    /// The file with the key that wraps all others: 64 hexadecimal digits. In `data_dir` without.
    pub master_key: Option<PathBuf>,
    /// What media nodes prove themselves with; without one there are none.
    pub node_secret: Option<Secret>,
    /// How many URIs a user may have reserved without having uploaded to them.
    pub pending_uploads: u64,
    /// How long a reserved URI, or an upload that broke off, is kept.
    #[serde(deserialize_with = "units::duration")]
    pub unused_upload: Duration,
    /// Bytes and number of the files of one user, and of all users of a team; without a number any.
    #[serde(deserialize_with = "units::some_bytes")]
    pub user_bytes: Option<u64>,
    pub user_files: Option<u64>,
    #[serde(deserialize_with = "units::some_bytes")]
    pub team_bytes: Option<u64>,
    pub team_files: Option<u64>,
    /// How long an administrator can bring back what was deleted.
    #[serde(deserialize_with = "units::duration")]
    pub trash: Duration,
    /// How long a file stays when everything is redacted that named it.
    #[serde(deserialize_with = "units::duration")]
    pub unreferenced: Duration,
    /// How long a file of another server stays that nobody asks for; without one until others need its room.
    #[serde(deserialize_with = "units::some_duration")]
    pub remote_age: Option<Duration>,
    /// Files from before this are shown to clients of before 2024 too, which do not sign in to see them.
    /// Milliseconds since the epoch; in the file a TOML date. Without one no file is.
    #[serde(deserialize_with = "units::date")]
    pub unauthenticated_before: Option<u64>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            datastore: None,
            mirror: None,
            master_key: None,
            node_secret: None,
            pending_uploads: 5,
            unused_upload: DAY,
            user_bytes: None,
            user_files: None,
            team_bytes: None,
            team_files: None,
            trash: 7 * DAY,
            unreferenced: DAY,
            remote_age: None,
            unauthenticated_before: None,
        }
    }
}
