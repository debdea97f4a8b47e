//! Threads: those of a room, and which of them a user follows.

use std::sync::Arc;

use axum::Router;
use kith_store::tables::ThreadSubscriptionState;
use ruma::{
    EventId, OwnedRoomId, UInt,
    api::client::threads::{
        get_thread_subscription,
        get_thread_subscriptions_changes::{
            self,
            unstable::{ThreadSubscription, ThreadUnsubscription},
        },
        get_threads::{self, v1::IncludeThreads},
        subscribe_thread, unsubscribe_thread,
    },
};

use super::message::{limit_of, timeline_events, timeline_token};
use crate::{
    account_data::AccountData,
    api::{
        ApiError,
        incoming::{Incoming, RouterExt, State},
    },
    rate_limit::{Action, RateLimiter},
    room::{Room, Rooms, event::Event, threads::ThreadsAsk, timeline::Direction},
    thread_subscriptions::{ChangeToken, SubscriptionError, ThreadSubscriptions},
    users::Requester,
};

/// How many changes one answer holds: unless the client says otherwise, and at most.
const CHANGES: usize = 100;

/// How many threads one page holds: unless the client says otherwise, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 100;

/// `GET /_matrix/client/v1/rooms/{roomId}/threads`
pub async fn get_threads(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Incoming { requester, request }: Incoming<get_threads::v1::Request>,
) -> Result<get_threads::v1::Response, ApiError> {
    let user_id = &requester.user_id;
    let participant = match request.include {
        IncludeThreads::All => None,
        IncludeThreads::Participated => Some(user_id),
        _ => return Err(ApiError::invalid_param("`include` is `all` or `participated`")),
    };
    let readable = rooms.readable(&request.room_id, user_id).await?;
    let room = &readable.room;
    let from = match &request.from {
        Some(from) => timeline_token(from)?,
        None => rooms.readable_end(&readable, Direction::Backward).await?,
    };
    let limit = limit_of(request.limit, PAGE, LONGEST_PAGE)?;
    let ignored = &account_data.ignored_users(user_id).await?;
    let mut visibility = rooms.visibility(room, user_id).await?;
    let ask = ThreadsAsk { from, limit, participant, ignored };
    let page = rooms.threads(room, &mut visibility, ask).await?;
    let roots = page.roots;
    let chunk = timeline_events(&rooms, room, &requester, ignored, &mut visibility, &roots).await?;
    let mut response = get_threads::v1::Response::new(chunk);
    response.next_batch = page.next.map(|next| next.to_string());
    Ok(response)
}

/// What the proposals are to be called once they are in the specification.
pub fn add_stable_paths(router: Router) -> Router {
    let path = "/_matrix/client/v1/rooms/{room_id}/thread/{thread_root}/subscription";
    router
        .endpoint_at(path, get_thread_subscription)
        .endpoint_at(path, subscribe_thread)
        .endpoint_at(path, unsubscribe_thread)
        .endpoint_at("/_matrix/client/v1/thread_subscriptions", get_thread_subscriptions_changes)
}

/// `GET /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
pub async fn get_thread_subscription(
    State(rooms): State<Rooms>,
    State(subscriptions): State<ThreadSubscriptions>,
    Incoming { requester, request }: Incoming<get_thread_subscription::unstable::Request>,
) -> Result<get_thread_subscription::unstable::Response, ApiError> {
    let (room, root) = thread(&rooms, &requester, &request.room_id, &request.thread_root).await?;
    let state = subscriptions.get(&requester.user_id, room.number, &root.event_id).await?;
    let automatic = match state {
        Some(ThreadSubscriptionState::Manual) => false,
        Some(ThreadSubscriptionState::Automatic) => true,
        Some(ThreadSubscriptionState::Unsubscribed) | None => {
            return Err(ApiError::not_found("You do not follow this thread"));
        }
    };
    Ok(get_thread_subscription::unstable::Response::new(automatic))
}

/// `PUT /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
pub async fn subscribe_thread(
    State(rooms): State<Rooms>,
    State(subscriptions): State<ThreadSubscriptions>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<subscribe_thread::unstable::Request>,
) -> Result<subscribe_thread::unstable::Response, ApiError> {
    let user_id = &requester.user_id;
    limits.check(Action::Ephemeral, user_id)?;
    let (room, root) = thread(&rooms, &requester, &request.room_id, &request.thread_root).await?;
    let cause = match &request.automatic {
        Some(cause) => {
            let cause = rooms.visibility(&room, user_id).await?.event(cause).await?;
            let cause = cause.filter(|cause| cause.thread_root() == Some(&root.event_id));
            Some(cause.ok_or(SubscriptionError::NotInThread)?)
        }
        None => None,
    };
    subscriptions.subscribe(user_id, room.number, &root.event_id, cause.as_deref()).await?;
    Ok(subscribe_thread::unstable::Response::new())
}

/// `DELETE /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
pub async fn unsubscribe_thread(
    State(rooms): State<Rooms>,
    State(subscriptions): State<ThreadSubscriptions>,
    State(limits): State<RateLimiter>,
    Incoming { requester, request }: Incoming<unsubscribe_thread::unstable::Request>,
) -> Result<unsubscribe_thread::unstable::Response, ApiError> {
    limits.check(Action::Ephemeral, &requester.user_id)?;
    let (room, root) = thread(&rooms, &requester, &request.room_id, &request.thread_root).await?;
    subscriptions.unsubscribe(&requester.user_id, room.number, &root.event_id).await?;
    Ok(unsubscribe_thread::unstable::Response::new())
}

/// A room that the user reads, and an event of it that may begin a thread: it is not in a relation
/// with another itself.
async fn thread(
    rooms: &Rooms,
    requester: &Requester,
    room_id: &OwnedRoomId,
    root: &EventId,
) -> Result<(Arc<Room>, Arc<Event>), ApiError> {
    let not_found = || ApiError::not_found("Thread not found");
    let room = rooms.get(room_id).await?.ok_or_else(not_found)?;
    let root = rooms.visibility(&room, &requester.user_id).await?.event(root).await?;
    let root = root.filter(|root| !root.is_child()).ok_or_else(not_found)?;
    Ok((room, root))
}

/// `GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions`
pub async fn get_thread_subscriptions_changes(
    State(rooms): State<Rooms>,
    State(subscriptions): State<ThreadSubscriptions>,
    Incoming { requester, request }: Incoming<get_thread_subscriptions_changes::unstable::Request>,
) -> Result<get_thread_subscriptions_changes::unstable::Response, ApiError> {
    let since = match &request.to {
        Some(to) => u64::try_from(timeline_token(to)?.0).unwrap_or(0),
        None => 0,
    };
    let from = request.from.as_deref().map(str::parse::<ChangeToken>).transpose()?;
    let limit = limit_of(request.limit, CHANGES, CHANGES)?;
    let found = subscriptions.changes(&requester.user_id, since, from, limit).await?;
    let mut response = get_thread_subscriptions_changes::unstable::Response::new();
    response.end = found.more.map(|more| more.to_string());
    for change in found.changes {
        let Some(room_id) = rooms.room_id(change.room).await? else { continue };
        let bump_stamp = UInt::new_saturating(change.position);
        let automatic = change.state == ThreadSubscriptionState::Automatic;
        if change.state == ThreadSubscriptionState::Unsubscribed {
            let threads = response.unsubscribed.entry(room_id).or_default();
            threads.insert(change.root, ThreadUnsubscription::new(bump_stamp));
        } else {
            let threads = response.subscribed.entry(room_id).or_default();
            threads.insert(change.root, ThreadSubscription::new(automatic, bump_stamp));
        }
    }
    Ok(response)
}
