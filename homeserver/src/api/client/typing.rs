//! Who is typing?

use ruma::api::client::typing::create_typing_event;
use serde_json::{Map, Value};

use crate::{
    api::{
        ApiError,
        adapt::{Adapt, Adapted},
        incoming::{Incoming, State},
    },
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    room::Rooms,
    typing::Typing,
};

/// How long somebody types who does not say how long, in milliseconds.
const TIMEOUT: u64 = 30_000;

/// Only `typing` is required.
pub struct DefaultTimeout;

impl Adapt for DefaultTimeout {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        body.entry("timeout").or_insert_with(|| TIMEOUT.into());
        Ok(())
    }
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
pub async fn create_typing_event(
    State(limits): State<RateLimiter>,
    State(rooms): State<Rooms>,
    State(typing): State<Typing>,
    State(presence): State<Presence>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<create_typing_event::v3::Request, DefaultTimeout>,
    >,
) -> Result<create_typing_event::v3::Response, ApiError> {
    if request.user_id != requester.user_id {
        return Err(ApiError::forbidden("You can only type for yourself"));
    }
    limits.check(Action::Ephemeral, &requester.user_id)?;
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    let timeout = match request.state {
        create_typing_event::v3::Typing::Yes(info) => Some(info.timeout),
        create_typing_event::v3::Typing::No => None,
    };
    typing.set(room.number, &requester.user_id, timeout).await?;
    presence.active(&requester).await?;
    Ok(create_typing_event::v3::Response::new())
}
