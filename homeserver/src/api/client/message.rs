//! Messages: sending one, and reading back through a room's history.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    UInt,
    api::{
        self,
        client::{
            filter::RoomEventFilter,
            message::{get_message_events, send_message_event},
        },
    },
    events::{AnyStateEvent, AnyTimelineEvent, StateEventType},
    serde::Raw,
};

use serde_json::{Value, json};

use super::delayed_events::{self, Delayable};
use crate::{
    account_data::{AccountData, IgnoredUsers},
    api::{
        ApiError,
        incoming::{Incoming, JsonAnswer, State},
    },
    delayed_events::{DelayedEvents, NewDelayed},
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    room::{
        Room, RoomError, Rooms,
        client_event::Viewer,
        draft::Draft,
        event::Event,
        history::{Ask, TimelineToken},
        timeline::Direction,
        visibility::Visibility,
    },
    sync::{SyncToken, sliding::Position},
    users::Requester,
};

/// How many events one answer holds at most, whatever the client asks for.
const MAX_EVENTS: usize = 1_000;

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
/// Repeating a transaction ID on one device returns the first event's ID.
pub async fn send_message_event(
    State(rooms): State<Rooms>,
    State(presence): State<Presence>,
    State(limits): State<RateLimiter>,
    State(delayed): State<DelayedEvents>,
    Incoming { requester, request }: Incoming<Delayable<send_message_event::v3::Request>>,
) -> Result<JsonAnswer<Value>, ApiError> {
    limits.check(Action::Message, &requester.user_id)?;
    let Delayable { request, delay } = request;
    if let Some(delay) = delay {
        let new = NewDelayed {
            room_id: request.room_id,
            kind: request.event_type.to_string(),
            state_key: None,
            content: request.body.into_json(),
            delay: delayed_events::delay(&delay)?,
            transaction_id: Some(&request.txn_id),
        };
        return delayed_events::schedule(&delayed, &requester, new).await;
    }
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    let kind = request.event_type.to_string().into();
    let draft = Draft::message(requester.user_id.clone(), kind, request.body.into_json());
    let event_id = rooms.send_once(&requester, &room, request.txn_id, draft).await?;
    presence.active(&requester).await?;
    Ok(JsonAnswer(json!({ "event_id": event_id })))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
pub async fn get_message_events(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_message_events::v3::Request>,
) -> Result<get_message_events::v3::Response, ApiError> {
    let readable = rooms.readable(&request.room_id, &requester.user_id).await?;
    let direction = direction(request.dir);
    let from = match &request.from {
        Some(from) => timeline_token(from)?,
        None => rooms.readable_end(&readable, direction).await?,
    };
    let ignored = account_data.ignored_users(&requester.user_id).await?;
    let ask = Ask {
        from,
        to: request.to.as_deref().map(timeline_token).transpose()?,
        direction,
        limit: limit(request.limit, &request.filter).max(1),
        filter: &request.filter,
        ignored: &ignored,
    };
    let room = &readable.room;
    let mut visibility = rooms.visibility(room, &requester.user_id).await?;
    let page = rooms.page(room, &mut visibility, ask).await?;

    let mut response = get_message_events::v3::Response::new();
    response.start = from.to_string();
    response.end = page.more.then(|| page.reached.to_string());
    if let Some(first) = page.events.first()
        && !request.filter.lazy_load_options.is_disabled()
    {
        let senders = senders(&rooms, room, first, &page.events).await?;
        response.state = state_events(&rooms, room, &requester, &senders).await?;
    }
    response.chunk =
        timeline_events(&rooms, room, &requester, &ignored, &mut visibility, &page.events).await?;
    Ok(response)
}

/// A token of `/messages`, or one of `/sync`, or a `pos` of sliding sync.
pub(super) fn timeline_token(token: &str) -> Result<TimelineToken, ApiError> {
    if let Ok(sync) = token.parse::<SyncToken>() {
        return Ok(TimelineToken(sync.position.cast_signed()));
    }
    if let Ok(position) = token.parse::<Position>() {
        return Ok(TimelineToken(position.token.position.cast_signed()));
    }
    Ok(token.parse()?)
}

pub(in crate::api) fn direction(direction: api::Direction) -> Direction {
    match direction {
        api::Direction::Backward => Direction::Backward,
        api::Direction::Forward => Direction::Forward,
    }
}

/// The smaller of the request's limit and its filter's.
pub(super) fn limit(limit: UInt, filter: &RoomEventFilter) -> usize {
    let limit = filter.limit.map_or(limit, |in_filter| in_filter.min(limit));
    usize::try_from(limit).unwrap_or(MAX_EVENTS).min(MAX_EVENTS)
}

/// The length of a page of a list whose `limit` must not be zero.
pub(super) fn limit_of(
    asked: Option<UInt>,
    default: usize,
    most: usize,
) -> Result<usize, ApiError> {
    match asked.map(|limit| usize::try_from(limit).unwrap_or(most)) {
        Some(0) => Err(ApiError::invalid_param("`limit` is greater than zero")),
        Some(limit) => Ok(limit.min(most)),
        None => Ok(default),
    }
}

/// The member events of those who sent something, as of the first of these events.
pub(super) async fn senders(
    rooms: &Rooms,
    room: &Room,
    as_of: &Event,
    events: &[Arc<Event>],
) -> Result<Vec<Arc<Event>>, RoomError> {
    let snapshot = rooms.current_after(room, as_of).await?;
    let users: BTreeSet<_> = events.iter().map(|event| event.sender.clone()).collect();
    let mut members = Vec::new();
    for user_id in users {
        let kind = StateEventType::RoomMember;
        members.extend(rooms.state_event(room, snapshot, &kind, user_id.as_str()).await?);
    }
    Ok(members)
}

/// Events with the requester's membership at each, and what relates to them.
pub(super) async fn timeline_events(
    rooms: &Rooms,
    room: &Room,
    requester: &Requester,
    ignored: &IgnoredUsers,
    visibility: &mut Visibility<'_>,
    events: &[Arc<Event>],
) -> Result<Vec<Raw<AnyTimelineEvent>>, RoomError> {
    rooms.find_children_of(room, events).await?;
    let viewer = Viewer { requester, with_room_id: true, bundling: Some(ignored) };
    let mut chunk = Vec::with_capacity(events.len());
    for event in events {
        let membership = visibility.membership_at(event).await?;
        chunk.push(rooms.client_event(room, event, viewer, Some(membership)).await?);
    }
    Ok(chunk)
}

pub(super) async fn state_events(
    rooms: &Rooms,
    room: &Room,
    requester: &Requester,
    events: &[Arc<Event>],
) -> Result<Vec<Raw<AnyStateEvent>>, RoomError> {
    let viewer = Viewer { requester, with_room_id: true, bundling: None };
    let mut state = Vec::with_capacity(events.len());
    for event in events {
        state.push(rooms.client_event(room, event, viewer, None).await?);
    }
    Ok(state)
}
