//! Rooms as such: making one, and single events of it.

use ruma::{
    OwnedRoomAliasId, UserId,
    api::client::room::{
        Visibility,
        create_room::{self, v3::RoomPreset},
        get_event_by_timestamp, get_room_event, get_summary, upgrade_room,
    },
    events::{StateEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{membership::third_party, message::direction};
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{ClientAddress, Incoming, State},
    },
    invites::Invites,
    predecessor::RoomSettings,
    rate_limit::{Action, RateLimiter, Who},
    room::{
        Rooms, SendError,
        client_event::Viewer,
        create::{NewRoom, Preset},
    },
    third_party_invites::ThirdPartyInvites,
    users::Requester,
};

/// More invites and initial state events than anybody needs, and few enough for one commit.
const MAX_INVITES: usize = 1_000;
const MAX_INITIAL_STATE: usize = 1_000;
/// Each asks another server.
const MAX_INVITES_BY_ADDRESS: usize = 20;

/// `POST /_matrix/client/v3/createRoom`
pub async fn create_room(
    State(rooms): State<Rooms>,
    State(invites): State<Invites>,
    State(third_party_invites): State<ThirdPartyInvites>,
    State(limits): State<RateLimiter>,
    Incoming { requester, mut request }: Incoming<create_room::v3::Request>,
) -> Result<create_room::v3::Response, ApiError> {
    limits.check(Action::RoomCreation, &requester.user_id)?;
    let creator = requester.user_id.clone();
    let by_address = std::mem::take(&mut request.invite_3pid);
    if by_address.len() > MAX_INVITES_BY_ADDRESS {
        return Err(ApiError::too_large());
    }
    let by_address: Vec<_> = by_address.into_iter().map(third_party).collect::<Result<_, _>>()?;
    let new = new_room(&rooms, requester, request)?;
    for invited in new.invited() {
        invites.check(&new.creator, &invited).await?;
    }
    let room = rooms.create(new).await?;
    for (server, id) in by_address {
        // The room is there, and they can be invited again.
        if let Err(error) = third_party_invites.invite(&room, &creator, &server, &id).await {
            tracing::info!(room_id = %room.room_id, %error, "cannot invite somebody by an address");
        }
    }
    Ok(create_room::v3::Response::new(room.room_id.clone()))
}

fn new_room(
    rooms: &Rooms,
    requester: Requester,
    request: create_room::v3::Request,
) -> Result<NewRoom, ApiError> {
    let published = match request.visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        other => return Err(ApiError::bad_json(format!("unknown visibility {other}"))),
    };
    let preset = match request.preset {
        Some(RoomPreset::PrivateChat) => Preset::PrivateChat,
        Some(RoomPreset::TrustedPrivateChat) => Preset::TrustedPrivateChat,
        Some(RoomPreset::PublicChat) => Preset::PublicChat,
        Some(other) => return Err(ApiError::bad_json(format!("unknown preset {other}"))),
        None if published => Preset::PublicChat,
        None => Preset::PrivateChat,
    };
    if request.invite.len() > MAX_INVITES || request.initial_state.len() > MAX_INITIAL_STATE {
        return Err(ApiError::too_large());
    }
    let mut invite = request.invite;
    invite.retain(|user_id| *user_id != requester.user_id);
    invite.sort();
    invite.dedup();
    let alias = request.room_alias_name.map(|name| alias(rooms, &name)).transpose()?;
    let version = request.room_version;
    let version = version.unwrap_or_else(|| rooms.team().config().default_room_version.clone());
    Ok(NewRoom {
        creator: requester.user_id,
        version,
        creation_content: parse_or_default(request.creation_content.as_ref())?,
        preset,
        power_level_content_override: parse_or_default(
            request.power_level_content_override.as_ref(),
        )?,
        initial_state: request.initial_state.iter().map(initial_state).collect::<Result<_, _>>()?,
        name: request.name,
        topic: request.topic,
        alias,
        invite,
        is_direct: request.is_direct,
        published,
    })
}

/// The whole alias for a local part.
fn alias(rooms: &Rooms, local_part: &str) -> Result<OwnedRoomAliasId, ApiError> {
    let invalid = || ApiError::invalid_param(format!("{local_part:?} cannot be a room alias"));
    if local_part.is_empty() || local_part.contains([':', '\0']) {
        return Err(invalid());
    }
    let alias = format!("#{local_part}:{}", rooms.team().server_name());
    OwnedRoomAliasId::try_from(alias).map_err(|_| invalid())
}

fn parse_or_default<T, U: DeserializeOwned + Default>(raw: Option<&Raw<T>>) -> Result<U, ApiError> {
    match raw {
        Some(raw) => Ok(serde_json::from_str(raw.json().get())?),
        None => Ok(U::default()),
    }
}

fn initial_state<T>(raw: &Raw<T>) -> Result<(StateEventType, String, Box<RawValue>), ApiError> {
    #[derive(Deserialize)]
    struct InitialState {
        #[serde(rename = "type")]
        kind: StateEventType,
        #[serde(default)]
        state_key: String,
        content: Box<RawValue>,
    }
    let event: InitialState = serde_json::from_str(raw.json().get())?;
    Ok((event.kind, event.state_key, event.content))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
pub async fn get_room_event(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_room_event::v3::Request>,
) -> Result<get_room_event::v3::Response, ApiError> {
    let not_found = || ApiError::not_found("Event not found");
    let room = rooms.get(&request.room_id).await?.ok_or_else(not_found)?;
    let mut visibility = rooms.visibility(&room, &requester.user_id).await?;
    let event = visibility.event(&request.event_id).await?.ok_or_else(not_found)?;
    let membership = visibility.membership_at(&event).await?;
    let ignored = account_data.ignored_users(&requester.user_id).await?;
    let viewer = Viewer { requester: &requester, with_room_id: true, bundling: Some(&ignored) };
    let event = rooms.client_event(&room, &event, viewer, Some(membership)).await?;
    Ok(get_room_event::v3::Response::new(event))
}

/// `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`
/// What somebody may not know of and what does not exist are answered alike.
pub async fn get_summary(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    ClientAddress(address): ClientAddress,
    Incoming { requester, request }: Incoming<get_summary::v1::Request>,
) -> Result<get_summary::v1::Response, ApiError> {
    let user_id = requester.as_ref().map(|requester| &*requester.user_id);
    match user_id {
        Some(user_id) => limits.check(Action::Search, Who::User(user_id))?,
        None => limits.check(Action::Search, address)?,
    }
    let not_found = || ApiError::not_found("Room not found");
    let room = rooms.by_id_or_alias(&request.room_id_or_alias).await?;
    let here = match &room {
        Some(room) => !rooms.local_joined(room).await?.is_empty(),
        None => false,
    };
    if !here && let Some(response) = remote_summary(&rooms, user_id, &request).await? {
        return Ok(response);
    }
    let room = room.ok_or_else(not_found)?;
    if !rooms.may_find(&room, user_id).await? {
        return Err(not_found());
    }
    let mut response = get_summary::v1::Response::new(rooms.summary(&room).await?);
    if let Some(user_id) = user_id {
        response.membership = Some(rooms.members().membership(room.number, user_id).await?);
    }
    Ok(response)
}

/// What other servers say of a room in which nobody of ours is.
async fn remote_summary(
    rooms: &Rooms,
    user_id: Option<&UserId>,
    request: &get_summary::v1::Request,
) -> Result<Option<get_summary::v1::Response>, ApiError> {
    let mut via = request.via.clone();
    let room_id = match rooms.id_of(&request.room_id_or_alias, &mut via).await {
        // Whoever keeps the alias cannot be asked.
        Err(SendError::Remote(_)) => None,
        found => found?,
    };
    let Some(room_id) = room_id else { return Ok(None) };
    via.extend(room_id.server_name().map(ToOwned::to_owned));
    let Some(room) = rooms.ask_of_room(&room_id, &via).await else { return Ok(None) };
    if !rooms.may_find_remote(&room.summary, user_id).await? {
        return Ok(None);
    }
    let mut response = get_summary::v1::Response::new(room.summary.clone());
    if let Some(user_id) = user_id {
        let membership = match rooms.get(&room_id).await? {
            Some(room) => rooms.members().membership(room.number, user_id).await?,
            None => MembershipState::Leave,
        };
        response.membership = Some(membership);
    }
    Ok(Some(response))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
pub async fn get_event_by_timestamp(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_event_by_timestamp::v1::Request>,
) -> Result<get_event_by_timestamp::v1::Response, ApiError> {
    let readable = rooms.readable(&request.room_id, &requester.user_id).await?;
    let room = &readable.room;
    let mut visibility = rooms.visibility(room, &requester.user_id).await?;
    let direction = direction(request.dir);
    let event = rooms.event_near_anywhere(room, &mut visibility, request.ts, direction).await?;
    let event = event.ok_or_else(|| ApiError::not_found("No event on that side of the moment"))?;
    let (event_id, ts) = (event.event_id.clone(), event.origin_server_ts);
    Ok(get_event_by_timestamp::v1::Response::new(event_id, ts))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/upgrade`
pub async fn upgrade_room(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    State(settings): State<RoomSettings>,
    Incoming { requester, request }: Incoming<upgrade_room::v3::Request>,
) -> Result<upgrade_room::v3::Response, ApiError> {
    limits.check(Action::RoomCreation, &requester.user_id)?;
    let user_id = &requester.user_id;
    let old = rooms.joined_room(&request.room_id, user_id).await?;
    let creators = request.additional_creators;
    let new = rooms.upgrade(&old, user_id, request.new_version, creators).await?;
    settings.carry_over(user_id, &new).await?;
    Ok(upgrade_room::v3::Response::new(new.room_id.clone()))
}
