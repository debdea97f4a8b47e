//! Reports to the administrators. What is reported may be unknown to the server or hidden from the
//! reporter: the answer is always the same.

use kith_store::tables::ReportSubject;
use ruma::api::client::{
    reporting::report_user,
    room::{report_content, report_room},
};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    rate_limit::{Action, RateLimiter},
    reports::Reports,
    room::Rooms,
    users::Users,
};

/// `POST /_matrix/client/v3/rooms/{roomId}/report/{eventId}`
pub async fn report_content(
    State(rooms): State<Rooms>,
    State(reports): State<Reports>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<report_content::v3::Request>,
) -> Result<report_content::v3::Response, ApiError> {
    let user_id = requester.user_id;
    limits.check(Action::Report, &user_id)?;
    let mut about = None;
    if let Some(room) = rooms.get(&request.room_id).await?
        && rooms.members().is_joined(room.number, &user_id).await?
        && let Some(event) =
            rooms.visibility(&room, &user_id).await?.event(&request.event_id).await?
    {
        let (event_id, sender) = (event.event_id.clone(), event.sender.clone());
        about = Some(ReportSubject::Event { room_id: request.room_id, event_id, sender });
    }
    reports.file(user_id, about, request.reason.unwrap_or_default()).await?;
    Ok(report_content::v3::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/report`
pub async fn report_room(
    State(rooms): State<Rooms>,
    State(reports): State<Reports>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<report_room::v3::Request>,
) -> Result<report_room::v3::Response, ApiError> {
    limits.check(Action::Report, &requester.user_id)?;
    let room = rooms.get(&request.room_id).await?;
    let about = room.map(|room| ReportSubject::Room { room_id: room.room_id.clone() });
    reports.file(requester.user_id, about, request.reason).await?;
    Ok(report_room::v3::Response::new())
}

/// `POST /_matrix/client/v3/users/{userId}/report`
pub async fn report_user(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(reports): State<Reports>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<report_user::v3::Request>,
) -> Result<report_user::v3::Response, ApiError> {
    limits.check(Action::Report, &requester.user_id)?;
    let user_id = request.user_id;
    let known = users.get(&user_id).await?.is_some()
        || !rooms.members().of_user(&user_id).await?.is_empty();
    let about = known.then_some(ReportSubject::User { user_id });
    reports.file(requester.user_id, about, request.reason).await?;
    Ok(report_user::v3::Response::new())
}
