//! Messages: sending one, and reading back through a room's history.

use ruma::api::client::message::send_message_event;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    room::{Rooms, draft::Draft},
};

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
/// Repeating a transaction ID on one device returns the first event's ID.
pub async fn send_message_event(
    State(rooms): State<Rooms>,
    Incoming { requester, request }: Incoming<send_message_event::v3::Request>,
) -> Result<send_message_event::v3::Response, ApiError> {
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    let kind = request.event_type.to_string().into();
    let draft = Draft::message(requester.user_id.clone(), kind, request.body.into_json());
    let event_id = rooms.send_once(&requester, &room, request.txn_id, draft).await?;
    Ok(send_message_event::v3::Response::new(event_id))
}
