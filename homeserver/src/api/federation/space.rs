//! A space and the rooms in it, for servers whose users may join them.

use ruma::{
    api::federation::space::{SpaceHierarchyParentSummary, get_hierarchy},
    serde::Raw,
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::{Rooms, draft},
};

/// `GET /_matrix/federation/v1/hierarchy/{roomId}`
pub async fn get_hierarchy(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_hierarchy::v1::Request>,
) -> Result<get_hierarchy::v1::Response, ApiError> {
    let found =
        rooms.space_for_server(&request.room_id, &requester, request.suggested_only).await?;
    let found = found.ok_or_else(|| ApiError::not_found("Room does not exist"))?;
    let children = found.room.children.iter().map(|child| Raw::from_json(draft::raw(child)));
    let room = SpaceHierarchyParentSummary::new(found.room.summary, children.collect());
    let mut response = get_hierarchy::v1::Response::new(room);
    response.children = found.children;
    response.inaccessible_children = found.inaccessible;
    Ok(response)
}
