//! Which rules of a request name a room?

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kith_store::tables::RoomNumber;
use ruma::{
    OwnedRoomId, UserId,
    api::client::sync::sync_events::v5::request::{Extensions, ToDevice},
};

use super::{
    lists::ListRooms,
    request::{List, RoomConfig, RoomDetails, SlidingRequest},
};

/// The part of a request that decides which rooms it shows and how, and what follows from it.
#[derive(Debug)]
pub(super) struct Rules {
    pub lists: BTreeMap<String, List>,
    pub subscriptions: BTreeMap<OwnedRoomId, RoomDetails>,
    pub extensions: Extensions,
    windows: BTreeMap<String, Window>,
    of_subscriptions: BTreeMap<OwnedRoomId, RoomConfig>,
}

#[derive(Debug)]
struct Window {
    /// First and last place, both included.
    places: Vec<(usize, usize)>,
    config: RoomConfig,
}

impl Window {
    fn shows(&self, place: usize) -> bool {
        self.places.iter().any(|(first, last)| (*first..=*last).contains(&place))
    }
}

/// The rules by which a room is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Matched {
    pub config: RoomConfig,
    /// Lists in whose window the room is.
    pub lists: Vec<String>,
    pub subscribed: bool,
}

impl Rules {
    pub(super) fn new(request: &SlidingRequest, user_id: &UserId) -> Self {
        let window = |(name, list): (&String, &List)| {
            let window = Window { places: list.places(), config: list.details.config(user_id) };
            (name.clone(), window)
        };
        let subscription =
            |(room, details): (&OwnedRoomId, &RoomDetails)| (room.clone(), details.config(user_id));
        Self {
            lists: request.lists.clone(),
            subscriptions: request.room_subscriptions.clone(),
            extensions: of_rooms(&request.extensions),
            windows: request.lists.iter().map(window).collect(),
            of_subscriptions: request.room_subscriptions.iter().map(subscription).collect(),
        }
    }

    pub(super) fn are_of(&self, request: &SlidingRequest) -> bool {
        self.lists == request.lists
            && self.subscriptions == request.room_subscriptions
            && self.extensions == of_rooms(&request.extensions)
    }

    /// By which rules a room is shown; `None` if it is not.
    pub(super) fn matching(
        &self,
        lists: &BTreeMap<String, ListRooms>,
        number: RoomNumber,
        room_id: &OwnedRoomId,
    ) -> Option<Matched> {
        let mut matched = Matched::default();
        for (name, window) in &self.windows {
            let Some(place) = lists.get(name).and_then(|list| list.order.place(number)) else {
                continue;
            };
            if window.shows(place) {
                matched.config.extend(&window.config);
                matched.lists.push(name.clone());
            }
        }
        if let Some(config) = self.of_subscriptions.get(room_id) {
            matched.config.extend(config);
            matched.subscribed = true;
        }
        (matched.subscribed || !matched.lists.is_empty()).then_some(matched)
    }

    pub(super) fn is_in_window(
        &self,
        lists: &BTreeMap<String, ListRooms>,
        number: RoomNumber,
    ) -> bool {
        self.windows.iter().any(|(name, window)| {
            let place = lists.get(name).and_then(|list| list.order.place(number));
            place.is_some_and(|place| window.shows(place))
        })
    }

    /// Every room in a window.
    pub(super) fn windows<'a>(
        &'a self,
        lists: &'a BTreeMap<String, ListRooms>,
    ) -> impl Iterator<Item = RoomNumber> + 'a {
        self.windows.iter().flat_map(move |(name, window)| {
            let rooms = lists.get(name).map(|list| &list.order);
            rooms.into_iter().flat_map(move |order| {
                let places = window.places.iter();
                places.flat_map(move |(first, last)| order.between(*first, *last))
            })
        })
    }

    /// How many rooms the windows have at most.
    pub(super) fn rooms_in_windows(&self, lists: &BTreeMap<String, ListRooms>) -> usize {
        let size = |(name, window): (&String, &Window)| {
            let rooms = lists.get(name).map_or(0, |list| list.order.len());
            let sizes = window
                .places
                .iter()
                .map(|(first, last)| last.saturating_add(1).min(rooms).saturating_sub(*first));
            sizes.fold(0, usize::saturating_add)
        };
        self.windows.iter().map(size).fold(0, usize::saturating_add)
    }
}

/// Without the token for messages to the device, which changes with every request.
fn of_rooms(extensions: &Extensions) -> Extensions {
    let mut extensions = extensions.clone();
    extensions.to_device = ToDevice::default();
    extensions
}

/// The numbers of subscribed rooms, found once.
#[derive(Debug, Default)]
pub(super) struct Subscribed {
    pub rules: Option<Arc<Rules>>,
    pub rooms: HashMap<RoomNumber, OwnedRoomId>,
    /// Some are not rooms of this server, or not yet.
    pub unknown: bool,
}
