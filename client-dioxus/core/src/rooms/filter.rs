//! Which rooms does a list show?

use matrix_sdk_ui::room_list_service::filters::{
    BoxedFilterFn, RoomCategory, new_filter_all, new_filter_category, new_filter_favourite,
    new_filter_invite, new_filter_non_left, new_filter_normalized_match_room_name, new_filter_not,
    new_filter_space, new_filter_unread,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomFilter {
    pub kind: RoomKind,
    /// Part of a room's name; case and accents do not matter. Empty: any name.
    pub text: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomKind {
    #[default]
    All,
    /// Direct chats.
    People,
    /// Rooms that are no direct chats.
    Groups,
    Unread,
    Favourites,
    Invites,
}

impl RoomFilter {
    pub(super) fn for_sdk(&self) -> BoxedFilterFn {
        let mut filters: Vec<BoxedFilterFn> = vec![
            Box::new(new_filter_non_left()),
            Box::new(new_filter_not(Box::new(new_filter_space()))),
        ];
        match self.kind {
            RoomKind::All => {}
            RoomKind::People => filters.push(Box::new(new_filter_category(RoomCategory::People))),
            RoomKind::Groups => filters.push(Box::new(new_filter_category(RoomCategory::Group))),
            RoomKind::Unread => filters.push(Box::new(new_filter_unread())),
            RoomKind::Favourites => filters.push(Box::new(new_filter_favourite())),
            RoomKind::Invites => filters.push(Box::new(new_filter_invite())),
        }
        let text = self.text.trim();
        if !text.is_empty() {
            filters.push(Box::new(new_filter_normalized_match_room_name(text)));
        }
        Box::new(new_filter_all(filters))
    }
}
