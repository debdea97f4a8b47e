//! Does a room pass a list's filters?

use std::collections::HashSet;

use kith_store::tables::{MemberRow, SnapshotId};
use ruma::{
    OwnedRoomId,
    directory::RoomTypeFilter,
    events::{StateEventType, room::member::MembershipState},
    room::RoomType,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Asked, request::Filters};
use crate::{
    room::{Room, RoomError},
    sync::Sync,
};

#[derive(Deserialize)]
struct Create {
    #[serde(default, rename = "type")]
    kind: Option<RoomType>,
}

impl Sync {
    pub(super) async fn passes(
        &self,
        asked: &Asked<'_>,
        filters: &Filters,
        in_spaces: &HashSet<OwnedRoomId>,
        room: &Room,
        row: &MemberRow,
    ) -> Result<bool, RoomError> {
        let invited = row.membership == MembershipState::Invite;
        if filters.is_invite.is_some_and(|wanted| wanted != invited)
            || filters.is_dm.is_some_and(|wanted| wanted != asked.direct.contains(&room.room_id))
            || (filters.spaces.is_some() && !in_spaces.contains(&room.room_id))
        {
            return Ok(false);
        }
        if (filters.tags.is_some() || !filters.not_tags.is_empty())
            && !self.passes_tags(asked, filters, room).await?
        {
            return Ok(false);
        }
        if filters.is_encrypted.is_none()
            && filters.room_types.is_none()
            && filters.not_room_types.is_empty()
        {
            return Ok(true);
        }
        let snapshot = self.known_state(room, row).await?;
        if let Some(wanted) = filters.is_encrypted {
            let kind = StateEventType::RoomEncryption;
            let encrypted = self.rooms.state_event(room, snapshot, &kind, "").await?.is_some();
            if encrypted != wanted {
                return Ok(false);
            }
        }
        if filters.room_types.is_none() && filters.not_room_types.is_empty() {
            return Ok(true);
        }
        let kind = StateEventType::RoomCreate;
        let create = self.rooms.state_event(room, snapshot, &kind, "").await?;
        let kind = create.and_then(|create| create.content_as::<Create>()).and_then(|c| c.kind);
        let kind = RoomTypeFilter::from(kind);
        Ok(!filters.not_room_types.contains(&kind)
            && filters.room_types.as_ref().is_none_or(|kinds| kinds.contains(&kind)))
    }

    /// The state that the user may know of: whoever is not in the room, as of when they were asked in
    /// or went.
    async fn known_state(&self, room: &Room, row: &MemberRow) -> Result<SnapshotId, RoomError> {
        match row.membership {
            MembershipState::Join => Ok(room.head().snapshot),
            _ => Ok(self.rooms.event(room, row.event).await?.standing.state_before),
        }
    }

    async fn passes_tags(
        &self,
        asked: &Asked<'_>,
        filters: &Filters,
        room: &Room,
    ) -> Result<bool, RoomError> {
        let data = self.account_data.all(asked.user_id()).await?;
        let row = data.get(&(room.number, "m.tag".to_owned()));
        let tags = row.and_then(|row| row.content.get("tags")?.as_object());
        let has = |tag: &String| tags.is_some_and(|tags| tags.contains_key(tag));
        Ok(!filters.not_tags.iter().any(has)
            && filters.tags.as_ref().is_none_or(|wanted| wanted.iter().any(has)))
    }

    /// The rooms that the filters' spaces name as their children, of spaces that the user is in.
    pub(super) async fn rooms_in_spaces(
        &self,
        asked: &Asked<'_>,
        filters: &Filters,
    ) -> Result<HashSet<OwnedRoomId>, RoomError> {
        let mut children = HashSet::new();
        for space in filters.spaces.iter().flatten() {
            let Some(space) = self.rooms.get(space).await? else { continue };
            let row = asked.memberships.get(&space.number);
            if row.is_none_or(|row| row.membership != MembershipState::Join) {
                continue;
            }
            let snapshot = space.head().snapshot;
            let names = self.rooms.state_names(&space).await?;
            let kind = StateEventType::SpaceChild.to_string();
            for (child, key) in names.names.get(&kind).into_iter().flatten() {
                let event = self.rooms.state_at(&space, snapshot, *key).await?;
                // A child without `via` was taken out again.
                let content = event.and_then(|event| event.content_as::<Value>());
                let is_child = content.is_some_and(|c| c.get("via").is_some_and(Value::is_array));
                if is_child && let Ok(child) = OwnedRoomId::try_from(child.as_str()) {
                    children.insert(child);
                }
            }
        }
        Ok(children)
    }
}
