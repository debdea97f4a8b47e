//! What users have said to be sent later.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Json, Table};

/// - Key: the sender, the ID that they know the event by until it is sent. Written by `delayed_events`,
///   which forgets those that are done with after a week.
pub const DELAYED_EVENTS: Table<(OwnedUserId, String), Json<DelayedRow>> =
    Table::new(0x68, "delayed_events");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DelayedRow {
    pub device_id: OwnedDeviceId,
    pub room_id: OwnedRoomId,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    pub content: Box<RawValue>,
    /// In milliseconds, counted from `since`.
    pub delay: u64,
    pub since: MilliSecondsSinceUnixEpoch,
    /// Absent while the event waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalised: Option<Finalised>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finalised {
    pub at: MilliSecondsSinceUnixEpoch,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Sent(OwnedEventId),
    Cancelled,
    /// When the time came it was not allowed any more.
    Failed(String),
}
