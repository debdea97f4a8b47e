//! History for a server that does not have it.

use ruma::{MilliSecondsSinceUnixEpoch, api::federation::backfill::get_backfill};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
};

/// `GET /_matrix/federation/v1/backfill/{roomId}`
pub async fn get_backfill(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_backfill::v1::Request>,
) -> Result<get_backfill::v1::Response, ApiError> {
    let mut view = rooms.server_view(&request.room_id, &requester).await?;
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut pdus = Vec::new();
    for event in view.backfill(&request.v, limit).await? {
        pdus.push(view.copy(&event).await?);
    }
    let (origin, now) = (rooms.team().server_name().to_owned(), MilliSecondsSinceUnixEpoch::now());
    Ok(get_backfill::v1::Response::new(origin, now, pdus))
}
