//! What is a client answered? The body of a response, as deployed clients read it.

use std::collections::BTreeMap;

use ruma::{
    OwnedRoomId,
    api::client::sync::sync_events::{
        UnreadNotificationsCount,
        v5::response::{Extensions, Hero},
    },
    events::{AnyStrippedStateEvent, AnySyncStateEvent, AnySyncTimelineEvent},
    serde::Raw,
};
use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub struct SlidingAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn_id: Option<String>,
    pub pos: String,
    pub lists: BTreeMap<String, ListAnswer>,
    pub rooms: BTreeMap<OwnedRoomId, RoomAnswer>,
    pub extensions: Extensions,
}

#[derive(Debug, Serialize)]
pub struct ListAnswer {
    /// Rooms that pass the list's filters, whatever its ranges.
    pub count: usize,
}

/// What is new in a room. A field that is not there has not changed, or with `initial`, is not set.
#[derive(Debug, Default, Serialize)]
pub struct RoomAnswer {
    #[serde(skip_serializing_if = "is_false")]
    pub initial: bool,
    /// `null` if the room has none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Option<String>>,
    /// By whom a room without a name is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<Hero>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_dm: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_state: Vec<Raw<AnySyncStateEvent>>,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Raw<AnySyncTimelineEvent>>,
    /// The timeline has events from before the last answer, since the client now wants more.
    #[serde(skip_serializing_if = "is_false")]
    pub unstable_expanded_timeline: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
    /// So many of the timeline's last events have just happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_live: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invited_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bump_stamp: Option<u64>,
    #[serde(flatten)]
    pub unread: UnreadNotificationsCount,
    /// All that somebody outside may know, for invites and knocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite_state: Option<Vec<Raw<AnyStrippedStateEvent>>>,
}

impl SlidingAnswer {
    /// Whether something is said of any room.
    pub(super) fn has_rooms(&self) -> bool {
        let of_rooms = &self.extensions;
        !self.rooms.is_empty()
            || !of_rooms.account_data.rooms.is_empty()
            || !of_rooms.receipts.is_empty()
            || !of_rooms.typing.is_empty()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_false(value: &bool) -> bool {
    !*value
}
