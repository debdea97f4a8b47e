//! How servers bring their users into our rooms, and ours into theirs.

use ruma::{
    OwnedServerName, RoomVersionId,
    api::federation::membership::{
        RawStrippedState, create_invite,
        create_join_event::{self, v2::RoomState},
        create_knock_event, create_leave_event, prepare_join_event, prepare_knock_event,
        prepare_leave_event,
    },
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    api::{
        ApiError,
        adapt::{Adapt, Adapted},
        incoming::{Incoming, State},
    },
    invites::{Invites, Verdict},
    rate_limit::{Action, RateLimiter},
    room::{Rooms, handshake::HandshakeError},
    users::Users,
};

/// `GET /_matrix/federation/v1/make_join/{roomId}/{userId}`
pub async fn prepare_join_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<prepare_join_event::v1::Request>,
) -> Result<prepare_join_event::v1::Response, ApiError> {
    let (room_id, user_id) = (&request.room_id, &request.user_id);
    let template = rooms.make_join(&origin, room_id, user_id, &request.ver).await?;
    let mut response = prepare_join_event::v1::Response::new(template.event);
    response.room_version = Some(template.version);
    Ok(response)
}

/// `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`
pub async fn create_join_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<create_join_event::v2::Request>,
) -> Result<create_join_event::v2::Response, ApiError> {
    let create_join_event::v2::Request { room_id, event_id, pdu, omit_members, .. } = request;
    let answer = rooms.send_join(&origin, &room_id, &event_id, &pdu, omit_members).await?;
    let mut room = RoomState::new();
    room.members_omitted = answer.servers_in_room.is_some();
    room.auth_chain = answer.auth_chain;
    room.state = answer.state;
    room.event = Some(answer.event);
    let names = |servers: Vec<OwnedServerName>| servers.iter().map(ToString::to_string).collect();
    room.servers_in_room = answer.servers_in_room.map(names);
    Ok(create_join_event::v2::Response::new(room))
}

/// `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`
pub async fn prepare_leave_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<prepare_leave_event::v1::Request>,
) -> Result<prepare_leave_event::v1::Response, ApiError> {
    let template = rooms.make_leave(&origin, &request.room_id, &request.user_id).await?;
    Ok(prepare_leave_event::v1::Response::new(Some(template.version), template.event))
}

/// `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`
pub async fn create_leave_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<create_leave_event::v2::Request>,
) -> Result<create_leave_event::v2::Response, ApiError> {
    rooms.send_leave(&origin, &request.room_id, &request.event_id, &request.pdu).await?;
    Ok(create_leave_event::v2::Response::new())
}

/// `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`
pub async fn prepare_knock_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<prepare_knock_event::v1::Request>,
) -> Result<prepare_knock_event::v1::Response, ApiError> {
    let (room_id, user_id) = (&request.room_id, &request.user_id);
    let template = rooms.make_knock(&origin, room_id, user_id, &request.ver).await?;
    Ok(prepare_knock_event::v1::Response::new(template.version, template.event))
}

/// `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`
pub async fn create_knock_event(
    State(rooms): State<Rooms>,
    Incoming { requester: origin, request }: Incoming<create_knock_event::v1::Request>,
) -> Result<create_knock_event::v1::Response, ApiError> {
    let (room_id, event_id) = (&request.room_id, &request.event_id);
    let state = rooms.send_knock(&origin, room_id, event_id, &request.pdu).await?;
    let state = state.into_iter().map(RawStrippedState::Pdu).collect();
    Ok(create_knock_event::v1::Response::new(state))
}

/// `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`
pub async fn create_invite(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(invites): State<Invites>,
    State(limits): State<RateLimiter>,
    Incoming { requester: origin, request: Adapted(request, _) }: Incoming<
        Adapted<create_invite::v2::Request, InviteState>,
    >,
) -> Result<create_invite::v2::Response, ApiError> {
    let create_invite::v2::Request { room_id, event_id, room_version, event, .. } = request;
    let state: Vec<&RawValue> = request.invite_room_state.iter().map(entry).collect();
    let place = (&*room_id, &*event_id);
    let invite = rooms.check_invite(&origin, place, room_version, &event, &state).await?;
    limits.check(Action::Invite, &invite.inviter)?;
    match users.get(&invite.invited).await? {
        None => return Err(ApiError::not_found("This user does not exist")),
        Some(user) if user.deactivated => {
            return Err(ApiError::forbidden("This user's account is closed"));
        }
        Some(_) => {}
    }
    if invites.verdict(&invite.invited, &invite.inviter).await? == Verdict::Block {
        return Err(HandshakeError::InviteBlocked.into());
    }
    let signed = rooms.accept_invite(&origin, place, invite).await?;
    Ok(create_invite::v2::Response::new(signed))
}

/// `PUT /_matrix/federation/v1/invite/{roomId}/{eventId}`
/// It can only be about rooms of version 1 or 2, which this server does not take part in.
pub async fn create_invite_v1(
    _: Incoming<create_invite::v1::Request>,
) -> Result<create_invite::v1::Response, ApiError> {
    Err(HandshakeError::IncompatibleVersion(RoomVersionId::V1).into())
}

fn entry(entry: &RawStrippedState) -> &RawValue {
    #[allow(deprecated, reason = "servers of old send it")]
    match entry {
        RawStrippedState::Pdu(event) => event,
        RawStrippedState::Stripped(stripped) => stripped.json(),
        _ => RawValue::NULL,
    }
}

/// `invite_room_state` may be left away, and ruma would refuse the whole request for one entry that is no
/// object.
pub struct InviteState;

impl Adapt for InviteState {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        match body.entry("invite_room_state").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(entries) => entries.retain(Value::is_object),
            other => *other = Value::Array(Vec::new()),
        }
        Ok(())
    }
}
