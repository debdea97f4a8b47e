//! Which devices do the users of other servers have?
//!
//! The list of a user with whom somebody here shares a room is asked for when a client first wants it, and
//! kept up by what their server tells of changes. Whoever misses one asks again. Clients are told of
//! every change, also of lists that are not kept.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#device-management)

mod ask;
mod resync;
mod updates;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kith_federation::remotes::Remotes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::ask::{Answers, Failures};
use crate::{
    keys::Keys,
    locks::KeyedLocks,
    room::{RoomError, Rooms},
};

/// How many lists are asked for at once.
const AT_ONCE: usize = 20;
/// How many users are remembered whose changed lists clients were told of already.
const ANNOUNCED: usize = 50_000;

/// The device lists of users of other servers. Cheap to clone.
#[derive(Clone)]
pub struct RemoteDevices(Arc<Inner>);

struct Inner {
    rooms: Rooms,
    keys: Keys,
    remotes: Remotes,
    /// One request for a user's list at a time.
    asking: KeyedLocks<OwnedUserId>,
    places: Semaphore,
    /// Users whose lists are being asked for in the background, and how often that failed.
    resyncs: Mutex<HashMap<OwnedUserId, u32>>,
    /// Users whose lists are being asked for right now, and whether they changed meanwhile. Bounded
    /// by the requests that wait and by [`Inner::resyncs`].
    in_flight: Mutex<HashMap<OwnedUserId, bool>>,
    /// Lists that are not kept and of whose change clients know: they ask when they need them.
    announced: Cache<OwnedUserId, ()>,
    tasks: std::sync::OnceLock<(TaskTracker, CancellationToken)>,
}

impl RemoteDevices {
    pub fn new(rooms: Rooms, keys: Keys, remotes: Remotes) -> Self {
        Self(Arc::new(Inner {
            rooms,
            keys,
            remotes,
            asking: KeyedLocks::default(),
            places: Semaphore::new(AT_ONCE),
            resyncs: Mutex::default(),
            in_flight: Mutex::default(),
            announced: crate::cache::of_at_most(ANNOUNCED),
            tasks: std::sync::OnceLock::new(),
        }))
    }

    /// From now on there are tasks.
    pub fn begin(&self, tasks: TaskTracker, stopping: CancellationToken) {
        // A second beginning would be a mistake of ours and changes nothing.
        let _ = self.0.tasks.set((tasks, stopping));
    }

    /// Whether somebody here is in a room with this user.
    pub async fn is_known(&self, user_id: &UserId) -> Result<bool, RoomError> {
        for (number, row) in self.0.rooms.members().of_user(user_id).await?.iter() {
            if row.membership != MembershipState::Join {
                continue;
            }
            if let Some(room) = self.0.rooms.by_number(*number).await?
                && !self.0.rooms.local_joined(&room).await?.is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Somebody left a room: lists of users whom nobody here meets any more are dropped.
    pub async fn left(&self, users: HashSet<OwnedUserId>) -> Result<(), RoomError> {
        for user_id in users {
            if self.0.keys.remote_list(&user_id).await?.is_some()
                && !self.is_known(&user_id).await?
            {
                self.0.keys.forget_remote(&user_id).await?;
            }
        }
        Ok(())
    }
}
