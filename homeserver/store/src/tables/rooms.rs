//! Rooms: events, timelines, state, members. All written by `room::persist` in the commit that
//! changes the room, unless a table says otherwise.
//!
//! A room's number is dense in its team; an event's index and a state key's index are dense in
//! their room. Numbers are given in the batch that first uses them.

use bytes::Bytes;
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{Json, Key, StreamPosition, Table, Value};

/// Dense number of a room in its team.
pub type RoomNumber = u32;
/// Dense number of an event in its room, in the order of arrival.
pub type EventIndex = u32;
/// Dense number of a (type, state key) pair in its room.
pub type StateKeyIndex = u32;
/// Name of a state snapshot in its room; 0 is the empty state.
pub type SnapshotId = u64;

/// - Key: the room ID. Value: its number.
pub const ROOM_NUMBERS: Table<OwnedRoomId, RoomNumber> = Table::new(0x20, "room_numbers");

/// What never changes about a room.
pub const ROOMS: Table<RoomNumber, Json<RoomRow>> = Table::new(0x21, "rooms");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRow {
    pub room_id: OwnedRoomId,
    pub version: ruma::RoomVersionId,
}

/// Where a room stands: the one row that every event of the room rewrites.
pub const ROOM_HEADS: Table<RoomNumber, RoomHead> = Table::new(0x22, "room_heads");

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomHead {
    pub next_event: EventIndex,
    pub next_state_key: StateKeyIndex,
    /// The current state.
    pub snapshot: SnapshotId,
    pub joined: u32,
    pub invited: u32,
    pub forward_extremities: Vec<EventIndex>,
}

impl Value for RoomHead {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + 4 * self.forward_extremities.len());
        out.extend(self.next_event.to_be_bytes());
        out.extend(self.next_state_key.to_be_bytes());
        out.extend(self.snapshot.to_be_bytes());
        out.extend(self.joined.to_be_bytes());
        out.extend(self.invited.to_be_bytes());
        out.extend(self.forward_extremities.encode());
        out
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (head, extremities) = bytes.split_first_chunk::<24>().ok_or("short room head")?;
        let int =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Ok(Self {
            next_event: int(0),
            next_state_key: int(4),
            snapshot: u64::from(int(8)) << 32 | u64::from(int(12)),
            joined: int(16),
            invited: int(20),
            forward_extremities: Value::decode(extremities)?,
        })
    }
}

/// Every event that this server has.
pub const EVENTS: Table<(RoomNumber, EventIndex), EventRow> = Table::new(0x23, "events");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub verdict: Verdict,
    /// Whether [`super::STATES_APART`] has a row for the event.
    pub apart: bool,
    /// Its place in [`TIMELINE`]; 0 for an event that is in no timeline.
    pub position: i64,
    /// The room's state before the event.
    pub state_before: SnapshotId,
    /// The redaction that was applied to this event.
    pub redacted_by: Option<EventIndex>,
    /// The PDU as `room::event` packs it.
    pub pdu: Bytes,
}

/// What this server thinks of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Accepted = 0,
    SoftFailed = 1,
    Rejected = 2,
    Outlier = 3,
}

/// Beside the verdict in the first byte of an event's row.
const APART: u8 = 0x80;

impl Value for EventRow {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(21 + self.pdu.len());
        out.push(self.verdict as u8 | if self.apart { APART } else { 0 });
        out.extend(self.position.to_be_bytes());
        out.extend(self.state_before.to_be_bytes());
        out.extend(self.redacted_by.map_or(u32::MAX, |index| index).to_be_bytes());
        out.extend_from_slice(&self.pdu);
        out
    }
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (head, pdu) = bytes.split_first_chunk::<21>().ok_or("short event row")?;
        let [verdict, rest @ ..] = *head;
        let long = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&rest[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let redacted_by = u32::from_be_bytes([rest[16], rest[17], rest[18], rest[19]]);
        Ok(Self {
            apart: verdict & APART != 0,
            verdict: match verdict & !APART {
                0 => Verdict::Accepted,
                1 => Verdict::SoftFailed,
                2 => Verdict::Rejected,
                3 => Verdict::Outlier,
                other => return Err(format!("verdict {other}")),
            },
            position: long(0).cast_signed(),
            state_before: long(8),
            redacted_by: (redacted_by != u32::MAX).then_some(redacted_by),
            pdu: Bytes::copy_from_slice(pdu),
        })
    }
}

/// - Key: the event ID. Value: the room and the event's index in it.
pub const EVENT_IDS: Table<OwnedEventId, (RoomNumber, EventIndex)> = Table::new(0x24, "event_ids");

/// A room's accepted events in the order this server accepted them.
/// - Key: the room, then the stream position at acceptance; negative numbers are history that was
///   fetched later, counting down.
pub const TIMELINE: Table<(RoomNumber, i64), EventIndex> = Table::new(0x25, "timeline");

/// - Key: room, event type, state key. Value: the index of that pair.
pub const STATE_KEYS: Table<(RoomNumber, String, String), StateKeyIndex> =
    Table::new(0x26, "state_keys");

/// Nodes of the state snapshots; see `kith_store::snapshot`, their only writer.
pub const SNAPSHOT_NODES: Table<(RoomNumber, SnapshotId), Bytes> =
    Table::new(0x28, "snapshot_nodes");

/// A room's members of every membership, in order of user ID.
pub const MEMBERS: Table<(RoomNumber, OwnedUserId), Json<MemberRow>> = Table::new(0x29, "members");

/// The same rows by user: the rooms they have anything to do with.
pub const MEMBERSHIPS: Table<(OwnedUserId, RoomNumber), Json<MemberRow>> =
    Table::new(0x2a, "memberships");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// `join`, `invite`, `leave`, `ban` or `knock`.
    #[serde(rename = "m")]
    pub membership: ruma::events::room::member::MembershipState,
    /// The member event.
    #[serde(rename = "e")]
    pub event: EventIndex,
    /// The stream position of that event.
    #[serde(rename = "p")]
    pub position: StreamPosition,
    /// The stream position at which the user last joined, if they ever did.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<StreamPosition>,
    /// The user asked to forget the room after leaving it.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// - Key: the room, the event that is related to, the event that relates to it.
pub const RELATIONS: Table<(RoomNumber, EventIndex, EventIndex), RelationRow> =
    Table::new(0x2b, "relations");

/// That one event relates to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationRow {
    /// E.g. `m.annotation`.
    pub rel_type: String,
    /// Absent in rows of old: the event itself says the same.
    pub child: Option<RelatedRow>,
}

/// What answers most questions about a related event without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedRow {
    /// Its place in the timeline, as in [`TIMELINE`].
    pub position: i64,
    /// Milliseconds since the epoch.
    pub origin_server_ts: u64,
    pub sender: OwnedUserId,
    /// The event's type.
    pub kind: String,
    pub event_id: OwnedEventId,
}

impl Value for RelationRow {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        Key::encode(&self.rel_type, &mut out);
        if let Some(child) = &self.child {
            Key::encode(&child.position, &mut out);
            Key::encode(&child.origin_server_ts, &mut out);
            Key::encode(&child.sender, &mut out);
            Key::encode(&child.kind, &mut out);
            Key::encode(&child.event_id, &mut out);
        }
        out
    }
    fn decode(mut bytes: &[u8]) -> Result<Self, String> {
        let bytes = &mut bytes;
        let rel_type = Key::decode(bytes).ok_or("relation row without a type")?;
        if bytes.is_empty() {
            return Ok(Self { rel_type, child: None });
        }
        let mut child = || {
            Some(RelatedRow {
                position: Key::decode(bytes)?,
                origin_server_ts: Key::decode(bytes)?,
                sender: Key::decode(bytes)?,
                kind: Key::decode(bytes)?,
                event_id: Key::decode(bytes)?,
            })
        };
        match child() {
            Some(child) if bytes.is_empty() => Ok(Self { rel_type, child: Some(child) }),
            _ => Err("malformed relation row".to_owned()),
        }
    }
}

/// What a device has sent, so that repeating a request does not repeat the event.
/// - Key: the sender, their device, the transaction ID. Value: the event.
pub const TRANSACTION_IDS: Table<(OwnedUserId, OwnedDeviceId, String), OwnedEventId> =
    Table::new(0x2c, "transaction_ids");

/// Room aliases of this server. Written by `room::alias`.
pub const ALIASES: Table<OwnedRoomAliasId, Json<AliasRow>> = Table::new(0x2d, "aliases");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    pub room_id: OwnedRoomId,
    pub creator: OwnedUserId,
}

/// - Key: the room, its alias. Written by `room::alias`.
pub const ROOM_ALIASES: Table<(OwnedRoomId, OwnedRoomAliasId), ()> =
    Table::new(0x2e, "room_aliases");

/// Rooms listed in this server's room directory. Written by `room::directory`.
pub const PUBLISHED_ROOMS: Table<RoomNumber, ()> = Table::new(0x2f, "published_rooms");

/// Local accounts that were erased when they were closed. Value: the stream position then.
/// Written by `room::erasure`.
pub const ERASED_USERS: Table<OwnedUserId, StreamPosition> = Table::new(0x30, "erased_users");

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_user_id};

    use super::*;

    #[test]
    fn relation_rows_of_old_are_still_read() {
        let old = Value::encode(&"m.annotation".to_owned());
        let row = RelationRow { rel_type: "m.annotation".to_owned(), child: None };
        assert_eq!(RelationRow::decode(&old), Ok(row.clone()));
        assert_eq!(row.encode(), old);
        let child = RelatedRow {
            position: -7,
            origin_server_ts: 12,
            sender: owned_user_id!("@alice:kith"),
            kind: "m.reaction".to_owned(),
            event_id: owned_event_id!("$reaction"),
        };
        let new = RelationRow { child: Some(child), ..row };
        let encoded = new.encode();
        assert_eq!(RelationRow::decode(&encoded), Ok(new));
        assert!(RelationRow::decode(&encoded[..encoded.len() - 1]).is_err());
        assert!(RelationRow::decode(&[&encoded[..], &[0]].concat()).is_err());
    }
}
