//! Questions for what has no endpoint of its own.

use ruma::api::federation::query::{
    get_custom_information, get_profile_information, get_room_information,
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
    users::{Profiles, Users},
};

/// How many servers of a room are named.
const SERVERS: usize = 50;

/// `GET /_matrix/federation/v1/query/directory`
pub async fn get_room_information(
    State(rooms): State<Rooms>,
    Incoming { request, .. }: Incoming<get_room_information::v1::Request>,
) -> Result<get_room_information::v1::Response, ApiError> {
    let not_found = || ApiError::not_found("Room alias not found");
    let room_id = rooms.resolve_alias(&request.room_alias).await?.ok_or_else(not_found)?;
    let servers = rooms.servers_to_join_by(&room_id, SERVERS).await?;
    Ok(get_room_information::v1::Response::new(room_id, servers))
}

/// `GET /_matrix/federation/v1/query/profile`
pub async fn get_profile_information(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(profiles): State<Profiles>,
    Incoming { request, .. }: Incoming<get_profile_information::v1::Request>,
) -> Result<get_profile_information::v1::Response, ApiError> {
    let user_id = &request.user_id;
    if !rooms.team().is_ours(user_id) {
        return Err(ApiError::invalid_param("This user is not of this server"));
    }
    let user = users.get(user_id).await?;
    if user.is_none_or(|user| user.deactivated) {
        return Err(ApiError::not_found("There is no profile of this user"));
    }
    let mut profile = profiles.get(user_id).await?;
    if let Some(field) = request.field {
        profile.retain(|name, _| name == field.as_str());
    }
    let mut response = get_profile_information::v1::Response::new();
    for (field, value) in profile {
        response.set(field, value);
    }
    Ok(response)
}

/// `GET /_matrix/federation/v1/query/{queryType}`
pub async fn get_custom_information(
    Incoming { request, .. }: Incoming<get_custom_information::v1::Request>,
) -> Result<get_custom_information::v1::Response, ApiError> {
    let kind = request.query_type;
    Err(ApiError::not_found(format!("This server answers no questions of the type {kind}")))
}
