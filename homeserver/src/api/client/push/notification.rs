//! The list of what the user was notified of.

use ruma::api::client::push::get_notifications::{self, v3::Notification};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    push::notifications::{Notifications, NotificationsAsk},
    room::{Rooms, client_event::Viewer},
};

/// Notifications that a client gets without asking for a number, and the most that it gets.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// `GET /_matrix/client/v3/notifications`
pub async fn get_notifications(
    State(rooms): State<Rooms>,
    State(notifications): State<Notifications>,
    Incoming { requester, request }: Incoming<get_notifications::v3::Request>,
) -> Result<get_notifications::v3::Response, ApiError> {
    let limit = request.limit.and_then(|limit| usize::try_from(limit).ok());
    let ask = NotificationsAsk {
        from: request.from.as_deref().map(str::parse).transpose()?,
        limit: limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT),
        highlights_only: request.only.as_deref() == Some("highlight"),
    };
    let page = notifications.page(&requester.user_id, ask).await?;
    let bundling = Some(&page.ignored);
    let viewer = Viewer { requester: &requester, with_room_id: false, bundling };
    let mut found = Vec::with_capacity(page.notifications.len());
    for notification in page.notifications {
        let (room, event) = (&notification.room, &notification.event);
        let membership = Some(notification.membership);
        let shown = rooms.client_event(room, event, viewer, membership).await?;
        found.push(Notification::new(
            notification.actions,
            shown,
            notification.read,
            room.room_id.clone(),
            event.origin_server_ts,
        ));
    }
    let mut response = get_notifications::v3::Response::new(found);
    response.next_token = page.next.map(|next| next.to_string());
    Ok(response)
}
