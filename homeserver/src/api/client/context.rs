//! What was said around an event.

use ruma::{api::client::context::get_context, events::TimelineEventType};

use super::message::{limit, senders, state_events, timeline_events};
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::{
        Rooms, event_filter,
        history::{Ask, TimelineToken},
        timeline::Direction,
    },
};

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
pub async fn get_context(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_context::v3::Request>,
) -> Result<get_context::v3::Response, ApiError> {
    let not_found = || ApiError::not_found("Event not found");
    let room = rooms.get(&request.room_id).await?.ok_or_else(not_found)?;
    let mut visibility = rooms.visibility(&room, &requester.user_id).await?;
    let event = visibility.event(&request.event_id).await?.ok_or_else(not_found)?;
    let position = event.position();
    let limit = limit(request.limit, &request.filter);
    let ignored = &account_data.ignored_users(&requester.user_id).await?;
    let ask = |direction, limit| Ask {
        from: TimelineToken::beyond(position, direction),
        to: None,
        direction,
        limit,
        filter: &request.filter,
        ignored,
    };
    let backward = ask(Direction::Backward, limit / 2);
    let before = rooms.page(&room, &mut visibility, backward).await?;
    let forward = ask(Direction::Forward, limit - limit / 2);
    let after = rooms.page(&room, &mut visibility, forward).await?;

    let last = after.events.last().unwrap_or(&event);
    let mut state = if request.filter.lazy_load_options.is_disabled() {
        let snapshot = rooms.current_after(&room, last).await?;
        rooms.full_state(&room, snapshot).await?
    } else {
        let mut shown = before.events.clone();
        shown.push(event.clone());
        shown.extend(after.events.iter().cloned());
        let mut state = senders(&rooms, &room, last, &shown).await?;
        let snapshot = rooms.current_after(&room, last).await?;
        let others = rooms.full_state(&room, snapshot).await?;
        state.extend(others.into_iter().filter(|e| e.kind != TimelineEventType::RoomMember));
        state
    };
    state.retain(|event| event_filter::matches(&request.filter, event));

    let mut response = get_context::v3::Response::new();
    response.start = Some(before.reached.to_string());
    response.end = Some(after.reached.to_string());
    let (rooms, room, requester) = (&rooms, &*room, &requester);
    let visibility = &mut visibility;
    response.events_before =
        timeline_events(rooms, room, requester, ignored, visibility, &before.events).await?;
    response.event =
        timeline_events(rooms, room, requester, ignored, visibility, &[event]).await?.pop();
    response.events_after =
        timeline_events(rooms, room, requester, ignored, visibility, &after.events).await?;
    response.state = state_events(rooms, room, requester, &state).await?;
    Ok(response)
}
