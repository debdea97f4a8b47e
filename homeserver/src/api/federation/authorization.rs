//! On which events does an event rest?

use ruma::api::federation::authorization::get_event_authorization;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::Rooms,
};

/// `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`
pub async fn get_event_authorization(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<get_event_authorization::v1::Request>,
) -> Result<get_event_authorization::v1::Response, ApiError> {
    let view = rooms.server_view(&request.room_id, &requester).await?;
    let event = view.event(&request.event_id).await?;
    let chain = view.auth_chain(&[event]).await?;
    let pdus = chain.iter().map(|event| event.pdu.clone()).collect();
    Ok(get_event_authorization::v1::Response::new(pdus))
}
