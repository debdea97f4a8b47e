//! Of which rooms does this server not know all members yet?
//!
//! A room that is new to this server is joined without most of its members, so that the user can read and
//! write at once; the others are fetched beside that. Until they are there, every state of the room lacks
//! members, and members only: whoever sends something becomes known by the events that it rests on.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv2send_joinroomideventid)

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kith_store::{
    Json, Scan, Store, StreamPosition,
    tables::{self, PartialJoinRow, RoomNumber},
};
use parking_lot::Mutex;
use ruma::ServerName;
use tokio::{sync::watch, time::timeout};

use super::{Room, RoomError, Rooms};

/// How long a request that is about the members waits for them.
const PATIENCE: Duration = Duration::from_secs(30);

/// The rows of [`tables::PARTIAL_JOINS`], in memory.
pub(super) struct PartialJoins {
    known: Mutex<Known>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    unfinished: BTreeMap<RoomNumber, Arc<PartialJoinRow>>,
    completed: HashMap<RoomNumber, StreamPosition>,
}

impl PartialJoins {
    pub(super) async fn load(store: &Store) -> Result<Self, kith_store::Error> {
        let mut known = Known::default();
        for (room, Json(row)) in store.scan(&tables::PARTIAL_JOINS, Scan::all()).await? {
            known.put(room, row);
        }
        Ok(Self { known: Mutex::new(known), changes: watch::Sender::new(()) })
    }

    fn get(&self, room: RoomNumber) -> Option<Arc<PartialJoinRow>> {
        self.known.lock().unfinished.get(&room).cloned()
    }

    /// The rooms whose members are still to be fetched.
    pub(super) fn unfinished(&self) -> Vec<RoomNumber> {
        self.known.lock().unfinished.keys().copied().collect()
    }

    /// Is told whenever a row changes.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Called when the row is durable.
    pub(super) fn put(&self, room: RoomNumber, row: PartialJoinRow) {
        self.known.lock().put(room, row);
        self.changes.send_replace(());
    }

    /// Called when the row is deleted.
    pub(super) fn remove(&self, room: RoomNumber) {
        let mut known = self.known.lock();
        known.unfinished.remove(&room);
        known.completed.remove(&room);
        drop(known);
        self.changes.send_replace(());
    }
}

impl Known {
    fn put(&mut self, room: RoomNumber, row: PartialJoinRow) {
        match row.completed {
            Some(position) => {
                self.unfinished.remove(&room);
                self.completed.insert(room, position);
            }
            None => {
                self.unfinished.insert(room, Arc::new(row));
            }
        }
    }
}

impl Rooms {
    /// How the room was joined, while its members are not all known.
    pub(super) fn partial_join(&self, room: &Room) -> Option<Arc<PartialJoinRow>> {
        self.partial_joins().get(room.number)
    }

    /// Whether the server was in the room when we joined it, of which not all members are known yet.
    pub(super) fn was_told_of(&self, room: &Room, server: &ServerName) -> bool {
        self.partial_join(room).is_some_and(|row| row.servers.iter().any(|known| known == server))
    }

    /// At which position this server came to know all members of a room that it joined without them.
    pub fn members_known_since(&self, room: &Room) -> Option<StreamPosition> {
        self.partial_joins().known.lock().completed.get(&room.number).copied()
    }

    /// Whether there was a time when this server was in the room and did not know all members.
    pub fn members_were_unknown(&self, room: &Room) -> bool {
        let known = self.partial_joins().known.lock();
        known.unfinished.contains_key(&room.number) || known.completed.contains_key(&room.number)
    }

    /// An error while the members of the room are not all known: nothing is said of its state.
    pub fn check_members_known(&self, room: &Room) -> Result<(), RoomError> {
        match self.partial_join(room) {
            Some(_) => Err(RoomError::MembersUnknown(room.room_id.clone())),
            None => Ok(()),
        }
    }

    /// Waits until all members of the room are known.
    pub async fn await_members(&self, room: &Room) -> Result<(), RoomError> {
        let mut changes = self.partial_joins().watch();
        let known = async {
            while self.partial_join(room).is_some() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whether that took too long is to be seen from what is known then.
        timeout(PATIENCE, known).await.ok();
        self.check_members_known(room)
    }
}
