//! Who is here?

use ruma::{
    UserId,
    api::client::presence::{get_presence, set_presence},
    presence::PresenceState,
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    room::Rooms,
};

/// `GET /_matrix/client/v3/presence/{userId}/status`
/// Only for users with whom the requester shares a room.
pub async fn get_presence(
    State(rooms): State<Rooms>,
    State(presence): State<Presence>,
    Incoming { requester, request }: Incoming<get_presence::v3::Request>,
) -> Result<get_presence::v3::Response, ApiError> {
    let user_id: &UserId = &request.user_id;
    let allowed = user_id == requester.user_id
        || rooms.members().share_a_room(&requester.user_id, user_id).await?;
    if !allowed {
        return Err(ApiError::forbidden("You share no room with this user"));
    }
    let Some(known) = presence.get(user_id) else {
        return Ok(get_presence::v3::Response::new(PresenceState::Offline));
    };
    let mut response = get_presence::v3::Response::new(known.state.clone());
    response.status_msg = known.status.clone();
    response.last_active_ago = known.last_active_ago();
    response.currently_active = Some(known.currently_active());
    Ok(response)
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
pub async fn set_presence(
    State(limits): State<RateLimiter>,
    State(presence): State<Presence>,
    Incoming { requester, request }: Incoming<set_presence::v3::Request>,
) -> Result<set_presence::v3::Response, ApiError> {
    if request.user_id != requester.user_id {
        return Err(ApiError::forbidden("You can only set your own presence"));
    }
    limits.check(Action::Ephemeral, &requester.user_id)?;
    if is_unknown(&request.presence) {
        return Err(ApiError::bad_json("`presence` is `online`, `offline` or `unavailable`"));
    }
    presence.set(&requester, request.presence, request.status_msg).await?;
    Ok(set_presence::v3::Response::new())
}

/// Whether a client made it up.
pub(super) fn is_unknown(state: &PresenceState) -> bool {
    !matches!(state, PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable)
}
