//! At which rooms must an answer look? At those with news and those that come into sight, whatever
//! number of rooms the user is in.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use kith_store::tables::RoomNumber;
use ruma::UserId;

use super::{
    Asked,
    connection::Connection,
    request::SlidingRequest,
    rules::{Rules, Subscribed},
};
use crate::{
    account_data::GLOBAL,
    room::RoomError,
    sync::{Sync, changes::Changes},
};

impl Connection {
    /// The rules of a request, the same value as long as they stay the same.
    pub(super) fn rules_of(&self, request: &SlidingRequest, user_id: &UserId) -> Arc<Rules> {
        match &self.received.rules {
            Some(rules) if rules.are_of(request) => Arc::clone(rules),
            _ => Arc::new(Rules::new(request, user_id)),
        }
    }
}

impl Sync {
    /// Finds the numbers of the rooms that the request subscribes to.
    pub(super) async fn find_subscribed(
        &self,
        asked: &Asked<'_>,
        connection: &mut Connection,
        changes: &Changes,
    ) -> Result<(), RoomError> {
        let known = &connection.subscribed;
        let same = known.rules.as_ref().is_some_and(|rules| Arc::ptr_eq(rules, &asked.rules));
        if same && (!known.unknown || changes.events.is_empty()) {
            return Ok(());
        }
        let mut found =
            Subscribed { rules: Some(Arc::clone(&asked.rules)), ..Subscribed::default() };
        for room_id in asked.rules.subscriptions.keys() {
            match self.rooms.get(room_id).await? {
                Some(room) => {
                    found.rooms.insert(room.number, room_id.clone());
                }
                None => found.unknown = true,
            }
        }
        connection.subscribed = found;
        Ok(())
    }

    /// The rooms to look at, and those with news that no rule names now. `moved`: rooms may have
    /// come into a window without news of their own.
    pub(super) fn candidates(
        &self,
        asked: &Asked<'_>,
        connection: &Connection,
        changes: &Changes,
        moved: bool,
    ) -> (BTreeSet<RoomNumber>, HashSet<RoomNumber>) {
        let (rules, received) = (&asked.rules, &connection.received);
        let lists = &connection.lists;
        let is_subscribed = |number: RoomNumber| connection.subscribed.rooms.contains_key(&number);
        let is_shown =
            |number: RoomNumber| rules.is_in_window(lists, number) || is_subscribed(number);

        let (mut candidates, mut behind) = (BTreeSet::new(), HashSet::new());
        for number in self.changed_rooms(asked, connection, changes) {
            if is_shown(number) {
                candidates.insert(number);
            } else {
                behind.insert(number);
            }
        }
        let before = received.rules.as_deref();
        let extended = before.is_none_or(|before| before.extensions != rules.extensions);
        let lists_changed = before.is_none_or(|before| before.lists != rules.lists);
        if moved || extended || lists_changed {
            candidates.extend(rules.windows(lists));
        } else if received.behind.len() < rules.rooms_in_windows(lists) {
            candidates.extend(received.behind.iter().copied().filter(|number| is_shown(*number)));
        } else {
            candidates
                .extend(rules.windows(lists).filter(|number| received.behind.contains(number)));
        }
        let all =
            extended || before.is_none_or(|before| before.subscriptions != rules.subscriptions);
        let subscribed = connection.subscribed.rooms.keys().copied();
        candidates.extend(subscribed.filter(|number| all || received.behind.contains(number)));
        candidates.retain(|number| asked.memberships.contains_key(number));
        (candidates, behind)
    }

    /// The user's rooms in which anything happened since the last answer.
    fn changed_rooms(
        &self,
        asked: &Asked<'_>,
        connection: &Connection,
        changes: &Changes,
    ) -> BTreeSet<RoomNumber> {
        let mut changed: BTreeSet<RoomNumber> = changes.events.keys().copied().collect();
        changed.extend(changes.receipts.keys());
        changed.extend(&changes.account_data);
        changed.extend(&changes.memberships);
        changed.remove(&GLOBAL);
        let typing = self.typing.rooms_since(connection.received.token.ephemeral);
        changed.extend(typing.into_iter().filter(|room| asked.memberships.contains_key(room)));
        if changes.account_data.contains(&GLOBAL) {
            // Which rooms are direct messages may have changed.
            let sent = connection.received.rooms.iter();
            changed.extend(sent.filter(|(_, room)| room.is_dm).map(|(number, _)| *number));
            changed.extend(asked.direct.iter().filter_map(|room| self.rooms.open_number(room)));
        }
        changed
    }
}
