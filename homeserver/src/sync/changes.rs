//! What changed for one user since a position? Its cost follows what changed, not what there is.

use std::collections::{BTreeMap, HashSet};

use kith_store::{
    Change, Json, Scan, StreamPosition,
    tables::{self, EventIndex, RoomNumber},
};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::Sync;
use crate::room::members::Memberships;

/// More changes than this are not looked at one by one.
const MOST: usize = 50_000;

/// What a user's sync has to look at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// New events in the user's rooms: position and index, oldest first.
    pub events: BTreeMap<RoomNumber, Vec<(StreamPosition, EventIndex)>>,
    /// Rooms of the user in which a receipt moved, and whose.
    pub receipts: Vec<(RoomNumber, OwnedUserId)>,
    pub account_data: bool,
    /// Users whose device lists changed; whether the user cares is still to be asked.
    pub device_lists: HashSet<OwnedUserId>,
    /// The user's devices of which one-time keys were claimed or uploaded.
    pub keys: HashSet<OwnedDeviceId>,
    /// The client is too far behind to be told change by change: look at everything.
    pub everything: bool,
}

impl Sync {
    pub(super) async fn changes(
        &self,
        user_id: &UserId,
        memberships: &Memberships,
        since: StreamPosition,
    ) -> Result<Changes, kith_store::Error> {
        let mut changes = Changes::default();
        let mut add = |position: StreamPosition, change: &Change| match change {
            Change::Event { room, index } => {
                if memberships.contains_key(room) {
                    changes.events.entry(*room).or_default().push((position, *index));
                }
            }
            Change::Receipt { room, user } => {
                if memberships.contains_key(room) {
                    changes.receipts.push((*room, user.clone()));
                }
            }
            Change::AccountData { user, .. } => changes.account_data |= user == user_id,
            Change::DeviceList { user } => {
                changes.device_lists.insert(user.clone());
            }
            Change::Signature { by, on } => {
                if by == user_id {
                    changes.device_lists.insert(on.clone());
                }
            }
            Change::Keys { user, device } => {
                if user == user_id {
                    changes.keys.insert(device.clone());
                }
            }
            // What waits for a device is known without the log.
            Change::ToDevice { .. } => {}
            Change::Membership { .. }
            | Change::Profile { .. }
            | Change::ThreadSubscription { .. } => {}
        };
        match self.store.stream().since(since) {
            Some(published) => {
                published.iter().for_each(|new| add(new.position, &new.change));
            }
            None => {
                let scan = Scan::all().after(&since).limit(MOST);
                let rows = self.store.scan(&tables::LOG, scan).await?;
                if rows.len() == MOST {
                    return Ok(Changes {
                        everything: true,
                        account_data: true,
                        ..Changes::default()
                    });
                }
                rows.iter().for_each(|(position, Json(change))| add(*position, change));
            }
        }
        Ok(changes)
    }
}
