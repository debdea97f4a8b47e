//! Whose devices changed? Both kinds of sync ask here.

use std::collections::{BTreeSet, HashSet};

use kith_store::{StreamPosition, tables};
use ruma::{
    OwnedUserId, UserId,
    api::client::sync::sync_events::DeviceLists,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{Sync, SyncToken, changes::Changes};
use crate::room::{RoomError, members::Memberships};

impl Sync {
    /// What [`Self::device_lists`] says of the time since a token.
    pub async fn key_changes(
        &self,
        user_id: &UserId,
        since: SyncToken,
    ) -> Result<DeviceLists, RoomError> {
        let memberships = self.rooms.members().of_user(user_id).await?;
        let mut changes = Changes::after(since.position);
        let upto = self.now().position;
        self.collect_changes(&mut changes, user_id, &memberships, upto).await?;
        self.device_lists(user_id, since.position, &memberships, &changes).await
    }

    /// Whose devices the client should ask for again, and whose it need not follow any more.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#tracking-the-device-list-for-a-user)
    pub(super) async fn device_lists(
        &self,
        viewer: &UserId,
        since: StreamPosition,
        memberships: &Memberships,
        changes: &Changes,
    ) -> Result<DeviceLists, RoomError> {
        let mut listed = changes.device_lists.clone();
        if changes.everything {
            listed.extend(self.changed_since(viewer, since, memberships).await?);
        }
        let mut rejoined = BTreeSet::new();
        for (number, events) in &changes.events {
            let Some(room) = self.rooms.by_number(*number).await? else { continue };
            let mine = memberships.get(number);
            // Everybody in a room that the user entered or left is met or lost.
            if mine.is_some_and(|row| row.position > since) {
                let members = self.rooms.members().of_room(*number).await?;
                rejoined.extend(members.into_iter().map(|(user_id, _)| user_id));
                continue;
            }
            for (_, index) in events {
                let event = self.rooms.event(&room, *index).await?;
                if event.kind == TimelineEventType::RoomMember
                    && let Some(Ok(user_id)) = event.state_key.as_deref().map(OwnedUserId::try_from)
                {
                    rejoined.insert(user_id);
                }
            }
        }
        let candidates: BTreeSet<&OwnedUserId> = listed.iter().chain(&rejoined).collect();
        let mut lists = DeviceLists::new();
        for user_id in candidates {
            if user_id == viewer || self.rooms.members().share_a_room(viewer, user_id).await? {
                let own_join = user_id == viewer && !listed.contains(user_id);
                if !own_join {
                    lists.changed.push(user_id.clone());
                }
            } else if rejoined.contains(user_id) {
                lists.left.push(user_id.clone());
            }
        }
        Ok(lists)
    }

    /// For whoever is too far behind to read the log: which members of the viewer's rooms changed
    /// their devices since, or may have come meanwhile. Costs as much as the rooms have members.
    async fn changed_since(
        &self,
        viewer: &UserId,
        since: StreamPosition,
        memberships: &Memberships,
    ) -> Result<HashSet<OwnedUserId>, RoomError> {
        let mut changed = HashSet::new();
        let mut asked = HashSet::new();
        for (number, mine) in memberships {
            if mine.membership != MembershipState::Join {
                continue;
            }
            for (user_id, row) in self.rooms.members().of_room(*number).await? {
                if row.membership != MembershipState::Join {
                    continue;
                }
                if row.position > since || mine.position > since {
                    changed.insert(user_id);
                } else if asked.insert(user_id.clone()) {
                    let at = self.store.get(&tables::DEVICE_LIST_CHANGES, &user_id).await?;
                    if at.is_some_and(|at| at > since) {
                        changed.insert(user_id);
                    }
                }
            }
        }
        changed.remove(viewer);
        let own = self.store.get(&tables::DEVICE_LIST_CHANGES, &viewer.to_owned()).await?;
        if own.is_some_and(|at| at > since) {
            changed.insert(viewer.to_owned());
        }
        Ok(changed)
    }
}
