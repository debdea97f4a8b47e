//! Joining and leaving rooms, inviting and removing others, and who is there.

use std::{collections::BTreeMap, sync::Arc};

use kith_store::tables::MemberRow;
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomId, UInt, UserId,
    api::client::membership::{
        Invite3pid, ban_user, forget_room, get_member_events, get_mutual_rooms,
        invite_user::{self, v3::InvitationRecipient},
        join_room_by_id, join_room_by_id_or_alias, joined_members, joined_rooms, kick_user,
        leave_room, unban_user,
    },
    events::{StateEventType, room::member::MembershipState},
};

use super::message::timeline_token;
use crate::{
    api::{
        ApiError,
        adapt::{Adapted, OptionalBody},
        incoming::{Incoming, State},
    },
    identity::{IdentityServer, ThirdPartyId},
    invites::Invites,
    predecessor::RoomSettings,
    rate_limit::{self, RateLimiter},
    room::{
        Room, RoomError, Rooms,
        access::{ReadError, Readable},
        client_event::Viewer,
        event::Event,
        history::TimelineToken,
        membership::{Action, MemberChange},
        visibility::membership_of,
    },
    third_party_invites::ThirdPartyInvites,
    users::Requester,
};

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
pub async fn join_room_by_id(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    State(settings): State<RoomSettings>,
    Incoming { requester, request }: Incoming<join_room_by_id::v3::Request>,
) -> Result<join_room_by_id::v3::Response, ApiError> {
    limits.check(rate_limit::Action::Join, &requester.user_id)?;
    join(&rooms, &settings, &request.room_id, &[], &requester, request.reason).await?;
    Ok(join_room_by_id::v3::Response::new(request.room_id))
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
pub async fn join_room_by_id_or_alias(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    State(settings): State<RoomSettings>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<join_room_by_id_or_alias::v3::Request, OptionalBody>,
    >,
) -> Result<join_room_by_id_or_alias::v3::Response, ApiError> {
    limits.check(rate_limit::Action::Join, &requester.user_id)?;
    let (room_id, via) = resolve(&rooms, request.room_id_or_alias, request.via).await?;
    join(&rooms, &settings, &room_id, &via, &requester, request.reason).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

async fn join(
    rooms: &Rooms,
    settings: &RoomSettings,
    room_id: &RoomId,
    via: &[OwnedServerName],
    requester: &Requester,
    reason: Option<String>,
) -> Result<(), ApiError> {
    let (user_id, guest) = (&requester.user_id, requester.guest);
    let (room, is_new) = rooms.join_anywhere(room_id, user_id, guest, via, reason).await?;
    if is_new {
        settings.carry_over(&requester.user_id, &room).await?;
    }
    Ok(())
}

/// The room ID itself, or the one that an alias points to; and servers that are in the room.
pub(super) async fn resolve(
    rooms: &Rooms,
    id: OwnedRoomOrAliasId,
    mut via: Vec<OwnedServerName>,
) -> Result<(OwnedRoomId, Vec<OwnedServerName>), ApiError> {
    match OwnedRoomId::try_from(id) {
        Ok(room_id) => Ok((room_id, via)),
        Err(alias) => {
            let found = rooms.find_alias(&alias).await?;
            let (room_id, servers) = found
                .ok_or_else(|| ApiError::not_found(format!("Room alias {alias} not found")))?;
            via.extend(servers);
            Ok((room_id, via))
        }
    }
}

/// `POST /_matrix/client/v3/rooms/{roomId}/leave`
pub async fn leave_room(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<leave_room::v3::Request>,
) -> Result<leave_room::v3::Response, ApiError> {
    let room = rooms.get(&request.room_id).await?;
    let room = room.ok_or_else(|| ApiError::forbidden("you are not in this room"))?;
    rooms.leave(&room, &requester.user_id, request.reason).await?;
    Ok(leave_room::v3::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/forget`
pub async fn forget_room(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<forget_room::v3::Request>,
) -> Result<forget_room::v3::Response, ApiError> {
    let room = rooms.get(&request.room_id).await?;
    let room = room.ok_or_else(|| ApiError::not_found("you have nothing to do with this room"))?;
    rooms.forget(&room, &requester.user_id).await?;
    Ok(forget_room::v3::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/invite`
pub async fn invite_user(
    State(rooms): State<Rooms>,
    State(invites): State<Invites>,
    State(third_party_invites): State<ThirdPartyInvites>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<invite_user::v3::Request>,
) -> Result<invite_user::v3::Response, ApiError> {
    limits.check(rate_limit::Action::Invite, &requester.user_id)?;
    // Who is not in the room learns nothing of what others block.
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    let invited = match request.recipient {
        InvitationRecipient::UserId(invited) => invited,
        InvitationRecipient::ThirdPartyId(invited) => {
            let (server, id) = third_party(invited)?;
            third_party_invites.invite(&room, &requester.user_id, &server, &id).await?;
            return Ok(invite_user::v3::Response::new());
        }
        _ => return Err(ApiError::bad_json("Whom to invite?")),
    };
    invites.check(&requester.user_id, &invited.user_id).await?;
    let change = MemberChange::new(Action::Invite).because(invited.reason);
    change_other(&rooms, &request.room_id, &requester, invited.user_id, change).await?;
    Ok(invite_user::v3::Response::new())
}

/// By what somebody is to be invited, and which identity server is to be asked about it.
pub(super) fn third_party(invited: Invite3pid) -> Result<(IdentityServer, ThirdPartyId), ApiError> {
    let name = OwnedServerName::try_from(invited.id_server.as_str());
    let name = name.map_err(|_| ApiError::invalid_param("`id_server` is no host name"))?;
    let server = IdentityServer { name, token: invited.id_access_token };
    let (medium, address) = (invited.medium.to_string(), invited.address);
    if address.is_empty() || address.len() > 500 || address.contains(char::is_whitespace) {
        return Err(ApiError::invalid_param("`address` is no address"));
    }
    // Addresses are compared in this form.
    let address = if medium == "email" { address.to_lowercase() } else { address };
    Ok((server, ThirdPartyId { medium, address }))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/kick`
pub async fn kick_user(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<kick_user::v3::Request>,
) -> Result<kick_user::v3::Response, ApiError> {
    let change = MemberChange::new(Action::Kick).because(request.reason);
    change_other(&rooms, &request.room_id, &requester, request.user_id, change).await?;
    Ok(kick_user::v3::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/ban`
pub async fn ban_user(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<ban_user::v3::Request>,
) -> Result<ban_user::v3::Response, ApiError> {
    let change = MemberChange::new(Action::Ban).because(request.reason);
    change_other(&rooms, &request.room_id, &requester, request.user_id, change).await?;
    Ok(ban_user::v3::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/unban`
pub async fn unban_user(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<unban_user::v3::Request>,
) -> Result<unban_user::v3::Response, ApiError> {
    let change = MemberChange::new(Action::Unban).because(request.reason);
    change_other(&rooms, &request.room_id, &requester, request.user_id, change).await?;
    Ok(unban_user::v3::Response::new())
}

async fn change_other(
    rooms: &Rooms,
    room_id: &RoomId,
    requester: &Requester,
    target: OwnedUserId,
    change: MemberChange,
) -> Result<(), ApiError> {
    let room = rooms.joined_room(room_id, &requester.user_id).await?;
    rooms.set_membership(&room, &requester.user_id, &target, change).await?;
    Ok(())
}

/// `GET /_matrix/client/v3/joined_rooms`
pub async fn joined_rooms(
    State(rooms): State<Rooms>,
    Incoming { requester, .. }: Incoming<joined_rooms::v3::Request>,
) -> Result<joined_rooms::v3::Response, ApiError> {
    let mut joined = Vec::new();
    for (number, row) in rooms.members().of_user(&requester.user_id).await?.iter() {
        if row.membership == MembershipState::Join {
            joined.extend(rooms.room_id(*number).await?);
        }
    }
    Ok(joined_rooms::v3::Response::new(joined))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
pub async fn joined_members(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<joined_members::v3::Request>,
) -> Result<joined_members::v3::Response, ApiError> {
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    rooms.await_members(&room).await?;
    let mut joined = BTreeMap::new();
    for (user_id, row) in rooms.members().of_room(room.number).await? {
        if row.membership == MembershipState::Join {
            let mut member = joined_members::v3::RoomMember::new();
            member.display_name = row.display_name;
            member.avatar_url = row.avatar_url.map(Into::into);
            joined.insert(user_id, member);
        }
    }
    Ok(joined_members::v3::Response::new(joined))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
pub async fn get_member_events(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_member_events::v3::Request>,
) -> Result<get_member_events::v3::Response, ApiError> {
    let readable = rooms.readable(&request.room_id, &requester.user_id).await?;
    rooms.await_members(&readable.room).await?;
    let wanted = |membership: &MembershipState| {
        // With both parameters either is enough.
        match (&request.membership, &request.not_membership) {
            (None, None) => true,
            (is, not) => {
                is.as_ref().is_some_and(|is| is == membership)
                    || not.as_ref().is_some_and(|not| not != membership)
            }
        }
    };
    let events = match &request.at {
        None if readable.left.is_none() => current_members(&rooms, &readable.room, wanted).await?,
        at => {
            let at = at.as_deref().map(timeline_token).transpose()?;
            members_at(&rooms, &readable, &requester.user_id, at, wanted).await?
        }
    };
    let viewer = Viewer { requester: &requester, with_room_id: true, bundling: None };
    let mut chunk = Vec::with_capacity(events.len());
    for event in events {
        chunk.push(rooms.client_event(&readable.room, &event, viewer, None).await?);
    }
    Ok(get_member_events::v3::Response::new(chunk))
}

async fn current_members(
    rooms: &Rooms,
    room: &Room,
    wanted: impl Fn(&MembershipState) -> bool,
) -> Result<Vec<Arc<Event>>, RoomError> {
    let mut events = Vec::new();
    for (_, MemberRow { membership, event, .. }) in rooms.members().of_room(room.number).await? {
        if wanted(&membership) {
            events.push(rooms.event(room, event).await?);
        }
    }
    Ok(events)
}

/// The members at a point of the timeline, or when the user left if that was before.
async fn members_at(
    rooms: &Rooms,
    readable: &Readable,
    user_id: &UserId,
    at: Option<TimelineToken>,
    wanted: impl Fn(&MembershipState) -> bool,
) -> Result<Vec<Arc<Event>>, ReadError> {
    let snapshot = rooms.readable_state_at(readable, user_id, at).await?;
    let kind = StateEventType::RoomMember;
    let mut events = rooms.state_of_type(&readable.room, snapshot, &kind).await?;
    events.retain(|event| wanted(&membership_of(event)));
    Ok(events)
}

/// How many rooms one page of mutual rooms holds.
const MUTUAL_ROOMS: usize = 200;

/// `GET /_matrix/client/v1/mutual_rooms`
pub async fn get_mutual_rooms(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<get_mutual_rooms::v1::Request>,
) -> Result<get_mutual_rooms::v1::Response, ApiError> {
    limits.check(rate_limit::Action::Search, &requester.user_id)?;
    let found = mutual_rooms(&rooms, &requester, &request.user_id, request.from).await?;
    let mut response = get_mutual_rooms::v1::Response::new(found.count, found.joined);
    response.next_batch = found.next_batch;
    Ok(response)
}

/// `GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms`
pub async fn get_mutual_rooms_unstable(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<get_mutual_rooms::unstable::Request>,
) -> Result<get_mutual_rooms::unstable::Response, ApiError> {
    limits.check(rate_limit::Action::Search, &requester.user_id)?;
    let found = mutual_rooms(&rooms, &requester, &request.user_id, request.from).await?;
    let mut response = get_mutual_rooms::unstable::Response::new(found.joined);
    response.next_batch = found.next_batch;
    Ok(response)
}

struct MutualRooms {
    count: UInt,
    joined: Vec<OwnedRoomId>,
    next_batch: Option<String>,
}

/// Rooms in which both are, in the order in which this server came to know them. Tokens are the number
/// of the room before the page, and never expire.
async fn mutual_rooms(
    rooms: &Rooms,
    requester: &Requester,
    user_id: &UserId,
    from: Option<String>,
) -> Result<MutualRooms, ApiError> {
    if *user_id == requester.user_id {
        return Err(ApiError::invalid_param("`user_id` is your own"));
    }
    if user_id.validate_strict().is_err() {
        return Err(ApiError::invalid_param("`user_id` is not a user ID of today's grammar"));
    }
    let unknown = |_| ApiError::invalid_param("unknown pagination token");
    let after = from.map(|from| from.parse::<u32>()).transpose().map_err(unknown)?;
    let numbers = rooms.members().mutual_rooms(&requester.user_id, user_id).await?;
    let count = UInt::new_saturating(numbers.len() as u64);
    let mut rest: Vec<_> =
        numbers.into_iter().filter(|number| after.is_none_or(|after| *number > after)).collect();
    let more = rest.len() > MUTUAL_ROOMS;
    rest.truncate(MUTUAL_ROOMS);
    let next_batch = rest.last().filter(|_| more).map(ToString::to_string);
    let mut joined = Vec::with_capacity(rest.len());
    for number in rest {
        joined.extend(rooms.room_id(number).await?);
    }
    Ok(MutualRooms { count, joined, next_batch })
}
