//! Asking to be let in.

use ruma::api::client::knock::knock_room;

use super::membership::resolve;
use crate::{
    api::{
        ApiError,
        adapt::{Adapted, OptionalBody},
        incoming::{Incoming, State},
    },
    rate_limit::{self, RateLimiter},
    room::Rooms,
};

/// `POST /_matrix/client/v3/knock/{roomIdOrAlias}`
pub async fn knock_room(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<knock_room::v3::Request, OptionalBody>,
    >,
) -> Result<knock_room::v3::Response, ApiError> {
    limits.check(rate_limit::Action::Join, &requester.user_id)?;
    let (room_id, via) = resolve(&rooms, request.room_id_or_alias, request.via).await?;
    let (user_id, guest) = (&requester.user_id, requester.guest);
    rooms.knock_anywhere(&room_id, user_id, guest, &via, request.reason).await?;
    Ok(knock_room::v3::Response::new(room_id))
}
