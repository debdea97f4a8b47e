//! The published rooms.

use kith_federation::remotes::Remotes;
use ruma::{
    UInt,
    api::{
        client::{
            directory::{
                get_public_rooms, get_public_rooms_filtered, get_room_visibility,
                set_room_visibility,
            },
            room::Visibility,
        },
        federation::directory as federation,
    },
    directory::{Filter, PublicRoomsChunk, RoomNetwork},
};
use serde_json::{Map, Value};

use crate::{
    api::{
        ApiError,
        adapt::{Adapt, Adapted},
        incoming::{Incoming, State},
    },
    rate_limit::{Action, RateLimiter},
    room::{Rooms, directory::Published},
};

/// How many rooms one answer holds at most, and without a limit from the client.
const MAX_ROOMS: usize = 500;
const DEFAULT_ROOMS: usize = 100;

/// A room is made public if nothing else is said.
pub struct PublicByDefault;

impl Adapt for PublicByDefault {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        body.entry("visibility").or_insert_with(|| Visibility::Public.as_str().into());
        Ok(())
    }
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
pub async fn get_room_visibility(
    State(rooms): State<Rooms>,
    Incoming { request, .. }: Incoming<get_room_visibility::v3::Request>,
) -> Result<get_room_visibility::v3::Response, ApiError> {
    let room = rooms.get(&request.room_id).await?;
    let room = room.ok_or_else(|| ApiError::not_found("Room not found"))?;
    let published = rooms.is_published(&room).await?;
    let visibility = if published { Visibility::Public } else { Visibility::Private };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

/// `PUT /_matrix/client/v3/directory/list/room/{roomId}`
pub async fn set_room_visibility(
    State(rooms): State<Rooms>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<set_room_visibility::v3::Request, PublicByDefault>,
    >,
) -> Result<set_room_visibility::v3::Response, ApiError> {
    let room = rooms.get(&request.room_id).await?;
    let room = room.ok_or_else(|| ApiError::not_found("Room not found"))?;
    let published = match request.visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        other => return Err(ApiError::invalid_param(format!("unknown visibility {other}"))),
    };
    rooms.set_published(&room, &requester, published).await?;
    Ok(set_room_visibility::v3::Response::new())
}

/// `GET /_matrix/client/v3/publicRooms`
pub async fn get_public_rooms(
    State(rooms): State<Rooms>,
    State(remotes): State<Remotes>,
    Incoming { request, .. }: Incoming<get_public_rooms::v3::Request>,
) -> Result<get_public_rooms::v3::Response, ApiError> {
    if let Some(server) = request.server.filter(|server| server != rooms.team().server_name()) {
        let mut asking = federation::get_public_rooms::v1::Request::new();
        asking.limit = Some(limit_of_remote(request.limit));
        asking.since = request.since;
        let found = remotes.request(&server, asking).await?;
        let mut response = get_public_rooms::v3::Response::new(cut(found.chunk));
        response.next_batch = found.next_batch;
        response.prev_batch = found.prev_batch;
        response.total_room_count_estimate = found.total_room_count_estimate;
        return Ok(response);
    }
    let page = Page::new(request.limit, request.since.as_deref())?;
    let found = rooms.published(&Filter::new(), page.offset, page.limit).await?;
    let mut response = get_public_rooms::v3::Response::new(Vec::new());
    response.next_batch = page.next(&found);
    response.prev_batch = page.previous();
    response.total_room_count_estimate = UInt::try_from(found.total).ok();
    response.chunk = found.rooms;
    Ok(response)
}

/// `POST /_matrix/client/v3/publicRooms`
pub async fn get_public_rooms_filtered(
    State(rooms): State<Rooms>,
    State(remotes): State<Remotes>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<get_public_rooms_filtered::v3::Request>,
) -> Result<get_public_rooms_filtered::v3::Response, ApiError> {
    limits.check(Action::Search, &requester.user_id)?;
    if let Some(server) = request.server.filter(|server| server != rooms.team().server_name()) {
        let mut asking = federation::get_public_rooms_filtered::v1::Request::new();
        asking.limit = Some(limit_of_remote(request.limit));
        asking.since = request.since;
        asking.filter = request.filter;
        asking.room_network = request.room_network;
        let found = remotes.request(&server, asking).await?;
        let mut response = get_public_rooms_filtered::v3::Response::new();
        response.chunk = cut(found.chunk);
        response.next_batch = found.next_batch;
        response.prev_batch = found.prev_batch;
        response.total_room_count_estimate = found.total_room_count_estimate;
        return Ok(response);
    }
    let page = Page::new(request.limit, request.since.as_deref())?;
    let mut response = get_public_rooms_filtered::v3::Response::new();
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        // No bridge has told us of its rooms.
        return Ok(response);
    }
    let found = rooms.published(&request.filter, page.offset, page.limit).await?;
    response.next_batch = page.next(&found);
    response.prev_batch = page.previous();
    response.total_room_count_estimate = UInt::try_from(found.total).ok();
    response.chunk = found.rooms;
    Ok(response)
}

/// How many rooms another server is asked for.
fn limit_of_remote(limit: Option<UInt>) -> UInt {
    let limit = limit.filter(|limit| *limit > UInt::MIN);
    let most = UInt::from(MAX_ROOMS as u32);
    limit.map_or(UInt::from(DEFAULT_ROOMS as u32), |limit| limit.min(most))
}

/// Whatever another server sends.
fn cut(mut rooms: Vec<PublicRoomsChunk>) -> Vec<PublicRoomsChunk> {
    rooms.truncate(MAX_ROOMS);
    rooms
}

/// Which part of the list. A token is `p` and the number of rooms before it.
pub struct Page {
    pub offset: usize,
    pub limit: usize,
}

impl Page {
    pub fn new(limit: Option<UInt>, since: Option<&str>) -> Result<Self, ApiError> {
        let offset = match since {
            None => 0,
            Some(since) => since
                .strip_prefix('p')
                .and_then(|offset| offset.parse().ok())
                .ok_or_else(|| ApiError::invalid_param("since is no token of this server"))?,
        };
        // Zero means no limit, as with other servers.
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        Ok(Self { offset, limit: limit.unwrap_or(DEFAULT_ROOMS).min(MAX_ROOMS) })
    }

    pub fn next(&self, found: &Published) -> Option<String> {
        let next = self.offset.saturating_add(self.limit);
        (next < found.total).then(|| format!("p{next}"))
    }

    pub fn previous(&self) -> Option<String> {
        (self.offset > 0).then(|| format!("p{}", self.offset.saturating_sub(self.limit)))
    }
}
