//! How a user sorts their rooms.

use ruma::{
    api::client::tag::{create_tag, delete_tag, get_tags},
    events::tag::{TagInfo, TagName, Tags},
};
use serde_json::{Value, json};

use super::config::{check_count, check_own, own_room};
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
};

/// The type of room account data in which tags are kept.
const TAG: &str = "m.tag";
/// The length of a tag's name, in bytes.
const NAME: usize = 255;
/// How many tags a room may have.
const TAGS: usize = 1000;

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
pub async fn get_tags(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_tags::v3::Request>,
) -> Result<get_tags::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let room = own_room(&rooms, &requester, &request.room_id).await?;
    let content = account_data.get(&requester.user_id, room, TAG).await?;
    // What another client stored as m.tag itself may hold anything.
    let read = |(name, info): (String, Value)| {
        let info: TagInfo = serde_json::from_value(info).unwrap_or_default();
        (TagName::from(name), info)
    };
    let tags: Tags = tags_in(content).into_iter().map(read).collect();
    Ok(get_tags::v3::Response::new(tags))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
pub async fn create_tag(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<create_tag::v3::Request>,
) -> Result<create_tag::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    if request.tag.is_empty() || request.tag.len() > NAME {
        return Err(ApiError::invalid_param(format!("a tag has 1 to {NAME} bytes")));
    }
    if request.tag_info.order.is_some_and(|order| !(0.0..=1.0).contains(&order)) {
        return Err(ApiError::invalid_param("order is a number from 0 to 1"));
    }
    let room = own_room(&rooms, &requester, &request.room_id).await?;
    check_count(&account_data, &requester.user_id, room, TAG).await?;
    let info = serde_json::to_value(&request.tag_info)?;
    let mut too_many = false;
    account_data
        .update(&requester.user_id, room, TAG, |content| {
            let mut tags = tags_in(content);
            tags.insert(request.tag, info);
            too_many = tags.len() > TAGS;
            (!too_many).then(|| json!({ "tags": tags }))
        })
        .await?;
    if too_many { Err(ApiError::too_large()) } else { Ok(create_tag::v3::Response::new()) }
}

/// `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
pub async fn delete_tag(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<delete_tag::v3::Request>,
) -> Result<delete_tag::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let room = own_room(&rooms, &requester, &request.room_id).await?;
    account_data
        .update(&requester.user_id, room, TAG, |content| {
            let mut tags = tags_in(content);
            tags.remove(&request.tag)?;
            Some(json!({ "tags": tags }))
        })
        .await?;
    Ok(delete_tag::v3::Response::new())
}

fn tags_in(content: Option<Value>) -> serde_json::Map<String, Value> {
    match content.and_then(|mut content| content.get_mut("tags").map(Value::take)) {
        Some(Value::Object(tags)) => tags,
        _ => serde_json::Map::new(),
    }
}
