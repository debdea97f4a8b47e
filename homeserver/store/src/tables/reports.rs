//! What users report to the administrators.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{Json, Table};

/// - Key: a number that counts up. Written by `reports`, which keeps the newest.
pub const REPORTS: Table<u64, Json<ReportRow>> = Table::new(0x65, "reports");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    pub received: MilliSecondsSinceUnixEpoch,
    pub reporter: OwnedUserId,
    pub reason: String,
    #[serde(flatten)]
    pub about: ReportSubject,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum ReportSubject {
    Event { room_id: OwnedRoomId, event_id: OwnedEventId, sender: OwnedUserId },
    Room { room_id: OwnedRoomId },
    User { user_id: OwnedUserId },
}
