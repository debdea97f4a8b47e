//! Which servers have users in a room?

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kith_store::tables::RoomNumber;
use ruma::{OwnedServerName, OwnedUserId, ServerName, events::room::member::MembershipState};

use super::{Room, Rooms, members::Members};

/// How many users of all rooms together are remembered by server.
const REMEMBERED: usize = 500_000;

/// Who of which server ever had to do with a room, and what they are in it now.
#[derive(Debug, Clone, Default)]
pub struct RoomServers {
    by_server: HashMap<OwnedServerName, BTreeMap<OwnedUserId, MembershipState>>,
    users: usize,
}

impl RoomServers {
    /// The users of a server, of every membership.
    pub fn users(
        &self,
        server: &ServerName,
    ) -> impl Iterator<Item = (&OwnedUserId, &MembershipState)> {
        self.by_server.get(server).into_iter().flatten()
    }

    fn has(&self, server: &ServerName, memberships: &[MembershipState]) -> bool {
        self.users(server).any(|(_, membership)| memberships.contains(membership))
    }

    /// Whether a user of the server is joined.
    pub fn is_joined(&self, server: &ServerName) -> bool {
        self.has(server, &[MembershipState::Join])
    }

    /// Whether a user of the server is joined or invited.
    pub fn is_invited(&self, server: &ServerName) -> bool {
        self.has(server, &[MembershipState::Join, MembershipState::Invite])
    }

    /// The servers with joined users, those with most of them first.
    pub fn joined(&self) -> Vec<&OwnedServerName> {
        let joined = |users: &BTreeMap<OwnedUserId, MembershipState>| {
            users.values().filter(|membership| **membership == MembershipState::Join).count()
        };
        let mut servers: Vec<(usize, &OwnedServerName)> = self
            .by_server
            .iter()
            .map(|(server, users)| (joined(users), server))
            .filter(|(joined, _)| *joined > 0)
            .collect();
        servers.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        servers.into_iter().map(|(_, server)| server).collect()
    }

    fn put(&mut self, user_id: OwnedUserId, membership: MembershipState) {
        let of_server = self.by_server.entry(user_id.server_name().to_owned()).or_default();
        if of_server.insert(user_id, membership).is_none() {
            self.users += 1;
        }
    }
}

/// What is remembered; every committed membership row brings it up to date.
#[derive(Default)]
pub(super) struct KnownServers {
    rooms: HashMap<RoomNumber, Arc<RoomServers>>,
    users: usize,
}

impl KnownServers {
    pub(super) fn update(
        &mut self,
        room: RoomNumber,
        user_id: &OwnedUserId,
        membership: &MembershipState,
    ) {
        let Some(servers) = self.rooms.get_mut(&room) else { return };
        let before = servers.users;
        let servers = Arc::make_mut(servers);
        servers.put(user_id.clone(), membership.clone());
        self.users += servers.users - before;
    }

    fn get(&self, room: RoomNumber) -> Option<Arc<RoomServers>> {
        self.rooms.get(&room).cloned()
    }

    fn remember(&mut self, room: RoomNumber, servers: &Arc<RoomServers>) {
        if self.users + servers.users > REMEMBERED {
            *self = Self::default();
        }
        self.users += servers.users;
        self.rooms.insert(room, Arc::clone(servers));
    }
}

impl Members {
    /// The servers of a room. Reads all its members at first, and remembers them.
    pub async fn servers(&self, room: RoomNumber) -> Result<Arc<RoomServers>, kith_store::Error> {
        let changes = {
            let known = self.known.lock();
            if let Some(servers) = known.servers.get(room) {
                return Ok(servers);
            }
            known.changes
        };
        let mut servers = RoomServers::default();
        for (user_id, row) in self.of_room(room).await? {
            servers.put(user_id, row.membership);
        }
        let servers = Arc::new(servers);
        let mut known = self.known.lock();
        if known.changes == changes && known.servers.get(room).is_none() {
            known.servers.remember(room, &servers);
        }
        Ok(servers)
    }
}

impl Rooms {
    /// Whether a user of the server is joined to the room, as far as this server knows.
    pub async fn has_server(
        &self,
        room: &Room,
        server: &ServerName,
    ) -> Result<bool, kith_store::Error> {
        let joined = self.members().servers(room.number).await?.is_joined(server);
        Ok(joined || self.was_told_of(room, server))
    }
}
