//! What clients keep on the server for their user: about everything, and about a room.

use ruma::{
    RoomId, UserId,
    api::client::config::{
        get_global_account_data, get_room_account_data, set_global_account_data,
        set_room_account_data,
    },
    serde::Raw,
};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    account_data::{AccountData, GLOBAL},
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    push::rules::{PUSH_RULES, PushRules},
    room::Rooms,
    users::Requester,
};

/// The size of one content, in bytes.
const CONTENT: usize = 256 * 1024;
/// The length of a type, in bytes.
const TYPE: usize = 255;
/// How many contents one user may keep, in all rooms together.
const ROWS: usize = 20_000;

/// `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
pub async fn get_global_account_data(
    State(account_data): State<AccountData>,
    State(push_rules): State<PushRules>,
    Incoming { requester, request }: Incoming<get_global_account_data::v3::Request>,
) -> Result<get_global_account_data::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let kind = request.event_type.to_string();
    let content = match kind.as_str() {
        // Those who never changed any have the default rules.
        PUSH_RULES => Some(push_rules.content(&requester.user_id).await?),
        kind => account_data.get(&requester.user_id, GLOBAL, kind).await?,
    };
    Ok(get_global_account_data::v3::Response::new(encode(content)?))
}

/// `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
pub async fn set_global_account_data(
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<set_global_account_data::v3::Request>,
) -> Result<set_global_account_data::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let kind = request.event_type.to_string();
    let content = check_content(&kind, request.data.json())?;
    check_count(&account_data, &requester.user_id, GLOBAL, &kind).await?;
    account_data.set(&requester.user_id, GLOBAL, &kind, content).await?;
    Ok(set_global_account_data::v3::Response::new())
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
pub async fn get_room_account_data(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_room_account_data::v3::Request>,
) -> Result<get_room_account_data::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let room = own_room(&rooms, &requester, &request.room_id).await?;
    let kind = request.event_type.to_string();
    let content = account_data.get(&requester.user_id, room, &kind).await?;
    Ok(get_room_account_data::v3::Response::new(encode(content)?))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
pub async fn set_room_account_data(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<set_room_account_data::v3::Request>,
) -> Result<set_room_account_data::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let kind = request.event_type.to_string();
    let content = check_content(&kind, request.data.json())?;
    let room = own_room(&rooms, &requester, &request.room_id).await?;
    check_count(&account_data, &requester.user_id, room, &kind).await?;
    account_data.set(&requester.user_id, room, &kind, content).await?;
    Ok(set_room_account_data::v3::Response::new())
}

pub(super) fn check_own(requester: &Requester, user_id: &UserId) -> Result<(), ApiError> {
    if requester.user_id == user_id {
        return Ok(());
    }
    Err(ApiError::forbidden("These are another user's data"))
}

/// The number of a room that the requester has, or had, anything to do with. Of other rooms nothing
/// is told, not even whether they are there.
pub(super) async fn own_room(
    rooms: &Rooms,
    requester: &Requester,
    room_id: &RoomId,
) -> Result<u32, ApiError> {
    let unknown = || ApiError::not_found("You are in no such room");
    let room = rooms.get(room_id).await?.ok_or_else(unknown)?;
    let member = rooms.members().get(room.number, &requester.user_id).await?;
    member.map(|_| room.number).ok_or_else(unknown)
}

/// Refuses one more type when the user keeps very many.
pub(super) async fn check_count(
    account_data: &AccountData,
    user_id: &UserId,
    room: u32,
    kind: &str,
) -> Result<(), ApiError> {
    let data = account_data.all(user_id).await?;
    let is_new = !data.contains_key(&(room, kind.to_owned()));
    if is_new && data.len() >= ROWS { Err(ApiError::too_large()) } else { Ok(()) }
}

fn check_content(kind: &str, content: &RawValue) -> Result<Value, ApiError> {
    if matches!(kind, PUSH_RULES | "m.fully_read") {
        return Err(ApiError::server_controlled());
    }
    if kind.len() > TYPE {
        return Err(ApiError::invalid_param(format!("a type has at most {TYPE} bytes")));
    }
    if content.get().len() > CONTENT {
        return Err(ApiError::too_large());
    }
    let content: Value = serde_json::from_str(content.get())?;
    if content.is_object() { Ok(content) } else { Err(ApiError::bad_json("Not a JSON object")) }
}

fn encode<T>(content: Option<Value>) -> Result<Raw<T>, ApiError> {
    let content = content.ok_or_else(|| ApiError::not_found("There is nothing of this type"))?;
    Ok(Raw::from_json(to_raw_value(&content)?))
}
