//! Who is typing?

use ruma::api::client::typing::create_typing_event;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    room::Rooms,
    typing::Typing,
};

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
pub async fn create_typing_event(
    State(limits): State<RateLimiter>,
    State(rooms): State<Rooms>,
    State(typing): State<Typing>,
    State(presence): State<Presence>,
    Incoming { requester, request }: Incoming<create_typing_event::v3::Request>,
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
