//! The graph of a room's events where several servers write it. All written by `room::persist` in the
//! commit that changes the room.

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

use super::{EventIndex, RoomNumber, SnapshotId};
use crate::{Json, Table};

/// Where the room's state was not what the events before an event make it: servers wrote at the same
/// time, and the state was resolved.
/// - Key: the room, the event.
pub const STATES_APART: Table<(RoomNumber, EventIndex), Json<StatesApart>> =
    Table::new(0x36, "states_apart");

/// The room's state just before and just after it accepted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatesApart {
    #[serde(rename = "b")]
    pub before: SnapshotId,
    #[serde(rename = "a")]
    pub after: SnapshotId,
}

/// Events that name an event which this server does not have, or not in its place in the graph.
/// - Key: the room, the event that is waited for, why (see [`Awaits`]), the event that names it.
pub const AWAITED: Table<(RoomNumber, OwnedEventId, u8, EventIndex), ()> =
    Table::new(0x37, "awaited");

/// Why an event is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// It is one of those before the other in the graph: history ends here.
    Previous = 0,
    /// The other relates to it.
    Relation = 1,
    /// The other redacts it.
    Redaction = 2,
}
