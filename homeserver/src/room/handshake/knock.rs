//! How does another server's user knock through us, and what are those outside told of a room?

use std::sync::Arc;

use kith_store::tables::SnapshotId;
use ruma::{
    EventId, RoomId, RoomVersionId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{HandshakeError, Template, parse};
use crate::room::{
    Room, RoomError, Rooms,
    event::Event,
    membership::{Action, MemberChange},
};

/// The types of a room's stripped state, beside the members.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#stripped-state)
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

impl Rooms {
    pub async fn make_knock(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        user_id: &UserId,
        versions: &[RoomVersionId],
    ) -> Result<Template, HandshakeError> {
        let room = self.room_for(origin, room_id).await?;
        if !versions.contains(&room.version) {
            return Err(HandshakeError::IncompatibleVersion(room.version.clone()));
        }
        self.member_template(origin, &room, user_id, MemberChange::new(Action::Knock)).await
    }

    /// Lets a user of another server knock. Answers the state that those outside may know of, as whole
    /// events.
    pub async fn send_knock(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        pdu: &RawValue,
    ) -> Result<Vec<Box<RawValue>>, HandshakeError> {
        let knock = (event_id, MembershipState::Knock);
        let entered = self.enter(origin, room_id, knock, parse(pdu)?).await?;
        let snapshot = entered.event.standing.state_before;
        let state = self.state_for_outside(&entered.room, snapshot, None).await?;
        Ok(state.iter().map(|event| event.pdu.clone()).collect())
    }

    /// What somebody outside may know of a room's state, and who invites them if somebody does.
    pub async fn state_for_outside(
        &self,
        room: &Room,
        snapshot: SnapshotId,
        inviter: Option<&UserId>,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut kinds: Vec<(StateEventType, &str)> = STRIPPED.map(|kind| (kind, "")).into();
        if let Some(inviter) = inviter {
            kinds.push((StateEventType::RoomMember, inviter.as_str()));
        }
        let mut events = Vec::with_capacity(kinds.len());
        for (kind, state_key) in kinds {
            events.extend(self.state_event(room, snapshot, &kind, state_key).await?);
        }
        Ok(events)
    }
}
