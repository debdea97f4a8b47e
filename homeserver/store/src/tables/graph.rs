//! The graph of a room's events where several servers write it. All written by `room::persist` in the
//! commit that changes the room.

use ruma::{OwnedEventId, OwnedServerName};
use serde::{Deserialize, Serialize};

use super::{EventIndex, RoomNumber, SnapshotId};
use crate::{Json, StreamPosition, Table};

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

/// Events that the room's policy server did not allow when they came, and that nobody has been shown
/// since. Judged anew when the policy changes.
/// - Key: the room, the event.
/// - Value: whether the policy server refused it; otherwise it could not be asked.
/// - Written by `room::persist`.
pub const UNRECOMMENDED: Table<(RoomNumber, EventIndex), Json<bool>> =
    Table::new(0x33, "unrecommended");

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

/// Rooms that were joined without most of their members.
/// - Key: the room.
pub const PARTIAL_JOINS: Table<RoomNumber, Json<PartialJoinRow>> =
    Table::new(0x38, "partial_joins");

/// What is to be known for the rest of the members to be fetched; later only that they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialJoinRow {
    /// Our user's join: the state before it is what is asked for.
    pub join: EventIndex,
    /// The servers that were in the room before, first the one through which it was joined.
    pub servers: Vec<OwnedServerName>,
    /// Members that became known only because somebody else's event rests on theirs.
    pub learned: Vec<EventIndex>,
    /// Since when every member is known.
    pub completed: Option<StreamPosition>,
}
