//! Taking an event's content away.

use ruma::{api::client::redact::redact_event, events::TimelineEventType};
use serde_json::json;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    rate_limit::{Action, RateLimiter},
    room::{Rooms, draft::Draft},
};

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
pub async fn redact_event(
    State(rooms): State<Rooms>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<redact_event::v3::Request>,
) -> Result<redact_event::v3::Response, ApiError> {
    limits.check(Action::Message, &requester.user_id)?;
    let room = rooms.joined_room(&request.room_id, &requester.user_id).await?;
    if requester.suspended {
        let target = rooms.event_by_id(&room, &request.event_id).await?;
        if target.is_none_or(|target| target.sender != requester.user_id) {
            return Err(ApiError::user_suspended());
        }
    }
    let content = match request.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let content = serde_json::value::to_raw_value(&content)?;
    let kind = TimelineEventType::RoomRedaction;
    let mut draft = Draft::message(requester.user_id.clone(), kind, content);
    draft.redacts = Some(request.event_id);
    let event_id = rooms.send_once(&requester, &room, request.txn_id, draft).await?;
    Ok(redact_event::v3::Response::new(event_id))
}
