//! What may somebody outside know of the room that they are asked into?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#stripped-state)

use kith_store::tables::MemberRow;
use ruma::{
    events::{AnyStrippedStateEvent, StateEventType},
    serde::Raw,
};

use super::Sync;
use crate::room::{Room, RoomError};

/// The types of a room's stripped state, beside the members.
const STRIPPED: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomJoinRules,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomHistoryVisibility,
];

impl Sync {
    /// As of the invite or the knock that the row names.
    pub(super) async fn stripped_state(
        &self,
        room: &Room,
        row: &MemberRow,
    ) -> Result<Vec<Raw<AnyStrippedStateEvent>>, RoomError> {
        let invite = self.rooms.event(room, row.event).await?;
        let mut kinds: Vec<(StateEventType, &str)> = STRIPPED.map(|kind| (kind, "")).into();
        kinds.push((StateEventType::RoomMember, invite.sender.as_str()));
        let before = invite.standing.state_before;
        let mut events = Vec::with_capacity(kinds.len() + 1);
        for (kind, state_key) in kinds {
            if let Some(event) = self.rooms.state_event(room, before, &kind, state_key).await? {
                events.push(event.stripped());
            }
        }
        events.push(invite.stripped());
        Ok(events)
    }
}
