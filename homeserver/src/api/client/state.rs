//! A room's state events: setting one, reading one or all.

use ruma::{
    UserId,
    api::client::state::{
        get_state_event_for_key::{self, v3::StateEventFormat},
        get_state_events, send_state_event,
    },
    events::{AnyStateEvent, StateEventType},
    serde::Raw,
};

use serde_json::{Value, json};

use super::delayed_events::{self, Delayable};
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, JsonAnswer, State},
    },
    delayed_events::{DelayedEvents, NewDelayed},
    invites::Invites,
    predecessor::RoomSettings,
    rate_limit::{Action, RateLimiter},
    room::{Rooms, client_event::Viewer, draft::Draft, membership::is_invite},
};

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
pub async fn send_state_event(
    State(rooms): State<Rooms>,
    State(invites): State<Invites>,
    State(limits): State<RateLimiter>,
    State(settings): State<RoomSettings>,
    State(delayed): State<DelayedEvents>,
    Incoming { requester, request }: Incoming<Delayable<send_state_event::v3::Request>>,
) -> Result<JsonAnswer<Value>, ApiError> {
    limits.check(Action::Message, &requester.user_id)?;
    let Delayable { request, delay } = request;
    if let Some(delay) = delay {
        let new = NewDelayed {
            room_id: request.room_id,
            kind: request.event_type.to_string(),
            state_key: Some(request.state_key),
            content: request.body.into_json(),
            delay: delayed_events::delay(&delay)?,
            transaction_id: None,
        };
        return delayed_events::schedule(&delayed, &requester, new).await;
    }
    let own_membership = request.event_type == StateEventType::RoomMember
        && request.state_key == requester.user_id.as_str();
    let room = if own_membership {
        rooms.room_to_enter(&request.room_id, &requester).await?
    } else {
        rooms.joined_room(&request.room_id, &requester.user_id).await?
    };
    let content = request.body.into_json();
    let joins =
        own_membership && !rooms.members().is_joined(room.number, &requester.user_id).await?;
    if joins {
        limits.check(Action::Join, &requester.user_id)?;
    }
    let user_id = requester.user_id.clone();
    if request.event_type == StateEventType::RoomMember
        && is_invite(&content)
        && let Ok(invited) = UserId::parse(&request.state_key)
    {
        invites.check(&requester.user_id, &invited).await?;
    }
    let draft = Draft::state(requester.user_id, &request.event_type, request.state_key, content);
    let event_id = rooms.send_state(&room, draft).await?;
    if joins && rooms.members().is_joined(room.number, &user_id).await? {
        settings.carry_over(&user_id, &room).await?;
    }
    Ok(JsonAnswer(json!({ "event_id": event_id })))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
pub async fn get_state_event_for_key(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_state_event_for_key::v3::Request>,
) -> Result<get_state_event_for_key::v3::Response, ApiError> {
    let readable = rooms.readable(&request.room_id, &requester.user_id).await?;
    if request.event_type == StateEventType::RoomMember {
        rooms.await_members(&readable.room).await?;
    }
    let snapshot = rooms.readable_state(&readable).await?;
    let (room, kind) = (&readable.room, &request.event_type);
    let event = rooms.state_event(room, snapshot, kind, &request.state_key).await?;
    let event = event.ok_or_else(|| ApiError::not_found("The room has no such state event"))?;
    let json = match request.format {
        StateEventFormat::Event => {
            let viewer = Viewer { requester: &requester, with_room_id: true, bundling: None };
            let event: Raw<AnyStateEvent> = rooms.client_event(room, &event, viewer, None).await?;
            event.into_json()
        }
        StateEventFormat::Content => event.content.clone(),
        _ => return Err(ApiError::invalid_param("format is neither content nor event")),
    };
    Ok(get_state_event_for_key::v3::Response::new(json))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state`
pub async fn get_state_events(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_state_events::v3::Request>,
) -> Result<get_state_events::v3::Response, ApiError> {
    let readable = rooms.readable(&request.room_id, &requester.user_id).await?;
    rooms.await_members(&readable.room).await?;
    let snapshot = rooms.readable_state(&readable).await?;
    let viewer = Viewer { requester: &requester, with_room_id: true, bundling: None };
    let mut events = Vec::new();
    for event in rooms.full_state(&readable.room, snapshot).await? {
        events.push(rooms.client_event(&readable.room, &event, viewer, None).await?);
    }
    Ok(get_state_events::v3::Response::new(events))
}
