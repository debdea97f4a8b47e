//! What does a client ask for? The body of a request, as deployed clients send it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    OwnedRoomId, UserId, api::client::sync::sync_events::v5::request::Extensions,
    directory::RoomTypeFilter,
};
use serde::Deserialize;

use super::required_state::RequiredState;

/// Lists that one request may have, and subscriptions.
const LISTS: usize = 100;
const SUBSCRIPTIONS: usize = 100;
/// Characters of a connection's name.
const CONNECTION_ID: usize = 64;
/// Characters of a list's name.
const LIST_NAME: usize = 255;
/// The most events of a room that one answer has, whatever the client asks.
const TIMELINE: u64 = 100;
/// Pairs in one `required_state`.
const REQUIRED_STATE: usize = 1_000;
/// Values that one filter names.
const FILTER_VALUES: usize = 1_000;

#[derive(Debug, Clone, Default, Deserialize)]
pub struct SlidingRequest {
    #[serde(default)]
    pub conn_id: Option<String>,
    #[serde(default)]
    pub txn_id: Option<String>,
    #[serde(default)]
    pub lists: BTreeMap<String, List>,
    #[serde(default)]
    pub room_subscriptions: BTreeMap<OwnedRoomId, RoomDetails>,
    #[serde(default)]
    pub extensions: Extensions,
}

/// Rooms by their place in the order of activity.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct List {
    /// First and last place, both included, counted from 0. Several are one union.
    #[serde(default)]
    pub ranges: Vec<(u64, u64)>,
    /// As newer clients say it. Without any range the list is all of its rooms.
    #[serde(default)]
    pub range: Option<(u64, u64)>,
    #[serde(flatten)]
    pub details: RoomDetails,
    #[serde(default)]
    pub filters: Option<Filters>,
}

/// What of a room is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RoomDetails {
    #[serde(default)]
    pub required_state: Vec<(String, String)>,
    pub timeline_limit: u64,
}

/// Which rooms a list has: those that pass every one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Filters {
    #[serde(default)]
    pub is_dm: Option<bool>,
    #[serde(default)]
    pub spaces: Option<BTreeSet<OwnedRoomId>>,
    #[serde(default)]
    pub is_encrypted: Option<bool>,
    #[serde(default, alias = "is_invited")]
    pub is_invite: Option<bool>,
    /// `null` stands for rooms without a type.
    #[serde(default)]
    pub room_types: Option<Vec<RoomTypeFilter>>,
    #[serde(default)]
    pub not_room_types: Vec<RoomTypeFilter>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    #[serde(default)]
    pub not_tags: Vec<String>,
}

/// What is wanted of a room that one or several rules name. Rooms of one rule share what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RoomConfig {
    pub timeline_limit: usize,
    pub state: Arc<RequiredState>,
}

impl RoomConfig {
    /// Everything that either wants.
    pub(super) fn extend(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        if self.state.is_nothing() {
            self.state = Arc::clone(&other.state);
        } else if !self.state.covers(&other.state) {
            Arc::make_mut(&mut self.state).extend(&other.state);
        }
    }
}

impl RoomDetails {
    pub(super) fn config(&self, user_id: &UserId) -> RoomConfig {
        RoomConfig {
            timeline_limit: usize::try_from(self.timeline_limit.min(TIMELINE)).unwrap_or(0),
            state: Arc::new(RequiredState::new(&self.required_state, user_id)),
        }
    }
}

impl List {
    /// The places that the list shows: first and last.
    pub(super) fn places(&self) -> Vec<(usize, usize)> {
        let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let ranges = self.ranges.iter().chain(&self.range);
        let places: Vec<_> = ranges.map(|(first, last)| (place(*first), place(*last))).collect();
        if places.is_empty() { vec![(0, usize::MAX)] } else { places }
    }
}

impl SlidingRequest {
    /// Which limit the request breaks, if any.
    pub(super) fn broken_limit(&self) -> Option<&'static str> {
        if self.lists.len() > LISTS {
            return Some("there may be 100 lists");
        }
        if self.room_subscriptions.len() > SUBSCRIPTIONS {
            return Some("there may be 100 room subscriptions");
        }
        if self.conn_id.as_ref().is_some_and(|id| id.len() > CONNECTION_ID) {
            return Some("`conn_id` is too long");
        }
        if self.lists.keys().any(|name| name.is_empty() || name.len() > LIST_NAME) {
            return Some("the name of a list is empty or too long");
        }
        let lists = self.lists.values();
        if lists.clone().any(|list| list.ranges.len() > 100) {
            return Some("a list may have 100 ranges");
        }
        let details = lists.map(|list| &list.details).chain(self.room_subscriptions.values());
        if details.into_iter().any(|details| details.required_state.len() > REQUIRED_STATE) {
            return Some("`required_state` is too long");
        }
        let filters = self.lists.values().filter_map(|list| list.filters.as_ref());
        if filters.into_iter().any(|filters| filters.values() > FILTER_VALUES) {
            return Some("a filter names too many values");
        }
        None
    }
}

impl Filters {
    fn values(&self) -> usize {
        self.spaces.as_ref().map_or(0, BTreeSet::len)
            + self.room_types.as_ref().map_or(0, Vec::len)
            + self.tags.as_ref().map_or(0, Vec::len)
            + self.not_room_types.len()
            + self.not_tags.len()
    }
}
