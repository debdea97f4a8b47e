//! What goes to other servers, and what is known of their users' devices.

use ruma::{OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Json, StreamPosition, Table};

/// Every change up to this position was delivered to every server that it concerns, but for those in
/// [`DESTINATIONS`]. Written by `federation_out`.
pub const OUTBOUND_CURSOR: Table<(), StreamPosition> = Table::new(0x84, "outbound_cursor");

/// Servers that do not take what is sent to them. Written by `federation_out`.
pub const DESTINATIONS: Table<OwnedServerName, Json<DestinationRow>> =
    Table::new(0x85, "destinations");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRow {
    /// Every change up to this position was delivered; without one nothing of the log waits.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<StreamPosition>,
    /// How often in a row it failed.
    #[serde(rename = "f")]
    pub failures: u32,
    /// When it is tried again, in milliseconds since the epoch.
    #[serde(rename = "r")]
    pub retry_at: u64,
}

/// EDUs that were promised to be delivered and are in no other table: messages to devices.
/// - Key: the destination, the stream position. Value: the EDU.
/// - Written by `to_device` in the commit that answers the client; deleted by `federation_out` when
///   the destination has it.
pub const OUTBOUND_EDUS: Table<(OwnedServerName, StreamPosition), Json<Box<RawValue>>> =
    Table::new(0x86, "outbound_edus");

/// When a device of a local user last came, changed or went: the `stream_id` of their device list.
/// Written by `keys`.
pub const DEVICE_STREAMS: Table<OwnedUserId, StreamPosition> = Table::new(0x87, "device_streams");

/// The newest of these that was put into the queues: what the next update follows. Written by
/// `federation_out`.
pub const ANNOUNCED_DEVICES: Table<OwnedUserId, StreamPosition> =
    Table::new(0x88, "announced_devices");

/// Users of other servers whose devices are in `DEVICE_KEYS` and whose cross-signing keys are in
/// `CROSS_SIGNING_KEYS`. Written by `keys::remote`.
pub const REMOTE_DEVICE_LISTS: Table<OwnedUserId, Json<RemoteDeviceListRow>> =
    Table::new(0x89, "remote_device_lists");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteDeviceListRow {
    /// The list is as of this update of its server.
    pub stream_id: u64,
    /// Something changed since; the list is to be asked for again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}
