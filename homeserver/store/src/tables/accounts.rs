//! Accounts, sessions and what users keep on the server.

use std::collections::BTreeMap;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::RoomNumber;
use crate::{Json, StreamPosition, Table};

/// Local accounts. Written by `users`: `registration` makes a row, `accounts` changes it.
pub const USERS: Table<OwnedUserId, Json<UserRow>> = Table::new(0x40, "users");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub created: MilliSecondsSinceUnixEpoch,
    /// Argon2id in PHC form; absent where nobody can sign in by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    #[serde(default)]
    pub guest: bool,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub deactivated: bool,
    #[serde(default)]
    pub erased: bool,
    #[serde(default)]
    pub locked: bool,
    #[serde(default)]
    pub suspended: bool,
}

/// Profiles, one row a field: `displayname`, `avatar_url`, `m.tz` ...
/// Written by `users::profiles`.
pub const PROFILES: Table<(OwnedUserId, String), Json<serde_json::Value>> =
    Table::new(0x41, "profiles");

/// Devices. Written by `devices`.
pub const DEVICES: Table<(OwnedUserId, OwnedDeviceId), Json<DeviceRow>> =
    Table::new(0x42, "devices");

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<MilliSecondsSinceUnixEpoch>,
    /// SHA-256 of the device's access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<[u8; 32]>,
    /// SHA-256 of the device's refresh token, if it asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<[u8; 32]>,
    /// The tokens that these replaced, good until one of these is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_access_token: Option<[u8; 32]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_refresh_token: Option<[u8; 32]>,
}

/// - Key: SHA-256 of the token. Written by `devices::sessions`.
pub const ACCESS_TOKENS: Table<[u8; 32], Json<TokenRow>> = Table::new(0x43, "access_tokens");

/// - Key: SHA-256 of the token. Written by `devices::sessions`.
pub const REFRESH_TOKENS: Table<[u8; 32], Json<TokenRow>> = Table::new(0x44, "refresh_tokens");

/// Single-use tokens for `m.login.token`. Written by `devices::login_tokens`.
pub const LOGIN_TOKENS: Table<[u8; 32], Json<TokenRow>> = Table::new(0x45, "login_tokens");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    pub user_id: OwnedUserId,
    /// Absent in a login token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<OwnedDeviceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<MilliSecondsSinceUnixEpoch>,
}

/// How often each registration token was used. Written by `users::registration`.
pub const REGISTRATION_TOKEN_USES: Table<String, u64> = Table::new(0x46, "registration_token_uses");

/// Words by which users are found: lower-case words of the display name and the localpart.
/// - Key: the word, the user. Written by `users::directory`.
pub const USER_WORDS: Table<(String, OwnedUserId), ()> = Table::new(0x47, "user_words");

/// Account data. The room is 0 for global data; room numbers start at 1.
/// - Key: user, room, type. Written by `account_data`.
pub const ACCOUNT_DATA: Table<(OwnedUserId, RoomNumber, String), Json<AccountDataRow>> =
    Table::new(0x60, "account_data");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDataRow {
    pub content: serde_json::Value,
    pub position: StreamPosition,
}

/// Filters of `/sync` and `/messages`. Written by `sync::filter`.
/// - Key: the user and the filter's ID, which is a hash of its content.
pub const FILTERS: Table<(OwnedUserId, String), Json<serde_json::Value>> =
    Table::new(0x61, "filters");

/// Read receipts. Written by `receipts`.
/// - Key: the room, the user. Value: by kind (`m.read`, `m.read.private`) and thread.
pub const RECEIPTS: Table<(RoomNumber, OwnedUserId), Json<ReceiptsRow>> =
    Table::new(0x62, "receipts");

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptsRow {
    /// Kind, then thread (`""` unthreaded, `main`, or a thread root).
    pub receipts: BTreeMap<String, BTreeMap<String, ReceiptRow>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRow {
    pub event_id: ruma::OwnedEventId,
    pub ts: MilliSecondsSinceUnixEpoch,
    /// When it was set, in the stream.
    pub position: StreamPosition,
    /// Where the event stands in the room's timeline.
    pub event_position: i64,
}
