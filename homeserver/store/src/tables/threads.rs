//! A room's threads, and which of them users follow.

use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{EventIndex, RoomNumber};
use crate::{Json, StreamPosition, Table};

/// Threads that a user subscribed to, or unsubscribed from after that.
/// - Key: the user, the room, the thread's root. Written by `thread_subscriptions`.
pub const THREAD_SUBSCRIPTIONS: Table<
    (OwnedUserId, RoomNumber, OwnedEventId),
    Json<ThreadSubscriptionRow>,
> = Table::new(0x63, "thread_subscriptions");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSubscriptionRow {
    pub state: ThreadSubscriptionState,
    /// The stream position of the newest change.
    pub position: StreamPosition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreadSubscriptionState {
    /// The user asked for it.
    Manual,
    /// A client subscribed on the user's behalf, because they were mentioned.
    Automatic,
    Unsubscribed,
}

/// The newest change of each thread of a user, in the order of the changes.
/// - Key: the user, the change's stream position. Value: the room and the thread's root.
/// - Written by `thread_subscriptions`.
pub const THREAD_SUBSCRIPTION_CHANGES: Table<
    (OwnedUserId, StreamPosition),
    Json<(RoomNumber, OwnedEventId)>,
> = Table::new(0x64, "thread_subscription_changes");

/// A room's threads by their newest event.
/// - Key: the room, the place of the event in the timeline. Value: the root's index.
/// - A row may be out of date: the thread has a newer event, or this one was redacted. The row of
///   its newest event is there.
/// - Written by `room::persist`.
pub const THREADS: Table<(RoomNumber, i64), EventIndex> = Table::new(0x67, "threads");
