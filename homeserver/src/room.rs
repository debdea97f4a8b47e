//! How do rooms change, and what is in them?
//!
//! Reading starts here: [`Rooms`] finds a [`Room`], its events and its state. Every change goes through
//! [`persist::RoomWriter`].

pub mod access;
pub mod aggregations;
pub mod alias;
mod auth_chain;
pub mod authorise;
mod backfill;
pub mod client_event;
pub mod create;
pub mod directory;
pub mod draft;
mod erasure;
pub mod event;
pub mod event_filter;
mod extremities;
mod fetch_missing;
pub mod handshake;
pub mod history;
mod in_flight;
mod joined_servers;
mod index;
pub mod members;
pub mod membership;
mod moment;
pub mod outside;
mod partial;
pub mod pdu;
mod persist;
pub mod policy;
pub mod power;
pub mod receive;
mod redact;
pub mod related;
pub mod relations;
pub mod remote;
pub mod remote_space;
mod resolve;
pub mod send;
pub mod serve_history;
pub mod server_view;
pub mod servers;
pub mod server_acl;
pub mod space;
mod state;
mod summary;
pub mod threads;
pub mod timeline;
pub mod upgrade;
pub mod visibility;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use kith_federation::{key_ring::KeyRing, remotes::Remotes};
use kith_store::{
    Json, Scan, Snapshots, Store,
    tables::{self, EventIndex, RoomHead, RoomNumber, RoomRow, Verdict},
};
use parking_lot::{Mutex, RwLock};
use quick_cache::{Weighter, sync::Cache};
use ruma::{EventId, OwnedRoomId, RoomId, RoomVersionId, room_version_rules::RoomVersionRules};

pub use self::persist::{Import, ImportError, ReceiveError, Received, RoomWriter, SendError};
use self::{
    directory::Listings, erasure::Erased, event::Event, in_flight::InFlight, members::Members,
    partial::PartialJoins, persist::WriterState, relations::RelationMemory,
    remote_space::RemoteRooms, server_acl::ServerAcls, space::Walks,
};
use crate::{locks::KeyedLocks, team::Team};

/// The rooms of one team. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    team: Team,
    store: Store,
    remotes: Remotes,
    key_ring: KeyRing,
    snapshots: Snapshots,
    members: Members,
    /// Rooms in use. Never two values for one room: a room leaves the map only when nobody else
    /// holds it.
    open: RwLock<HashMap<OwnedRoomId, Arc<Room>>>,
    by_number: RwLock<HashMap<RoomNumber, OwnedRoomId>>,
    events: Cache<(RoomNumber, EventIndex), Arc<Event>, ByWeight>,
    state_keys: Cache<(RoomNumber, String, String), u32>,
    auth_edges: Cache<(RoomNumber, EventIndex), Arc<[EventIndex]>>,
    next_room: AtomicU32,
    /// When the newest room was created, in milliseconds since the epoch.
    newest_room: AtomicU64,
    transactions_in_flight: InFlight,
    listings: Listings,
    relations: RelationMemory,
    walks: Walks,
    remote_rooms: RemoteRooms,
    erased: Erased,
    server_acls: ServerAcls,
    /// Held while a room is joined through another server.
    joining: KeyedLocks<OwnedRoomId>,
    partial_joins: PartialJoins,
}

/// How many rooms may stay in memory before those that nobody uses are dropped.
const OPEN_ROOMS: usize = 20_000;
/// How many state keys of all rooms are remembered.
const STATE_KEYS: usize = 100_000;
/// For how many events of all rooms it is remembered which are their auth events.
const AUTH_EDGES: usize = 100_000;

#[derive(Clone)]
struct ByWeight;

impl Weighter<(RoomNumber, EventIndex), Arc<Event>> for ByWeight {
    fn weight(&self, _: &(RoomNumber, EventIndex), event: &Arc<Event>) -> u64 {
        event.weight()
    }
}

/// One room: what never changes about it, and where it stands.
pub struct Room {
    pub number: RoomNumber,
    pub room_id: OwnedRoomId,
    pub version: RoomVersionId,
    pub rules: RoomVersionRules,
    /// As of the newest durable commit.
    head: RwLock<Arc<RoomHead>>,
    /// The room's lock, and what the next event builds on.
    writer: Arc<tokio::sync::Mutex<Option<WriterState>>>,
    /// Local users who are joined; loaded when somebody first waits for the room.
    local_joined: RwLock<Option<Arc<members::UserSet>>>,
    power_levels: RwLock<Option<power::Known>>,
    /// Counts the commits that changed a relation: what was read before one of them is not remembered.
    relation_changes: Mutex<u64>,
    state_names: RwLock<Option<Arc<state::StateNames>>>,
    /// When an event of ours joined the ends of its graph that had become many.
    extremities_joined: Mutex<Option<std::time::Instant>>,
    /// Held by whoever fetches history from before this server came.
    backfilling: tokio::sync::Mutex<()>,
}

impl Room {
    fn new(
        number: RoomNumber,
        room_id: OwnedRoomId,
        version: RoomVersionId,
        rules: RoomVersionRules,
        head: RoomHead,
    ) -> Self {
        Self {
            number,
            room_id,
            version,
            rules,
            head: RwLock::new(Arc::new(head)),
            writer: Arc::default(),
            local_joined: RwLock::default(),
            power_levels: RwLock::default(),
            relation_changes: Mutex::default(),
            state_names: RwLock::default(),
            extremities_joined: Mutex::default(),
            backfilling: tokio::sync::Mutex::default(),
        }
    }

    /// Where the room stands: its current state, counts and forward extremities.
    pub fn head(&self) -> Arc<RoomHead> {
        Arc::clone(&self.head.read())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error("room {0} has version {1}, which this server does not know")]
    UnknownVersion(OwnedRoomId, RoomVersionId),
    #[error("event {1} of room {0} cannot be read: {2}")]
    UnreadableEvent(OwnedRoomId, EventIndex, String),
    #[error("the members of room {0} are still being fetched")]
    MembersUnknown(OwnedRoomId),
    #[error("the states of room {0} cannot be resolved: {1}")]
    Unresolvable(OwnedRoomId, String),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Rooms {
    pub async fn open(
        team: Team,
        store: Store,
        remotes: Remotes,
        key_ring: KeyRing,
    ) -> Result<Self, kith_store::Error> {
        let newest = store.scan(&tables::ROOMS, Scan::all().reverse().limit(1)).await?;
        let next_room = newest.first().map_or(1, |(number, _)| number + 1);
        let erased = Erased::load(&store).await?;
        let partial_joins = PartialJoins::load(&store).await?;
        let cache = &team.config().cache;
        let snapshots = Snapshots::new(store.clone(), team.snapshot_key(), cache.state);
        let events = Cache::with_weighter(
            // An estimate of what is allocated at once, far below what there is room for.
            usize::try_from(cache.events / 65_536).unwrap_or(512),
            cache.events,
            ByWeight,
        );
        Ok(Self(Arc::new(Inner {
            members: Members::new(store.clone()),
            team,
            store,
            remotes,
            key_ring,
            snapshots,
            open: RwLock::default(),
            by_number: RwLock::default(),
            events,
            state_keys: crate::cache::of_at_most(STATE_KEYS),
            auth_edges: crate::cache::of_at_most(AUTH_EDGES),
            next_room: AtomicU32::new(next_room),
            newest_room: AtomicU64::new(0),
            transactions_in_flight: InFlight::default(),
            listings: Listings::default(),
            relations: RelationMemory::default(),
            walks: Walks::default(),
            remote_rooms: RemoteRooms::default(),
            erased,
            server_acls: ServerAcls::default(),
            joining: KeyedLocks::default(),
            partial_joins,
        })))
    }

    pub fn team(&self) -> &Team {
        &self.0.team
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Requests to other servers.
    pub fn remotes(&self) -> &Remotes {
        &self.0.remotes
    }

    /// Checks what other servers signed.
    pub fn key_ring(&self) -> &KeyRing {
        &self.0.key_ring
    }

    pub fn snapshots(&self) -> &Snapshots {
        &self.0.snapshots
    }

    fn transactions_in_flight(&self) -> &InFlight {
        &self.0.transactions_in_flight
    }

    fn listings(&self) -> &Listings {
        &self.0.listings
    }

    fn walks(&self) -> &Walks {
        &self.0.walks
    }

    fn joining(&self) -> &KeyedLocks<OwnedRoomId> {
        &self.0.joining
    }

    fn partial_joins(&self) -> &PartialJoins {
        &self.0.partial_joins
    }

    fn remote_rooms(&self) -> &RemoteRooms {
        &self.0.remote_rooms
    }

    fn server_acls(&self) -> &ServerAcls {
        &self.0.server_acls
    }

    fn relations(&self) -> &RelationMemory {
        &self.0.relations
    }

    /// Who is in which room.
    pub fn members(&self) -> &Members {
        &self.0.members
    }

    /// The room, if this server knows it.
    pub async fn get(&self, room_id: &RoomId) -> Result<Option<Arc<Room>>, RoomError> {
        if let Some(room) = self.0.open.read().get(room_id) {
            return Ok(Some(Arc::clone(room)));
        }
        let number = self.0.store.get(&tables::ROOM_NUMBERS, &room_id.to_owned()).await?;
        let Some(number) = number else { return Ok(None) };
        let row = self.0.store.get(&tables::ROOMS, &number).await?;
        let head = self.0.store.get(&tables::ROOM_HEADS, &number).await?;
        let (Some(Json(row)), Some(head)) = (row, head) else { return Ok(None) };
        Ok(Some(self.keep(number, row, head)?))
    }

    /// The ID of the room with this number.
    pub async fn room_id(&self, number: RoomNumber) -> Result<Option<OwnedRoomId>, RoomError> {
        if let Some(room_id) = self.0.by_number.read().get(&number) {
            return Ok(Some(room_id.clone()));
        }
        let row = self.0.store.get(&tables::ROOMS, &number).await?;
        Ok(row.map(|Json(row)| row.room_id))
    }

    /// The number of a room that is in use.
    pub fn open_number(&self, room_id: &RoomId) -> Option<RoomNumber> {
        self.0.open.read().get(room_id).map(|room| room.number)
    }

    /// The room with this number.
    pub async fn by_number(&self, number: RoomNumber) -> Result<Option<Arc<Room>>, RoomError> {
        match self.room_id(number).await? {
            Some(room_id) => self.get(&room_id).await,
            None => Ok(None),
        }
    }

    /// A room that is not there before [`Self::new_room_writer`] has committed.
    fn new_room(
        &self,
        room_id: OwnedRoomId,
        version: RoomVersionId,
        rules: RoomVersionRules,
    ) -> Arc<Room> {
        Arc::new(Room::new(self.new_number(), room_id, version, rules, RoomHead::default()))
    }

    /// Puts a room among those in use, unless it is there.
    fn keep(
        &self,
        number: RoomNumber,
        row: RoomRow,
        head: RoomHead,
    ) -> Result<Arc<Room>, RoomError> {
        let rules = row.version.rules();
        let rules = rules
            .ok_or_else(|| RoomError::UnknownVersion(row.room_id.clone(), row.version.clone()))?;
        let mut open = self.0.open.write();
        if open.len() >= OPEN_ROOMS {
            // One reference is the map's own.
            open.retain(|_, room| Arc::strong_count(room) > 1);
        }
        let room = open.entry(row.room_id.clone()).or_insert_with(|| {
            Arc::new(Room::new(number, row.room_id.clone(), row.version, rules, head))
        });
        let room = Arc::clone(room);
        drop(open);
        self.0.by_number.write().insert(number, row.room_id);
        Ok(room)
    }

    /// Puts a new room among those in use, now that it is durable.
    fn keep_open(&self, room: &Arc<Room>) {
        let is_same = |open: &Arc<Room>| open.number == room.number;
        if self.0.open.read().get(&room.room_id).is_some_and(is_same) {
            return;
        }
        self.0.open.write().insert(room.room_id.clone(), Arc::clone(room));
        self.0.by_number.write().insert(room.number, room.room_id.clone());
    }

    fn remember(&self, room: &Room, event: Arc<Event>) {
        self.0.events.insert((room.number, event.index()), event);
    }

    /// The number of the next room; those of rooms that never came to be stay unused.
    fn new_number(&self) -> RoomNumber {
        self.0.next_room.fetch_add(1, Ordering::Relaxed)
    }

    /// An event of the room by its index. Every index that a row names has its event.
    pub async fn event(&self, room: &Room, index: EventIndex) -> Result<Arc<Event>, RoomError> {
        let key = (room.number, index);
        // What a redaction puts into the cache meanwhile stays there: an event that was read before
        // it is not put over it.
        self.0.events.get_or_insert_async(&key, self.read_event(room, index)).await
    }

    async fn read_event(&self, room: &Room, index: EventIndex) -> Result<Arc<Event>, RoomError> {
        let unreadable =
            |reason: String| RoomError::UnreadableEvent(room.room_id.clone(), index, reason);
        let row = self.0.store.get(&tables::EVENTS, &(room.number, index)).await?;
        let row = row.ok_or_else(|| unreadable("its row is missing".to_owned()))?;
        let event = Event::from_row(index, room.room_id.clone(), &row).map_err(unreadable)?;
        Ok(Arc::new(event))
    }

    /// The room that an event is in.
    async fn room_of_event(&self, event_id: &EventId) -> Result<Option<RoomNumber>, RoomError> {
        let found = self.0.store.get(&tables::EVENT_IDS, &event_id.to_owned()).await?;
        Ok(found.map(|(number, _)| number))
    }

    /// An event of this room's timeline by its ID; `None` if it is not in *this* room.
    pub async fn event_by_id(
        &self,
        room: &Room,
        event_id: &EventId,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let event = self.stored_event(room, event_id).await?;
        Ok(event.filter(|event| event.standing.verdict == Verdict::Accepted))
    }

    /// As [`Self::event_by_id`], whatever this server thinks of the event: rejected events are among
    /// these, and those of which it is not known where they belong. Nobody is shown them.
    pub(super) async fn stored_event(
        &self,
        room: &Room,
        event_id: &EventId,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let found = self.0.store.get(&tables::EVENT_IDS, &event_id.to_owned()).await?;
        match found {
            Some((number, index)) if number == room.number => {
                Ok(Some(self.event(room, index).await?))
            }
            _ => Ok(None),
        }
    }
}
