//! Who is in which room? Rows that the commit of each membership event keeps up, and what of them
//! is remembered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use kith_store::{
    Json, Scan, Store,
    tables::{self, MemberRow, RoomNumber},
};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{Room, Rooms, joined_servers::JoinedServers, servers::KnownServers};

pub type UserSet = HashSet<OwnedUserId>;
/// A user's rooms of every membership.
pub type Memberships = BTreeMap<RoomNumber, MemberRow>;

/// How many users' rooms are remembered.
const REMEMBERED: usize = 20_000;

/// Memberships by user. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    store: Store,
    pub(super) known: Arc<Mutex<Known>>,
    joined_servers: JoinedServers,
}

#[derive(Default)]
pub(super) struct Known {
    users: HashMap<OwnedUserId, Arc<Memberships>>,
    /// Counts the commits that changed a membership: rows that were read before one of them are
    /// not remembered.
    pub(super) changes: u64,
    pub(super) servers: KnownServers,
}

impl Members {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: Arc::default(), joined_servers: JoinedServers::default() }
    }

    /// The rooms that a user has anything to do with, forgotten ones too.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Arc<Memberships>, kith_store::Error> {
        let changes = {
            let known = self.known.lock();
            if let Some(rooms) = known.users.get(user_id) {
                return Ok(Arc::clone(rooms));
            }
            known.changes
        };
        let prefix = (user_id.to_owned(),);
        let rows = self.store.scan(&tables::MEMBERSHIPS, Scan::prefix(&prefix)).await?;
        let rooms: Memberships =
            rows.into_iter().map(|((_, room), Json(row))| (room, row)).collect();
        let rooms = Arc::new(rooms);
        let mut known = self.known.lock();
        if known.changes == changes {
            if known.users.len() >= REMEMBERED {
                known.users.clear();
            }
            known.users.insert(user_id.to_owned(), Arc::clone(&rooms));
        }
        Ok(rooms)
    }

    /// A user's row in a room, if they ever had to do with it.
    pub async fn get(
        &self,
        room: RoomNumber,
        user_id: &UserId,
    ) -> Result<Option<MemberRow>, kith_store::Error> {
        if let Some(rooms) = self.known.lock().users.get(user_id) {
            return Ok(rooms.get(&room).cloned());
        }
        let row = self.store.get(&tables::MEMBERS, &(room, user_id.to_owned())).await?;
        Ok(row.map(|Json(row)| row))
    }

    /// A user's membership; `Leave` if they never had any.
    pub async fn membership(
        &self,
        room: RoomNumber,
        user_id: &UserId,
    ) -> Result<MembershipState, kith_store::Error> {
        Ok(self.get(room, user_id).await?.map_or(MembershipState::Leave, |row| row.membership))
    }

    pub async fn is_joined(
        &self,
        room: RoomNumber,
        user_id: &UserId,
    ) -> Result<bool, kith_store::Error> {
        Ok(self.membership(room, user_id).await? == MembershipState::Join)
    }

    /// The room's members of every membership, in order of user ID.
    pub async fn of_room(
        &self,
        room: RoomNumber,
    ) -> Result<Vec<(OwnedUserId, MemberRow)>, kith_store::Error> {
        let rows = self.store.scan(&tables::MEMBERS, Scan::prefix(&(room,))).await?;
        Ok(rows.into_iter().map(|((_, user), Json(row))| (user, row)).collect())
    }

    /// The rooms to which two users are both joined, by number.
    pub async fn mutual_rooms(
        &self,
        a: &UserId,
        b: &UserId,
    ) -> Result<Vec<RoomNumber>, kith_store::Error> {
        let (a, b) = (self.of_user(a).await?, self.of_user(b).await?);
        let joined = |row: &MemberRow| row.membership == MembershipState::Join;
        let both = a.iter().filter(|(room, row)| joined(row) && b.get(room).is_some_and(joined));
        Ok(both.map(|(room, _)| *room).collect())
    }

    /// Whether two users are joined to a common room.
    pub async fn share_a_room(&self, a: &UserId, b: &UserId) -> Result<bool, kith_store::Error> {
        let (a, b) = (self.of_user(a).await?, self.of_user(b).await?);
        let joined = |row: &MemberRow| row.membership == MembershipState::Join;
        Ok(a.iter().any(|(room, row)| joined(row) && b.get(room).is_some_and(joined)))
    }

    pub(super) fn joined_servers(&self) -> &JoinedServers {
        &self.joined_servers
    }

    /// Called by the writer when a membership row is durable.
    pub(super) fn update(&self, user_id: &UserId, room: RoomNumber, row: MemberRow) {
        self.joined_servers.update(room, user_id, &row);
        let mut known = self.known.lock();
        known.changes += 1;
        known.servers.update(room, &user_id.to_owned(), &row.membership);
        if let Some(rooms) = known.users.get_mut(user_id) {
            Arc::make_mut(rooms).insert(room, row);
        }
    }
}

impl Rooms {
    /// The room's joined members whose accounts are on this server.
    pub async fn local_joined(&self, room: &Room) -> Result<Arc<UserSet>, kith_store::Error> {
        if let Some(users) = room.local_joined.read().as_ref() {
            return Ok(Arc::clone(users));
        }
        // Under the room's lock nobody joins or leaves meanwhile.
        let _lock = room.writer.lock().await;
        self.load_local_joined(room).await
    }

    /// As [`Self::local_joined`], for whoever holds the room's lock.
    pub(super) async fn load_local_joined(
        &self,
        room: &Room,
    ) -> Result<Arc<UserSet>, kith_store::Error> {
        if let Some(users) = room.local_joined.read().as_ref() {
            return Ok(Arc::clone(users));
        }
        let rows = self.members().of_room(room.number).await?;
        let ours = rows.into_iter().filter(|(user, row)| {
            row.membership == MembershipState::Join && self.team().is_ours(user)
        });
        let users = Arc::new(ours.map(|(user, _)| user).collect::<UserSet>());
        *room.local_joined.write() = Some(Arc::clone(&users));
        Ok(users)
    }
}

impl Room {
    /// Called by the writer when a membership row of a local user is durable.
    pub(super) fn set_local_joined(&self, user_id: &UserId, joined: bool) {
        if let Some(users) = self.local_joined.write().as_mut() {
            let users = Arc::make_mut(users);
            if joined {
                users.insert(user_id.to_owned());
            } else {
                users.remove(user_id);
            }
        }
    }
}
