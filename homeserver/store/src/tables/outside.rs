//! Rooms that this server is not in, but that one of its users was asked into or asks to enter.

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EventIndex, RoomNumber};
use crate::{Json, Table};

/// Member events of this server's users in rooms that it was not in then: invites, knocks, and what
/// became of them. Such an event has no event ID here, since nobody could check whether the room's
/// rules allow it: should the room come to this server, the event comes with it.
/// - Key: the room, the event.
/// - Written by `room::persist`.
pub const OUTSIDE_EVENTS: Table<(RoomNumber, EventIndex), Json<OutsideRow>> =
    Table::new(0x31, "outside_events");

/// Member events by which users of other servers entered or left through this one: it tells the other
/// servers of the room, since theirs may not be in it.
/// - Key: the room, the event.
/// - Written by `room::persist`; read by `federation_out`.
pub const HANDED_IN: Table<(RoomNumber, EventIndex), ()> = Table::new(0x32, "handed_in");

/// What others said of the room, and whom to ask about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OutsideRow {
    /// Stripped state: `type`, `sender`, `state_key`, `content`. Empty once the user was told of
    /// something newer.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<Box<RawValue>>,
    /// Servers that were in the room then.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<OwnedServerName>,
}
