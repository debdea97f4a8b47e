//! What relates to an event.

use ruma::{
    OwnedEventId, OwnedRoomId, UInt,
    api::{
        self,
        client::relations::{
            get_relating_events, get_relating_events_with_rel_type,
            get_relating_events_with_rel_type_and_event_type,
        },
    },
    events::{AnyMessageLikeEvent, TimelineEventType},
    serde::Raw,
};

use super::message::{direction, limit_of, timeline_events, timeline_token};
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::{
        Rooms,
        related::{RECURSION_DEPTH, RelatedAsk},
    },
    users::Requester,
};

/// How many events one page holds: unless the client says otherwise, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 200;

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}`
pub async fn get_relating_events(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_relating_events::v1::Request>,
) -> Result<get_relating_events::v1::Response, ApiError> {
    let ask = Ask {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: None,
        kind: None,
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = ask.answer(&rooms, &account_data, &requester).await?;
    let mut response = get_relating_events::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}`
pub async fn get_relating_events_with_rel_type(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_relating_events_with_rel_type::v1::Request>,
) -> Result<get_relating_events_with_rel_type::v1::Response, ApiError> {
    let ask = Ask {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: Some(request.rel_type.to_string()),
        kind: None,
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = ask.answer(&rooms, &account_data, &requester).await?;
    let mut response = get_relating_events_with_rel_type::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`
pub async fn get_relating_events_with_rel_type_and_event_type(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<
        get_relating_events_with_rel_type_and_event_type::v1::Request,
    >,
) -> Result<get_relating_events_with_rel_type_and_event_type::v1::Response, ApiError> {
    let ask = Ask {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: Some(request.rel_type.to_string()),
        kind: Some(request.event_type),
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = ask.answer(&rooms, &account_data, &requester).await?;
    let mut response =
        get_relating_events_with_rel_type_and_event_type::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

/// What the three endpoints have in common.
struct Ask {
    room_id: OwnedRoomId,
    event_id: OwnedEventId,
    rel_type: Option<String>,
    kind: Option<TimelineEventType>,
    from: Option<String>,
    to: Option<String>,
    dir: api::Direction,
    limit: Option<UInt>,
    recurse: bool,
}

struct Found {
    chunk: Vec<Raw<AnyMessageLikeEvent>>,
    next_batch: Option<String>,
    prev_batch: Option<String>,
    recursion_depth: Option<UInt>,
}

impl Ask {
    async fn answer(
        self,
        rooms: &Rooms,
        account_data: &AccountData,
        requester: &Requester,
    ) -> Result<Found, ApiError> {
        let user_id = &requester.user_id;
        let limit = limit_of(self.limit, PAGE, LONGEST_PAGE)?;
        let token = |token: Option<&str>| token.map(timeline_token).transpose();
        let (from, to) = (token(self.from.as_deref())?, token(self.to.as_deref())?);
        let not_found = || ApiError::not_found("Event not found");
        let room = rooms.get(&self.room_id).await?.ok_or_else(not_found)?;
        let mut visibility = rooms.visibility(&room, user_id).await?;
        let parent = visibility.event(&self.event_id).await?.ok_or_else(not_found)?;
        let ignored = &account_data.ignored_users(user_id).await?;
        let ask = RelatedAsk {
            rel_type: self.rel_type.as_deref(),
            kind: self.kind.as_ref(),
            recurse: self.recurse,
            from,
            to,
            direction: direction(self.dir),
            limit,
            ignored,
        };
        let page = rooms.related(&room, &parent, &mut visibility, ask).await?;
        let events = &page.events;
        let chunk =
            timeline_events(rooms, &room, requester, ignored, &mut visibility, events).await?;
        Ok(Found {
            chunk: chunk.into_iter().map(Raw::cast_unchecked).collect(),
            next_batch: page.more.then(|| page.reached.to_string()),
            prev_batch: self.from,
            recursion_depth: self.recurse.then(|| RECURSION_DEPTH.into()),
        })
    }
}
