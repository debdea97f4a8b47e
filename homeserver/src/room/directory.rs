//! Which rooms may anybody find?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#published-room-directory)

use std::sync::Arc;

use kith_store::{
    Batch, Scan,
    tables::{self, RoomNumber, SnapshotId},
};
use quick_cache::sync::Cache;
use ruma::{
    OwnedMxcUri, OwnedRoomAliasId, UInt,
    directory::{Filter, PublicRoomsChunk, PublicRoomsChunkInit, RoomTypeFilter},
    events::StateEventType,
    room::{JoinRuleKind, RoomType},
};
use serde_json::{Map, Value};

use super::{Room, RoomError, Rooms, alias::AliasError};
use crate::users::Requester;

/// How many rooms are listed at most.
const MAX_PUBLISHED: usize = 100_000;
/// How many of them are remembered.
const REMEMBERED: usize = 10_000;

/// What the directory says of rooms, by room and the state that it was read from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Listings(Arc<Cache<(RoomNumber, SnapshotId), Arc<PublicRoomsChunk>>>);

impl Listings {
    /// Called by the writer when a redaction took the content of something that a listing may show.
    pub(super) fn forget(&self, room: RoomNumber, snapshot: SnapshotId) {
        self.0.remove(&(room, snapshot));
    }
}

impl Default for Listings {
    fn default() -> Self {
        Self(Arc::new(crate::cache::of_at_most(REMEMBERED)))
    }
}

/// One page of the directory.
#[derive(Debug)]
pub struct Published {
    pub rooms: Vec<PublicRoomsChunk>,
    /// How many rooms match, on all pages.
    pub total: usize,
}

impl Rooms {
    pub async fn is_published(&self, room: &Room) -> Result<bool, kith_store::Error> {
        self.store().contains(&tables::PUBLISHED_ROOMS, &room.number).await
    }

    /// Lists a room in the directory, or takes it out.
    pub async fn set_published(
        &self,
        room: &Room,
        requester: &Requester,
        published: bool,
    ) -> Result<(), AliasError> {
        if !requester.admin && !self.may_name(room, &requester.user_id).await? {
            return Err(AliasError::Forbidden("you may not publish this room"));
        }
        let mut batch = Batch::new();
        publish(&mut batch, room, published);
        self.store().commit(batch).await?;
        Ok(())
    }

    /// The published rooms with members that a search finds, those with most members first.
    pub async fn published(
        &self,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Result<Published, RoomError> {
        let scan = Scan::all().limit(MAX_PUBLISHED);
        let mut found = Vec::new();
        for (number, ()) in self.store().scan(&tables::PUBLISHED_ROOMS, scan).await? {
            let Some(room) = self.by_number(number).await? else { continue };
            let head = room.head();
            if head.joined == 0 {
                continue;
            }
            let listing = self.listing(&room, head.snapshot).await?;
            if matches(filter, &listing) {
                found.push((head.joined, number, listing));
            }
        }
        found.sort_by_key(|(joined, number, _)| (std::cmp::Reverse(*joined), *number));
        let total = found.len();
        let page = found.into_iter().skip(offset).take(limit);
        let rooms = page.map(|(joined, _, listing)| {
            let mut listing = PublicRoomsChunk::clone(&listing);
            listing.num_joined_members = joined.into();
            listing
        });
        Ok(Published { rooms: rooms.collect(), total })
    }

    /// What the directory says of a room but for the number of its members.
    pub(super) async fn listing(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<Arc<PublicRoomsChunk>, RoomError> {
        let key = (room.number, snapshot);
        // A listing that is being read while a redaction forgets it is not remembered.
        self.listings().0.get_or_insert_async(&key, self.read_listing(room, snapshot)).await
    }

    async fn read_listing(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<Arc<PublicRoomsChunk>, RoomError> {
        let text = async |kind: StateEventType, field: &str| -> Result<Option<String>, RoomError> {
            let event = self.state_event(room, snapshot, &kind, "").await?;
            let content = event.and_then(|event| event.content_as::<Map<String, Value>>());
            Ok(content.and_then(|content| Some(content.get(field)?.as_str()?.to_owned())))
        };
        let visibility = text(StateEventType::RoomHistoryVisibility, "history_visibility").await?;
        let guest_access = text(StateEventType::RoomGuestAccess, "guest_access").await?;
        let mut listing = PublicRoomsChunk::from(PublicRoomsChunkInit {
            num_joined_members: UInt::MIN,
            room_id: room.room_id.clone(),
            world_readable: visibility.as_deref() == Some("world_readable"),
            guest_can_join: guest_access.as_deref() == Some("can_join"),
        });
        listing.name = text(StateEventType::RoomName, "name").await?;
        listing.topic = text(StateEventType::RoomTopic, "topic").await?;
        let avatar = text(StateEventType::RoomAvatar, "url").await?;
        listing.avatar_url = avatar.map(OwnedMxcUri::from);
        let alias = text(StateEventType::RoomCanonicalAlias, "alias").await?;
        listing.canonical_alias = alias.and_then(|alias| OwnedRoomAliasId::try_from(alias).ok());
        let kind = text(StateEventType::RoomCreate, "type").await?;
        listing.room_type = kind.map(RoomType::from);
        let rule = text(StateEventType::RoomJoinRules, "join_rule").await?;
        listing.join_rule = rule.map_or(JoinRuleKind::Invite, JoinRuleKind::from);
        Ok(Arc::new(listing))
    }
}

/// Puts a room into the directory or takes it out.
pub(super) fn publish(batch: &mut Batch, room: &Room, published: bool) {
    if published {
        batch.put(&tables::PUBLISHED_ROOMS, &room.number, &());
    } else {
        batch.delete(&tables::PUBLISHED_ROOMS, &room.number);
    }
}

fn matches(filter: &Filter, room: &PublicRoomsChunk) -> bool {
    let wanted = RoomTypeFilter::from(room.room_type.clone());
    if !filter.room_types.is_empty() && !filter.room_types.contains(&wanted) {
        return false;
    }
    let Some(term) = filter.generic_search_term.as_deref().map(|t| t.trim().to_lowercase()) else {
        return true;
    };
    let alias = room.canonical_alias.as_ref().map(|alias| alias.as_str());
    let texts = [room.name.as_deref(), room.topic.as_deref(), alias];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&term))
}
