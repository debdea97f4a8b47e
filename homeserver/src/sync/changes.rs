//! What changed for one user since a position? Its cost follows what changed, not what there is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kith_store::{
    Change, Json, Scan, StreamPosition,
    tables::{self, EventIndex, RoomNumber},
};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::Sync;
use crate::{account_data::GLOBAL, room::members::Memberships};

/// More changes than this are not looked at one by one.
const MOST: usize = 50_000;

/// What a user's sync has to look at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Collected up to here.
    upto: StreamPosition,
    /// New events in the user's rooms: position and index, oldest first.
    pub events: BTreeMap<RoomNumber, Vec<(StreamPosition, EventIndex)>>,
    /// Rooms of the user in which receipts moved, and whose.
    pub receipts: BTreeMap<RoomNumber, BTreeSet<OwnedUserId>>,
    /// Rooms about which the user keeps something new; [`GLOBAL`] for what is about none.
    pub account_data: BTreeSet<RoomNumber>,
    /// Users whose device lists changed; whether the user cares is still to be asked.
    pub device_lists: HashSet<OwnedUserId>,
    /// The user's devices of which one-time keys were claimed or uploaded.
    pub keys: HashSet<OwnedDeviceId>,
    /// The user follows or left a thread.
    pub thread_subscriptions: bool,
    /// Rooms that the user forgot, or, without this server being in them, was asked into, knocked on or
    /// turned away from.
    pub memberships: BTreeSet<RoomNumber>,
    /// The client is too far behind to be told change by change: look at everything.
    pub everything: bool,
}

impl Changes {
    /// None yet, for a client that has everything up to `since`.
    pub(super) fn after(since: StreamPosition) -> Self {
        Self { upto: since, ..Self::default() }
    }

    /// For a client that has nothing.
    pub(super) fn everything() -> Self {
        let account_data = BTreeSet::from([GLOBAL]);
        Self { upto: StreamPosition::MAX, everything: true, account_data, ..Self::default() }
    }

    fn add(
        &mut self,
        user_id: &UserId,
        memberships: &Memberships,
        position: StreamPosition,
        change: &Change,
    ) {
        match change {
            Change::Event { room, index } => {
                if memberships.contains_key(room) {
                    self.events.entry(*room).or_default().push((position, *index));
                }
            }
            Change::Receipt { room, user } => {
                if memberships.contains_key(room) {
                    self.receipts.entry(*room).or_default().insert(user.clone());
                }
            }
            Change::AccountData { user, room } => {
                if user == user_id {
                    self.account_data.insert(room.unwrap_or(GLOBAL));
                }
            }
            Change::DeviceList { user, .. } => {
                self.device_lists.insert(user.clone());
            }
            Change::Signature { by, on } => {
                if by == user_id {
                    self.device_lists.insert(on.clone());
                }
            }
            Change::Keys { user, device } => {
                if user == user_id {
                    self.keys.insert(device.clone());
                }
            }
            Change::ThreadSubscription { user, .. } => self.thread_subscriptions |= user == user_id,
            // What waits for a device is known without the log.
            Change::ToDevice { .. } => {}
            Change::Membership { user, room } => {
                if user == user_id {
                    self.memberships.insert(*room);
                }
            }
            Change::Profile { .. } => {}
        }
    }
}

impl Sync {
    /// Adds what happened between what was collected and `upto`. Whoever waits goes on from there, so
    /// that a busy team costs a waiting client nothing twice.
    pub(super) async fn collect_changes(
        &self,
        changes: &mut Changes,
        user_id: &UserId,
        memberships: &Memberships,
        upto: StreamPosition,
    ) -> Result<(), kith_store::Error> {
        if changes.upto >= upto {
            return Ok(());
        }
        match self.store.stream().since(changes.upto) {
            Some(published) => {
                for new in published.iter().take_while(|new| new.position <= upto) {
                    changes.add(user_id, memberships, new.position, &new.change);
                }
            }
            None => {
                let scan = Scan::all().after(&changes.upto).before(&(upto + 1)).limit(MOST);
                let rows = self.store.scan(&tables::LOG, scan).await?;
                if rows.len() == MOST {
                    *changes = Changes::everything();
                    return Ok(());
                }
                for (position, Json(change)) in &rows {
                    changes.add(user_id, memberships, *position, change);
                }
            }
        }
        changes.upto = upto;
        Ok(())
    }
}
