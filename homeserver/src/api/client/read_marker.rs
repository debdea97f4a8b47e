//! The markers of what the user has read, all at once.

use ruma::{
    api::client::read_marker::set_read_marker,
    events::receipt::{ReceiptThread, ReceiptType},
};

use super::receipt::set_fully_read;
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    receipts::Receipts,
    room::Rooms,
};

/// `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
pub async fn set_read_marker(
    State(limits): State<RateLimiter>,
    State(rooms): State<Rooms>,
    State(receipts): State<Receipts>,
    State(account_data): State<AccountData>,
    State(presence): State<Presence>,
    Incoming { requester, request }: Incoming<set_read_marker::v3::Request>,
) -> Result<set_read_marker::v3::Response, ApiError> {
    limits.check(Action::Ephemeral, &requester.user_id)?;
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    presence.active(&requester).await?;
    if let Some(event_id) = &request.fully_read {
        set_fully_read(&rooms, &account_data, &requester, &room, event_id).await?;
    }
    let read = [
        (ReceiptType::Read, &request.read_receipt),
        (ReceiptType::ReadPrivate, &request.private_read_receipt),
    ];
    for (kind, event_id) in read {
        let Some(event_id) = event_id else { continue };
        if let Some(event) = rooms.event_by_id(&room, event_id).await? {
            let thread = ReceiptThread::Unthreaded;
            receipts.set(&room, &requester.user_id, &kind, &thread, &event).await?;
        }
    }
    Ok(set_read_marker::v3::Response::new())
}
