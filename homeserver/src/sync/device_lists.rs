//! Whose devices changed? Both kinds of sync ask here.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kith_store::{
    StreamPosition,
    tables::{self, EventIndex, MemberRow},
};
use ruma::{
    OwnedUserId, UserId,
    api::client::sync::sync_events::DeviceLists,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{Sync, SyncToken, changes::Changes};
use crate::room::{Room, RoomError, event::Event, members::Memberships, visibility::membership_of};

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
        let moved = self.met_or_lost(viewer, memberships, changes).await?;
        let candidates: BTreeSet<&OwnedUserId> = listed.iter().chain(&moved).collect();
        let mut lists = DeviceLists::new();
        for user_id in candidates {
            if user_id == viewer || self.rooms.members().share_a_room(viewer, user_id).await? {
                let own_join = user_id == viewer && !listed.contains(user_id);
                if !own_join {
                    lists.changed.push(user_id.clone());
                }
            } else if moved.contains(user_id) {
                lists.left.push(user_id.clone());
            }
        }
        Ok(lists)
    }

    /// Whom the viewer met or lost by these changes.
    pub(super) async fn met_or_lost(
        &self,
        viewer: &UserId,
        memberships: &Memberships,
        changes: &Changes,
    ) -> Result<BTreeSet<OwnedUserId>, RoomError> {
        let mut moved = BTreeSet::new();
        for (number, events) in &changes.events {
            let Some(room) = self.rooms.by_number(*number).await? else { continue };
            let Some(mine) = memberships.get(number) else { continue };
            moved.extend(self.met_or_lost_in(viewer, &room, mine, events).await?);
        }
        Ok(moved)
    }

    /// Whom the viewer met or lost in a room by these events of it. Of a room in which the viewer is
    /// not, and was not before them, they learn nothing.
    async fn met_or_lost_in(
        &self,
        viewer: &UserId,
        room: &Room,
        mine: &MemberRow,
        events: &[(StreamPosition, EventIndex)],
    ) -> Result<BTreeSet<OwnedUserId>, RoomError> {
        // Whether each was in the room before these events, and is after them.
        let mut moves: BTreeMap<OwnedUserId, (bool, bool)> = BTreeMap::new();
        // When the viewer went: who came later is nobody that they met.
        let mut departed = None;
        for (position, index) in events {
            let event = self.rooms.event(room, *index).await?;
            let target = event.state_key.as_deref().map(OwnedUserId::try_from);
            let (TimelineEventType::RoomMember, Some(Ok(target))) = (&event.kind, target) else {
                continue;
            };
            let is_in = |event: &Event| membership_of(event) == MembershipState::Join;
            if target == viewer {
                departed = if is_in(&event) { None } else { departed.or(Some(*position)) };
            }
            if let Some((_, after)) = moves.get_mut(&target) {
                *after = is_in(&event);
                continue;
            }
            let (kind, before) = (StateEventType::RoomMember, event.standing.state_before);
            let before = self.rooms.state_event(room, before, &kind, target.as_str()).await?;
            moves.insert(target, (before.is_some_and(|before| is_in(&before)), is_in(&event)));
        }
        let is_there = mine.membership == MembershipState::Join;
        let was_there = moves.get(viewer).map_or(is_there, |(before, _)| *before);
        let mut moved = BTreeSet::new();
        if is_there != was_there {
            let members = self.rooms.members().of_room(room.number).await?;
            let joined = |(_, row): &(_, MemberRow)| {
                row.membership == MembershipState::Join
                    && departed.is_none_or(|departed| row.joined_at < Some(departed))
            };
            moved.extend(members.into_iter().filter(joined).map(|(user_id, _)| user_id));
            moves.retain(|_, (before, _)| was_there && *before);
        } else if is_there {
            moves.retain(|_, (before, after)| before != after);
        } else {
            moves.clear();
        }
        moved.extend(moves.into_keys());
        Ok(moved)
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
