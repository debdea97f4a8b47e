//! Which servers take part in a room?
//!
//! Counted once from the room's members, then kept up by the commit of each membership, so that sending
//! never asks who the members are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use kith_store::{
    StreamPosition,
    tables::{MemberRow, RoomNumber},
};
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName, UserId, events::room::member::MembershipState};

use super::{Room, Rooms};

/// How many members of all rooms are remembered, about 40 bytes each; beyond that all are forgotten.
const REMEMBERED: usize = 1_000_000;

/// The servers of the rooms that were of interest lately. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct JoinedServers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    rooms: HashMap<RoomNumber, Entry>,
    members: usize,
    /// Members are remembered by a hash that nobody outside can foresee.
    hasher: RandomState,
}

enum Entry {
    /// Somebody reads the members; what happened meanwhile, in order.
    Loading(Vec<Move>),
    Known(Servers),
}

#[derive(Clone)]
struct Move {
    server: OwnedServerName,
    member: u64,
    /// Since when they are in the room; `None`: they are not.
    joined: Option<StreamPosition>,
}

/// One room's joined members, by server.
#[derive(Default)]
struct Servers {
    members: BTreeMap<OwnedServerName, HashMap<u64, StreamPosition>>,
    names: Arc<[OwnedServerName]>,
}

impl Servers {
    /// Answers how many members more there are now.
    fn apply(&mut self, moved: Move) -> isize {
        let Move { server, member, joined } = moved;
        let Some(joined) = joined else {
            let Some(members) = self.members.get_mut(&server) else { return 0 };
            let removed = members.remove(&member).is_some();
            if members.is_empty() {
                self.members.remove(&server);
                self.names = self.members.keys().cloned().collect();
            }
            return if removed { -1 } else { 0 };
        };
        if let Some(members) = self.members.get_mut(&server) {
            return if members.insert(member, joined).is_none() { 1 } else { 0 };
        }
        self.members.insert(server, HashMap::from([(member, joined)]));
        self.names = self.members.keys().cloned().collect();
        1
    }

    fn count(&self) -> usize {
        self.members.values().map(HashMap::len).sum()
    }
}

impl Known {
    fn moved(&self, user_id: &UserId, row: &MemberRow) -> Move {
        let joined = row.membership == MembershipState::Join;
        Move {
            server: user_id.server_name().to_owned(),
            member: self.hasher.hash_one(user_id.as_str()),
            joined: joined.then(|| row.joined_at.unwrap_or(row.position)),
        }
    }
}

impl JoinedServers {
    /// Called when a membership row is durable.
    pub(super) fn update(&self, room: RoomNumber, user_id: &UserId, row: &MemberRow) {
        let mut known = self.0.lock();
        if !known.rooms.contains_key(&room) {
            return;
        }
        let moved = known.moved(user_id, row);
        let grown = match known.rooms.get_mut(&room) {
            Some(Entry::Loading(moves)) => {
                moves.push(moved);
                0
            }
            Some(Entry::Known(servers)) => servers.apply(moved),
            None => 0,
        };
        known.members = known.members.saturating_add_signed(grown);
    }
}

/// Forgets that somebody loads a room, should they not come to an end.
struct Loading<'a> {
    servers: &'a JoinedServers,
    room: RoomNumber,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut known = self.servers.0.lock();
        if let Some(Entry::Loading(_)) = known.rooms.get(&self.room) {
            known.rooms.remove(&self.room);
        }
    }
}

impl Rooms {
    /// The servers with joined members in the room, ours too, in order of their names.
    pub async fn joined_servers(
        &self,
        room: &Room,
    ) -> Result<Arc<[OwnedServerName]>, kith_store::Error> {
        let joined = self.with_servers(room, |servers| Arc::clone(&servers.names)).await?;
        let Some(partial) = self.partial_join(room) else { return Ok(joined) };
        // Those whose members are not known yet hear of everything too.
        let all: BTreeSet<_> = joined.iter().chain(&partial.servers).cloned().collect();
        Ok(all.into_iter().collect())
    }

    /// Since which position a server has had those members that it has in the room now.
    pub async fn server_since(
        &self,
        room: &Room,
        server: &ServerName,
    ) -> Result<Option<StreamPosition>, kith_store::Error> {
        let since = |servers: &Servers| servers.members.get(server)?.values().min().copied();
        self.with_servers(room, since).await
    }

    async fn with_servers<T>(
        &self,
        room: &Room,
        answer: impl Fn(&Servers) -> T,
    ) -> Result<T, kith_store::Error> {
        let memory = self.members().joined_servers();
        let loading = {
            let mut known = memory.0.lock();
            match known.rooms.get(&room.number) {
                Some(Entry::Known(servers)) => return Ok(answer(servers)),
                // Somebody else's load: it goes on without us.
                Some(Entry::Loading(_)) => None,
                None => {
                    known.rooms.insert(room.number, Entry::Loading(Vec::new()));
                    Some(Loading { servers: memory, room: room.number })
                }
            }
        };
        let rows = self.members().of_room(room.number).await?;
        let mut known = memory.0.lock();
        let mut servers = Servers::default();
        for (user_id, row) in &rows {
            if row.membership == MembershipState::Join {
                servers.apply(known.moved(user_id, row));
            }
        }
        if loading.is_none() {
            return Ok(answer(&servers));
        }
        if let Some(Entry::Loading(moves)) = known.rooms.remove(&room.number) {
            for moved in moves {
                servers.apply(moved);
            }
        }
        let told = answer(&servers);
        let count = servers.count();
        if known.members + count > REMEMBERED {
            known.rooms.retain(|_, entry| matches!(entry, Entry::Loading(_)));
            known.members = 0;
        }
        if count <= REMEMBERED {
            known.members += count;
            known.rooms.insert(room.number, Entry::Known(servers));
        }
        drop(known);
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_server_name;

    use super::*;

    fn moved(server: &str, member: u64, joined: Option<StreamPosition>) -> Move {
        Move { server: ServerName::parse(server).unwrap(), member, joined }
    }

    #[test]
    fn a_server_takes_part_until_its_last_member_goes() {
        let mut servers = Servers::default();
        assert_eq!(servers.apply(moved("a", 1, Some(5))), 1);
        assert_eq!(servers.apply(moved("a", 2, Some(3))), 1);
        assert_eq!(servers.apply(moved("b", 3, Some(9))), 1);
        assert_eq!(servers.apply(moved("a", 1, Some(5))), 0, "the same again");
        assert_eq!(*servers.names, [owned_server_name!("a"), owned_server_name!("b")]);
        assert_eq!(servers.apply(moved("a", 1, None)), -1);
        assert_eq!(servers.apply(moved("a", 1, None)), 0, "the same again");
        assert_eq!(servers.names.len(), 2);
        servers.apply(moved("a", 2, None));
        assert_eq!(*servers.names, [owned_server_name!("b")]);
        assert_eq!(servers.count(), 1);
    }
}
