//! Which rooms does a list have, and in which order?
//!
//! Built once for a connection, then kept up by what changed.

use std::collections::HashSet;

use kith_store::{
    StreamPosition,
    tables::{MemberRow, RoomNumber},
};
use ruma::{OwnedRoomId, events::room::member::MembershipState};

use super::{Asked, connection::Connection, order::Order, request::Filters};
use crate::{
    account_data::GLOBAL,
    room::{Room, RoomError},
    sync::{Sync, changes::Changes},
};

/// One list's rooms, whatever its ranges.
#[derive(Debug, Default)]
pub(super) struct ListRooms {
    filters: Filters,
    /// The rooms of the spaces that the filters name.
    in_spaces: HashSet<OwnedRoomId>,
    pub order: Order,
    built: bool,
}

impl Sync {
    /// Brings the connection's lists up to date. Answers whether a room went out of one, by which
    /// others moved up that have no news themselves.
    pub(super) async fn update_lists(
        &self,
        asked: &Asked<'_>,
        connection: &mut Connection,
        changes: &Changes,
    ) -> Result<bool, RoomError> {
        let wanted = &asked.request.lists;
        connection.lists.retain(|name, _| wanted.contains_key(name));
        let mut moved = false;
        for (name, list) in wanted {
            let filters = list.filters.clone().unwrap_or_default();
            let mut rooms = connection.lists.remove(name).unwrap_or_default();
            let current = rooms.built && rooms.filters == filters && !changes.everything;
            if !current || self.must_rebuild(asked, &rooms, changes).await? {
                rooms = self.build_list(asked, connection, filters).await?;
                moved = true;
            } else {
                let changed = changes.events.keys().chain(&changes.account_data);
                let changed = changed.chain(&changes.memberships);
                for number in changed.copied().filter(|number| *number != GLOBAL) {
                    let place = self.activity_in(asked, connection, &rooms, number).await?;
                    moved |= rooms.order.set(number, place) && place.is_none();
                }
            }
            connection.lists.insert(name.clone(), rooms);
        }
        Ok(moved)
    }

    /// Whether a change may let many rooms in or out at once.
    async fn must_rebuild(
        &self,
        asked: &Asked<'_>,
        rooms: &ListRooms,
        changes: &Changes,
    ) -> Result<bool, RoomError> {
        // Direct messages, ignored users, invites that are not to be shown.
        if changes.account_data.contains(&GLOBAL) {
            return Ok(true);
        }
        if changes.events.is_empty() {
            return Ok(false);
        }
        for space in rooms.filters.spaces.iter().flatten() {
            if let Some(space) = self.rooms.get(space).await?
                && changes.events.contains_key(&space.number)
                && asked.memberships.contains_key(&space.number)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn build_list(
        &self,
        asked: &Asked<'_>,
        connection: &Connection,
        filters: Filters,
    ) -> Result<ListRooms, RoomError> {
        let in_spaces = self.rooms_in_spaces(asked, &filters).await?;
        let mut rooms = ListRooms { filters, in_spaces, order: Order::default(), built: true };
        let mut listed = Vec::with_capacity(asked.memberships.len());
        for number in asked.memberships.keys() {
            if let Some(activity) = self.activity_in(asked, connection, &rooms, *number).await? {
                listed.push((*number, activity));
            }
        }
        rooms.order = listed.into_iter().collect();
        Ok(rooms)
    }

    /// When something last happened in the room; `None` if it is not in this list.
    async fn activity_in(
        &self,
        asked: &Asked<'_>,
        connection: &Connection,
        list: &ListRooms,
        number: RoomNumber,
    ) -> Result<Option<StreamPosition>, RoomError> {
        let Some(row) = asked.memberships.get(&number) else { return Ok(None) };
        let Some(room) = self.rooms.by_number(number).await? else { return Ok(None) };
        let sent = connection.received.rooms.contains_key(&number);
        if !self.is_listed(asked, &room, row, sent).await?
            || !self.passes(asked, &list.filters, &list.in_spaces, &room, row).await?
        {
            return Ok(None);
        }
        Ok(Some(match row.membership {
            MembershipState::Join => self.rooms.newest_position(&room).await?,
            // Nothing that happens in a room concerns those who are not in it.
            _ => row.position,
        }))
    }

    /// Whether the room is among those that the user may be shown at all. `sent`: the client knows it
    /// and is to learn that the user went.
    pub(super) async fn is_listed(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        row: &MemberRow,
        sent: bool,
    ) -> Result<bool, RoomError> {
        let was_in = row.joined_at.is_some();
        Ok(match row.membership {
            _ if row.forgotten => false,
            MembershipState::Join => true,
            MembershipState::Invite => {
                let invite = self.rooms.event(room, row.event).await?;
                self.invites.is_shown(asked.user_id(), &invite.sender).await?
            }
            MembershipState::Knock => true,
            MembershipState::Ban => sent || was_in,
            _ if sent => true,
            // Somebody else put them out.
            _ => was_in && self.rooms.event(room, row.event).await?.sender != asked.user_id(),
        })
    }
}
