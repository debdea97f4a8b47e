//! What does syncing remember beside the store? Everything here may be lost: it is read again.

use std::sync::Arc;

use kith_store::{
    StreamPosition,
    tables::{EventIndex, MemberRow, RoomNumber, SnapshotId},
};
use quick_cache::sync::Cache;
use ruma::OwnedUserId;

use super::{sliding::Connections, v3::lazy_members::LazyMembers};

/// How many rooms' heroes and stamps are remembered.
const ROOMS: usize = 20_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    pub(super) lazy_members: LazyMembers,
    pub(super) connections: Connections,
    /// Those after whom a room may be called, as of a state.
    pub(super) heroes: Arc<Cache<RoomNumber, (SnapshotId, Arc<Faces>)>>,
    /// The stamp of each room's last activity, as of the event with this index.
    pub(super) bump_stamps: Arc<Cache<RoomNumber, (EventIndex, StreamPosition)>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            lazy_members: LazyMembers::default(),
            connections: Connections::default(),
            heroes: Arc::new(crate::cache::of_at_most(ROOMS)),
            bump_stamps: Arc::new(crate::cache::of_at_most(ROOMS)),
        }
    }
}

/// The first few members of a room.
#[derive(Debug, Default)]
pub(super) struct Faces {
    /// Joined or invited, longest first.
    pub present: Vec<(OwnedUserId, MemberRow)>,
    /// Those who left or were banned.
    pub gone: Vec<(OwnedUserId, MemberRow)>,
}
