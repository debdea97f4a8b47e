//! Pushers, and what is still to be told to push gateways.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{EventIndex, RoomNumber};
use crate::{Json, StreamPosition, Table};

/// Where users want to be told of events.
/// - Key: the user, the application's ID, the pushkey. Written by `push::pushers`.
pub const PUSHERS: Table<(OwnedUserId, String, String), Json<PusherRow>> =
    Table::new(0x70, "pushers");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherRow {
    /// The device that set it; it goes with that.
    pub device_id: OwnedDeviceId,
    pub app_display_name: String,
    pub device_display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_tag: Option<String>,
    pub lang: String,
    /// With `url`; the rest is passed on to the gateway.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Absent: enabled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// When a client last set it.
    pub set: MilliSecondsSinceUnixEpoch,
    /// Events up to this position are none of its business.
    pub since: StreamPosition,
}

/// The same pushers by what a gateway knows them by.
/// - Key: the application's ID, the pushkey, the user. Written by `push::pushers`.
pub const PUSHERS_BY_KEY: Table<(String, String, OwnedUserId), ()> =
    Table::new(0x71, "pushers_by_key");

/// Notifications that a gateway has not accepted yet. Written by `push::queue`.
/// - Key: as in [`PUSHERS`], then the stream position of the event.
pub const PUSH_QUEUE: Table<(OwnedUserId, String, String, StreamPosition), Json<QueuedPush>> =
    Table::new(0x72, "push_queue");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedPush {
    #[serde(rename = "r")]
    pub room: RoomNumber,
    #[serde(rename = "e")]
    pub event: EventIndex,
    /// When it was queued.
    #[serde(rename = "q")]
    pub queued: MilliSecondsSinceUnixEpoch,
    /// What the push rule adds to the notification.
    #[serde(rename = "t", default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub tweaks: serde_json::Map<String, serde_json::Value>,
}

/// Every change up to this position was looked at and, where need be, queued. Written by `push::queue`.
pub const PUSH_CURSOR: Table<(), StreamPosition> = Table::new(0x73, "push_cursor");
