//! Events and the state before them.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId,
    api::federation::event::{
        get_event, get_event_by_timestamp, get_missing_events, get_room_state, get_room_state_ids,
    },
};

use crate::{
    api::{
        ApiError,
        client::message::direction,
        incoming::{Incoming, State},
    },
    room::{Rooms, event::Event, serve_history::Gap},
};

/// `GET /_matrix/federation/v1/event/{eventId}`
pub async fn get_event(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_event::v1::Request>,
) -> Result<get_event::v1::Response, ApiError> {
    let (mut view, event) = rooms.server_view_of_event(&request.event_id, &requester).await?;
    let pdu = view.copy(&event).await?;
    let (origin, now) = (rooms.team().server_name().to_owned(), MilliSecondsSinceUnixEpoch::now());
    Ok(get_event::v1::Response::new(origin, now, pdu))
}

/// `GET /_matrix/federation/v1/state/{roomId}`
pub async fn get_room_state(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_room_state::v1::Request>,
) -> Result<get_room_state::v1::Response, ApiError> {
    let view = rooms.server_view(&request.room_id, &requester).await?;
    let event = view.event(&request.event_id).await?;
    let state = view.state_before(&event).await?;
    let chain = view.auth_chain(&state).await?;
    let pdus = |events: &[std::sync::Arc<Event>]| events.iter().map(|e| e.pdu.clone()).collect();
    Ok(get_room_state::v1::Response::new(pdus(&chain), pdus(&state)))
}

/// `GET /_matrix/federation/v1/state_ids/{roomId}`
pub async fn get_room_state_ids(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_room_state_ids::v1::Request>,
) -> Result<get_room_state_ids::v1::Response, ApiError> {
    let view = rooms.server_view(&request.room_id, &requester).await?;
    let event = view.event(&request.event_id).await?;
    let state = view.state_before(&event).await?;
    let chain = view.auth_chain(&state).await?;
    let ids = |events: &[std::sync::Arc<Event>]| -> Vec<OwnedEventId> {
        events.iter().map(|event| event.event_id.clone()).collect()
    };
    Ok(get_room_state_ids::v1::Response::new(ids(&chain), ids(&state)))
}

/// `POST /_matrix/federation/v1/get_missing_events/{roomId}`
pub async fn get_missing_events(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_missing_events::v1::Request>,
) -> Result<get_missing_events::v1::Response, ApiError> {
    let mut view = rooms.server_view(&request.room_id, &requester).await?;
    let gap = Gap {
        earliest: request.earliest_events,
        latest: request.latest_events,
        limit: usize::try_from(request.limit).unwrap_or(usize::MAX),
        least_depth: request.min_depth.into(),
    };
    let mut response = get_missing_events::v1::Response::default();
    for event in view.missing(&gap).await? {
        response.events.push(view.copy(&event).await?);
    }
    Ok(response)
}

/// `GET /_matrix/federation/v1/timestamp_to_event/{roomId}`
pub async fn get_event_by_timestamp(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_event_by_timestamp::v1::Request>,
) -> Result<get_event_by_timestamp::v1::Response, ApiError> {
    let mut view = rooms.server_view(&request.room_id, &requester).await?;
    let room = std::sync::Arc::clone(&view.room);
    let found = rooms.event_near(&room, &mut view, request.ts, direction(request.dir)).await?;
    let event = found.ok_or_else(|| ApiError::not_found("No event was found"))?;
    Ok(get_event_by_timestamp::v1::Response::new(event.event_id.clone(), event.origin_server_ts))
}
