//! How far has the user read?

use ruma::{
    EventId,
    api::client::receipt::create_receipt,
    events::{
        fully_read::FullyReadEventContent,
        receipt::{ReceiptThread, ReceiptType},
    },
};
use serde_json::json;

use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    presence::Presence,
    rate_limit::{Action, RateLimiter},
    receipts::Receipts,
    room::{Room, Rooms},
    users::Requester,
};

/// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
pub async fn create_receipt(
    State(limits): State<RateLimiter>,
    State(rooms): State<Rooms>,
    State(receipts): State<Receipts>,
    State(account_data): State<AccountData>,
    State(presence): State<Presence>,
    Incoming { requester, request }: Incoming<create_receipt::v3::Request>,
) -> Result<create_receipt::v3::Response, ApiError> {
    limits.check(Action::Ephemeral, &requester.user_id)?;
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    presence.active(&requester).await?;
    let kind = match request.receipt_type {
        create_receipt::v3::ReceiptType::Read => ReceiptType::Read,
        create_receipt::v3::ReceiptType::ReadPrivate => ReceiptType::ReadPrivate,
        create_receipt::v3::ReceiptType::FullyRead => {
            if request.thread != ReceiptThread::Unthreaded {
                return Err(ApiError::invalid_param("`m.fully_read` is for no thread"));
            }
            set_fully_read(&rooms, &account_data, &requester, &room, &request.event_id).await?;
            return Ok(create_receipt::v3::Response::new());
        }
        _ => return Err(ApiError::invalid_param("Unknown receipt type")),
    };
    if !is_thread(&request.thread) {
        return Err(ApiError::invalid_param("`thread_id` is `main` or an event ID"));
    }
    let event = rooms.event_by_id(&room, &request.event_id).await?;
    // An event that this server does not know cannot be ordered among those that it does.
    if let Some(event) = event {
        let thread = rooms.thread_of(&room, &event).await?;
        let fits = match &request.thread {
            ReceiptThread::Main => thread.is_none(),
            // Reading a thread begins with its root, which is in the main timeline too.
            ReceiptThread::Thread(root) => thread.as_ref() == Some(root) || event.event_id == *root,
            _ => true,
        };
        if !fits {
            return Err(ApiError::invalid_param("the event is not in this thread"));
        }
        receipts.set(&room, &requester.user_id, &kind, &request.thread, &event).await?;
    }
    Ok(create_receipt::v3::Response::new())
}

fn is_thread(thread: &ReceiptThread) -> bool {
    matches!(thread, ReceiptThread::Unthreaded | ReceiptThread::Main | ReceiptThread::Thread(_))
}

/// The marker that only the user sees. It stays where it is if it would move back.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#fully-read-markers)
pub(super) async fn set_fully_read(
    rooms: &Rooms,
    account_data: &AccountData,
    requester: &Requester,
    room: &Room,
    event_id: &EventId,
) -> Result<(), ApiError> {
    const FULLY_READ: &str = "m.fully_read";
    let event = rooms.event_by_id(room, event_id).await?;
    let event = event.ok_or_else(|| ApiError::invalid_param("The event is not in this room"))?;
    let user_id = &requester.user_id;
    let marked: Option<FullyReadEventContent> =
        account_data.get_as(user_id, room.number, FULLY_READ).await?;
    if let Some(marked) = marked
        && let Some(marked) = rooms.event_by_id(room, &marked.event_id).await?
        && marked.position() > event.position()
    {
        return Ok(());
    }
    let content = json!({ "event_id": event_id });
    account_data.set(user_id, room.number, FULLY_READ, content).await?;
    Ok(())
}
