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
    room::{
        Rooms,
        membership::{Action, MemberChange},
    },
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
    let room_id = resolve(&rooms, request.room_id_or_alias).await?;
    let room = rooms.room_to_enter(&room_id, &requester).await?;
    let user_id = &requester.user_id;
    let change = MemberChange::new(Action::Knock).because(request.reason);
    rooms.set_membership(&room, user_id, user_id, change).await?;
    Ok(knock_room::v3::Response::new(room_id))
}
