//! What other servers publish about themselves, and what we show them in TLS.

use std::collections::BTreeMap;

use ruma::{CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{Json, Table};

/// The signing keys of other servers.
/// - Key: the server name. Written by `federation_store`.
pub const SERVER_KEYS: Table<OwnedServerName, Json<ServerKeysRow>> =
    Table::new(0x80, "server_keys");

/// What this server has from its certificate authority: an account, certificates with their keys.
/// - Key: `account ` and the directory's URL, or `certificate ` and the host names. Only under team 0.
/// - Value: secret text, JSON or PEM. Written by `acme`.
pub const ACME: Table<String, String> = Table::new(0x81, "acme");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeysRow {
    /// By key ID: `ed25519:abc`.
    pub keys: BTreeMap<String, ServerKeyRow>,
    /// The newest document as the server signed it; at most 64 KiB.
    pub document: CanonicalJsonObject,
    /// Until when the document may be used.
    pub valid_until: MilliSecondsSinceUnixEpoch,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeyRow {
    /// Unpadded base64.
    pub key: String,
    /// The last moment at which the server signs or signed with it.
    pub valid_until: MilliSecondsSinceUnixEpoch,
}

/// Copies of other servers' files from before there was [`MEDIA`](super::MEDIA).
/// - Key: the copy's name in its folder. Emptied by `media::import`.
pub const REMOTE_MEDIA: Table<String, Json<RemoteMediaRow>> = Table::new(0x90, "remote_media");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteMediaRow {
    pub server: OwnedServerName,
    pub media_id: String,
    /// Bytes.
    pub size: u64,
    pub fetched: MilliSecondsSinceUnixEpoch,
}
