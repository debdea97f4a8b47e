//! Names of rooms: giving, finding and removing them.

use ruma::api::client::{
    alias::{create_alias, delete_alias, get_alias},
    room::aliases,
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
};

/// How many servers of a room are named.
const SERVERS: usize = 50;

/// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
pub async fn create_alias(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<create_alias::v3::Request>,
) -> Result<create_alias::v3::Response, ApiError> {
    rooms.create_alias(request.room_alias, request.room_id, &requester.user_id).await?;
    Ok(create_alias::v3::Response::new())
}

/// `GET /_matrix/client/v3/directory/room/{roomAlias}`
pub async fn get_alias(
    State(rooms): State<Rooms>,
    Incoming { request, .. }: Incoming<get_alias::v3::Request>,
) -> Result<get_alias::v3::Response, ApiError> {
    let alias = request.room_alias;
    let not_found = || ApiError::not_found(format!("Room alias {alias} not found"));
    let (room_id, mut servers) = rooms.find_alias(&alias).await?.ok_or_else(not_found)?;
    if alias.server_name() == rooms.team().server_name() {
        servers = rooms.servers_to_join_by(&room_id, SERVERS).await?;
    }
    Ok(get_alias::v3::Response::new(room_id, servers))
}

/// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
pub async fn delete_alias(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<delete_alias::v3::Request>,
) -> Result<delete_alias::v3::Response, ApiError> {
    rooms.delete_alias(request.room_alias, &requester).await?;
    Ok(delete_alias::v3::Response::new())
}

/// `GET /_matrix/client/v3/rooms/{roomId}/aliases`
pub async fn aliases(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<aliases::v3::Request>,
) -> Result<aliases::v3::Response, ApiError> {
    let forbidden = || ApiError::forbidden("you are not in this room");
    let room = rooms.get(&request.room_id).await?.ok_or_else(forbidden)?;
    if !rooms.members().is_joined(room.number, &requester.user_id).await?
        && !rooms.is_world_readable(&room).await?
    {
        return Err(forbidden());
    }
    Ok(aliases::v3::Response::new(rooms.aliases(&room.room_id).await?))
}
