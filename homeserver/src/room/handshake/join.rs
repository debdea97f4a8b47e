//! How does another server's user join through us?

use std::collections::HashSet;

use kith_store::tables::{EventIndex, SnapshotId};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedServerName, OwnedUserId, RoomId,
    RoomVersionId, ServerName, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    signatures::hash_and_sign_event,
};
use serde_json::value::RawValue;

use super::{Entered, HandshakeError, MemberFields, Template, invalid, parse};
use crate::room::{
    Room, RoomError, Rooms,
    event::Event,
    handshake::restricted::Entrance,
    membership::{AUTHORISED_VIA, Action, MemberChange},
};

/// What a server that joins is told of the room.
#[derive(Debug)]
pub struct JoinAnswer {
    /// The join, with our signature if it needs one.
    pub event: Box<RawValue>,
    /// The room's state before the join.
    pub state: Vec<Box<RawValue>>,
    /// What the join and the state rest on.
    pub auth_chain: Vec<Box<RawValue>>,
    /// If most members were left out of the state: the servers in the room before the join.
    pub servers_in_room: Option<Vec<OwnedServerName>>,
}

impl Rooms {
    pub async fn make_join(
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
        let mut change = MemberChange::new(Action::Join);
        change.authorised_via = match self.entrance(&room, user_id).await? {
            Entrance::Unconditional => None,
            Entrance::Via(member) => Some(member),
            other => return Err(refusal(&other)),
        };
        self.member_template(origin, &room, user_id, change).await
    }

    /// Lets a user of another server in. `omit_members`: the other server can do without most members.
    pub async fn send_join(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        pdu: &RawValue,
        omit_members: bool,
    ) -> Result<JoinAnswer, HandshakeError> {
        let room = self.room_for(origin, room_id).await?;
        let object = self.vouch_for(&room, origin, parse(pdu)?).await?;
        let join = (event_id, MembershipState::Join);
        let Entered { room, event } = self.enter(origin, room_id, join, object).await?;
        Ok(self.join_answer(&room, &event, omit_members).await?)
    }

    /// Where the join says that one of our members lets the user in, our signature says so too: if the
    /// user may come in, and the event is a join of theirs and nothing else. It leaves this server only
    /// if everything else about the event turns out to be right.
    async fn vouch_for(
        &self,
        room: &Room,
        origin: &ServerName,
        mut object: CanonicalJsonObject,
    ) -> Result<CanonicalJsonObject, HandshakeError> {
        let Some(via) = authorised_via(&object).filter(|via| self.team().is_ours(via)) else {
            return Ok(object);
        };
        let member = MemberFields::of(&object)?;
        member.check(&room.room_id, &MembershipState::Join, origin)?;
        let Ok(user_id) = <&UserId>::try_from(member.sender) else {
            return invalid("the sender is no user ID");
        };
        if member.state_key != member.sender {
            return invalid("`state_key` is not the sender");
        }
        match self.entrance(room, user_id).await? {
            // Whoever was let in meanwhile may ask again with the same event.
            Entrance::Via(_) | Entrance::Unconditional => {}
            other => return Err(refusal(&other)),
        }
        if !self.members().is_joined(room.number, &via).await? {
            return Err(HandshakeError::UnableToGrant);
        }
        let (name, key) = (self.team().server_name(), self.team().signing_key());
        hash_and_sign_event(name.as_str(), key, &mut object, &room.rules.redaction)
            .map_err(|error| HandshakeError::Invalid(error.to_string()))?;
        Ok(object)
    }

    async fn join_answer(
        &self,
        room: &Room,
        join: &Event,
        omit_members: bool,
    ) -> Result<JoinAnswer, RoomError> {
        let before = join.standing.state_before;
        let mut state = Vec::new();
        let kept = if omit_members { Some(self.heroes_of(room, before).await?) } else { None };
        for (_, index) in self.snapshots().entries(room.number, before).await? {
            let event = self.event(room, index).await?;
            let is_needed = |heroes: &HashSet<EventIndex>| {
                event.kind != TimelineEventType::RoomMember || heroes.contains(&index)
            };
            if kept.as_ref().is_none_or(is_needed) {
                state.push(event);
            }
        }
        let resting = state.iter().map(|event| event.index()).chain([join.index()]);
        let mut chain = self.auth_chain(room, resting).await?;
        let servers_in_room = match kept {
            None => None,
            Some(_) => {
                // What is in the state need not be said twice.
                let said: HashSet<&EventId> = state.iter().map(|event| &*event.event_id).collect();
                chain.retain(|event| !said.contains(&*event.event_id));
                Some(self.servers_before(room, join).await?)
            }
        };
        Ok(JoinAnswer {
            event: join.pdu.clone(),
            state: state.iter().map(|event| event.pdu.clone()).collect(),
            auth_chain: chain.iter().map(|event| event.pdu.clone()).collect(),
            servers_in_room,
        })
    }

    /// The member events that a room without a name is called after.
    async fn heroes_of(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<HashSet<EventIndex>, RoomError> {
        for kind in [StateEventType::RoomName, StateEventType::RoomCanonicalAlias] {
            if self.state_event(room, snapshot, &kind, "").await?.is_some() {
                return Ok(HashSet::new());
            }
        }
        let mut heroes = HashSet::new();
        for (_, row) in self.members().of_room(room.number).await? {
            if heroes.len() >= HEROES {
                break;
            }
            if matches!(row.membership, MembershipState::Join | MembershipState::Invite) {
                heroes.insert(row.event);
            }
        }
        Ok(heroes)
    }

    /// The servers that were in the room before this join.
    async fn servers_before(
        &self,
        room: &Room,
        join: &Event,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let servers = self.members().servers(room.number).await?;
        let new = join.sender.server_name();
        let was_there = servers.users(new).any(|(user_id, membership)| {
            *membership == MembershipState::Join && *user_id != join.sender
        });
        let mut before: Vec<OwnedServerName> = servers.joined().into_iter().cloned().collect();
        before.retain(|server| server != new || was_there);
        Ok(before)
    }
}

/// As many heroes as a room's summary has, and the one who joins.
const HEROES: usize = 6;

fn refusal(entrance: &Entrance) -> HandshakeError {
    match entrance {
        Entrance::NobodyToVouch => HandshakeError::UnableToGrant,
        Entrance::Unknown => HandshakeError::UnableToAuthorise,
        _ => HandshakeError::Forbidden("the user is in none of the rooms that let them in".into()),
    }
}

/// The member who lets the user in, as the event says.
fn authorised_via(object: &CanonicalJsonObject) -> Option<OwnedUserId> {
    let CanonicalJsonValue::Object(content) = object.get("content")? else { return None };
    let CanonicalJsonValue::String(via) = content.get(AUTHORISED_VIA)? else { return None };
    OwnedUserId::try_from(via.as_str()).ok()
}
