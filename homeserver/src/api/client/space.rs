//! Spaces: the rooms in them.

use ruma::{
    api::client::space::{SpaceHierarchyRoomsChunk, get_hierarchy},
    serde::Raw,
};

use super::message::limit_of;
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    rate_limit::{Action, RateLimiter},
    room::{
        Rooms, draft,
        space::{DEEPEST, FoundRoom, SpaceAsk},
    },
};

/// How many rooms one page holds: unless the client says otherwise, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 100;

/// `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`
pub async fn get_hierarchy(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<get_hierarchy::v1::Request>,
) -> Result<get_hierarchy::v1::Response, ApiError> {
    limits.check(Action::Search, &requester.user_id)?;
    let max_depth = request.max_depth.and_then(|depth| u32::try_from(u64::from(depth)).ok());
    let ask = SpaceAsk {
        space: request.room_id,
        user_id: requester.user_id,
        suggested_only: request.suggested_only,
        max_depth: max_depth.unwrap_or(DEEPEST).min(DEEPEST),
    };
    let limit = limit_of(request.limit, PAGE, LONGEST_PAGE)?;
    let page = rooms.walk_space(ask, request.from.as_deref(), limit).await?;
    let encode = |room: FoundRoom| {
        let children = room.children.iter().map(|child| Raw::from_json(draft::raw(child)));
        SpaceHierarchyRoomsChunk::new(room.summary, children.collect())
    };
    let mut response = get_hierarchy::v1::Response::new();
    response.rooms = page.rooms.into_iter().map(encode).collect();
    response.next_batch = page.next;
    Ok(response)
}
