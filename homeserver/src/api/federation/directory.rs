//! Our published rooms, for other servers.

use ruma::{
    UInt,
    api::federation::directory::{get_public_rooms, get_public_rooms_filtered},
    directory::{Filter, RoomNetwork},
};

use crate::{
    api::{
        ApiError,
        client::directory::Page,
        incoming::{Incoming, State},
    },
    room::Rooms,
};

/// `GET /_matrix/federation/v1/publicRooms`
pub async fn get_public_rooms(
    State(rooms): State<Rooms>,
    Incoming { request, .. }: Incoming<get_public_rooms::v1::Request>,
) -> Result<get_public_rooms::v1::Response, ApiError> {
    let page = Page::new(request.limit, request.since.as_deref())?;
    let mut response = get_public_rooms::v1::Response::new();
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        return Ok(response);
    }
    let found = rooms.published(&Filter::new(), page.offset, page.limit).await?;
    response.next_batch = page.next(&found);
    response.prev_batch = page.previous();
    response.total_room_count_estimate = UInt::try_from(found.total).ok();
    response.chunk = found.rooms;
    Ok(response)
}

/// `POST /_matrix/federation/v1/publicRooms`
pub async fn get_public_rooms_filtered(
    State(rooms): State<Rooms>,
    Incoming { request, .. }: Incoming<get_public_rooms_filtered::v1::Request>,
) -> Result<get_public_rooms_filtered::v1::Response, ApiError> {
    let page = Page::new(request.limit, request.since.as_deref())?;
    let mut response = get_public_rooms_filtered::v1::Response::new();
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        return Ok(response);
    }
    let found = rooms.published(&request.filter, page.offset, page.limit).await?;
    response.next_batch = page.next(&found);
    response.prev_batch = page.previous();
    response.total_room_count_estimate = UInt::try_from(found.total).ok();
    response.chunk = found.rooms;
    Ok(response)
}
