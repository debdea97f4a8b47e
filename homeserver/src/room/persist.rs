//! How does an event become part of its room? The only way: one commit, under the room's lock.
//!
//! A [`RoomWriter`] holds the lock and collects events; each is checked against the state that those
//! before it leave. [`RoomWriter::commit`] writes all of them or none.
//!
//! A commit of messages lets go of the lock as soon as the writer thread has the batch: batches are
//! written in that order, so that the next event may build on this one before it is durable, and many
//! share a flush. A commit that changes state keeps the lock until it is durable, since the next event
//! may read what it wrote.

mod awaited;
mod commit;
mod foreign;
mod import;
mod mistaken;
mod outside;
mod partial;
mod states;
mod template;

use std::{collections::HashMap, sync::Arc};

use kith_store::{
    Batch, Json,
    tables::{
        self, Awaits, EventIndex, EventRow, MemberRow, RoomHead, RoomRow, SnapshotId, StatesApart,
        Verdict,
    },
};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedRoomAliasId, OwnedUserId,
    events::{StateEventType, TimelineEventType},
    state_res::auth_types_for_event,
};
use tokio::sync::OwnedMutexGuard;

pub(super) use self::foreign::{Arrival, Gaps};
pub use self::{
    foreign::{ReceiveError, Received},
    import::{Import, ImportError},
};
use super::{
    Room, RoomError, Rooms,
    authorise::{StateEvents, authorise},
    draft::{self, Draft, DraftError, Place},
    event::{Event, Standing},
    index::{self, Related},
    policy::PolicyError,
    remote::RemoteError,
};

/// What the next event of a room builds on; it may be ahead of what is durable.
#[derive(Clone, Default)]
pub(super) struct WriterState {
    head: RoomHead,
    /// The same forward extremities as in `head`, with what the next event says of them.
    extremities: Vec<Extremity>,
    /// What was last resolved: as long as only messages come, the states after the extremities stay the same.
    resolved: Option<Resolved>,
}

#[derive(Clone)]
struct Resolved {
    /// In order, each once.
    states: Vec<SnapshotId>,
    to: SnapshotId,
}

#[derive(Clone)]
struct Extremity {
    index: EventIndex,
    event_id: OwnedEventId,
    depth: u64,
}

impl Extremity {
    fn of(event: &Event) -> Self {
        Self { index: event.index(), event_id: event.event_id.clone(), depth: event.depth }
    }
}

/// More forward extremities than this are never referred to by one event.
/// [Spec](https://spec.matrix.org/latest/rooms/v12/#event-format)
const MAX_PREV_EVENTS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("not allowed by the room's auth rules: {0}")]
    Unauthorized(String),
    #[error("the event is not in this room")]
    UnknownEvent,
    #[error("the room does not exist")]
    UnknownRoom,
    #[error("{0}")]
    BadState(String),
    #[error("leave the room before you forget it")]
    NotLeft,
    #[error("you have reacted to this event with this key already")]
    DuplicateAnnotation,
    #[error("no thread begins with an event that relates to another")]
    NoThreadRoot,
    #[error("{0} is not a valid room alias")]
    InvalidAlias(String),
    #[error("the alias {0} does not point to this room")]
    BadAlias(OwnedRoomAliasId),
    #[error("guests may not join this room")]
    NotForGuests,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for SendError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

/// One change to a room in the making.
pub struct RoomWriter {
    rooms: Rooms,
    room: Arc<Room>,
    lock: OwnedMutexGuard<Option<WriterState>>,
    state: WriterState,
    batch: Batch,
    appended: Vec<Appended>,
    /// Events that lose their content by a redaction in this batch.
    redacted: Vec<Redacted>,
    members: HashMap<OwnedUserId, MemberRow>,
    /// The rows of members who became known only because the next event rests on theirs.
    learned: Vec<(OwnedUserId, MemberRow)>,
    /// What this writer adds of other servers' events without a place in the timeline.
    outliers: HashMap<OwnedEventId, Arc<Event>>,
    /// Everything that it adds, by index.
    added: HashMap<EventIndex, Arc<Event>>,
    /// The batch has rows that the next event may need to read: the lock is kept until they are durable.
    keeps_lock: bool,
}

/// Where in the room's timeline an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// To its end: the position is known at the commit.
    Live,
    /// Before everything that is there.
    Past(i64),
    /// Nowhere: outliers, rejected and soft-failed events.
    Nowhere,
}

struct Appended {
    event: Arc<Event>,
    spot: Spot,
    row: EventRow,
    /// The users whose membership the event changes: one, or any number where the state was resolved.
    members: Vec<(OwnedUserId, MemberRow)>,
    related: Option<Related>,
    /// Events that came before this one and relate to it.
    children: Vec<Related>,
}

impl Rooms {
    /// Takes the room's lock.
    pub async fn writer(&self, room: &Arc<Room>) -> Result<RoomWriter, RoomError> {
        let lock = Arc::clone(&room.writer).lock_owned().await;
        let state = match &*lock {
            Some(state) => state.clone(),
            None => {
                let head = RoomHead::clone(&room.head());
                let mut extremities = Vec::new();
                for index in &head.forward_extremities {
                    extremities.push(Extremity::of(&*self.event(room, *index).await?));
                }
                WriterState { head, extremities, resolved: None }
            }
        };
        Ok(RoomWriter::new(self, room, lock, state))
    }

    /// The writer of a room that nobody else knows yet: its first commit makes it.
    pub(super) async fn new_room_writer(&self, room: &Arc<Room>) -> RoomWriter {
        let lock = Arc::clone(&room.writer).lock_owned().await;
        let state = WriterState::default();
        let mut writer = RoomWriter::new(self, room, lock, state);
        let row = RoomRow { room_id: room.room_id.clone(), version: room.version.clone() };
        writer.batch.expect(&tables::ROOMS, &room.number, None);
        writer.batch.put(&tables::ROOMS, &room.number, &Json(row));
        // Somebody else may be making the same room: one of both fails.
        writer.batch.expect(&tables::ROOM_NUMBERS, &room.room_id, None);
        writer.batch.put(&tables::ROOM_NUMBERS, &room.room_id, &room.number);
        writer
    }
}

impl RoomWriter {
    fn new(
        rooms: &Rooms,
        room: &Arc<Room>,
        lock: OwnedMutexGuard<Option<WriterState>>,
        state: WriterState,
    ) -> Self {
        Self {
            rooms: rooms.clone(),
            room: Arc::clone(room),
            lock,
            state,
            batch: Batch::new(),
            appended: Vec::new(),
            redacted: Vec::new(),
            members: HashMap::new(),
            learned: Vec::new(),
            outliers: HashMap::new(),
            added: HashMap::new(),
            keeps_lock: false,
        }
    }

    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Rows that are to be written with the events.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// A user's row as the events of this writer leave it.
    pub async fn member(&self, user_id: &OwnedUserId) -> Result<Option<MemberRow>, RoomError> {
        match self.members.get(user_id) {
            Some(row) => Ok(Some(row.clone())),
            None => Ok(self.rooms.members().get(self.room.number, user_id).await?),
        }
    }

    /// The state event of this type and key as the events of this writer leave it.
    pub async fn state_event(
        &self,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let (rooms, room) = (&self.rooms, &self.room);
        let snapshot = self.state.head.snapshot;
        let index = rooms.pending_state(&self.batch, room, snapshot, kind, state_key).await?;
        match index {
            Some(index) => Ok(Some(self.event(index).await?)),
            None => Ok(None),
        }
    }

    async fn event(&self, index: EventIndex) -> Result<Arc<Event>, RoomError> {
        match self.added.get(&index) {
            Some(event) => Ok(Arc::clone(event)),
            None => self.rooms.event(&self.room, index).await,
        }
    }

    /// Builds the event, checks it against the auth rules and adds it.
    pub async fn append(&mut self, mut draft: Draft) -> Result<Arc<Event>, SendError> {
        if draft.kind == TimelineEventType::RoomRedaction {
            self.check_redaction(&mut draft).await?;
        }
        let auth = self.auth_state(&draft).await?;
        let (rules, team) = (&self.room.rules, self.rooms.team());
        let (event_id, mut pdu) = draft::build(&draft, self.place(&auth), rules, team)?;
        let state_key = draft.state_key.as_deref();
        self.rooms.recommend(&self.room, &draft.kind, state_key, &mut pdu).await?;
        self.accept(draft, event_id, &pdu, &auth.events).await
    }

    /// Where the next event goes.
    fn place(&self, auth: &AuthState) -> Place<'_> {
        let mut extremities = self.state.extremities.clone();
        extremities.truncate(MAX_PREV_EVENTS);
        Place {
            room_id: Some(&self.room.room_id),
            depth: extremities.iter().map(|before| before.depth).max().unwrap_or(0) + 1,
            prev_events: extremities.into_iter().map(|before| before.event_id).collect(),
            auth_events: auth.selected.clone(),
        }
    }

    /// Adds a create event that was built before its room had an ID.
    pub(super) async fn append_create(
        &mut self,
        draft: Draft,
        event_id: OwnedEventId,
        pdu: &CanonicalJsonObject,
    ) -> Result<Arc<Event>, SendError> {
        self.accept(draft, event_id, pdu, &StateEvents::new()).await
    }

    async fn accept(
        &mut self,
        draft: Draft,
        event_id: OwnedEventId,
        pdu: &CanonicalJsonObject,
        auth: &StateEvents,
    ) -> Result<Arc<Event>, SendError> {
        let standing = Standing {
            index: self.state.head.next_event,
            verdict: Verdict::Accepted,
            state_before: self.state.head.snapshot,
            apart: false,
            redacted_by: None,
        };
        let mut event = Event::from_pdu(event_id, self.room.room_id.clone(), pdu, standing)
            .map_err(|error| DraftError::NotCanonical(error.to_string()))?;
        if self.state.extremities.len() > MAX_PREV_EVENTS {
            // The other servers know only of those that it names.
            event.standing.state_before = self.state_after_first(MAX_PREV_EVENTS).await?;
        }
        event.sent_by = draft.sent_by;
        authorise(&self.room.rules.authorization, &event, auth).map_err(SendError::Unauthorized)?;
        Ok(self.settle(event).await?)
    }

    /// An event that may be in the room goes to the end of its timeline, and the room's state follows.
    async fn settle(&mut self, event: Event) -> Result<Arc<Event>, RoomError> {
        let mut event = Arc::new(event);
        let before = self.state.head.snapshot;
        self.extend_graph(&event).await?;
        let own_after = self.state_after(&event).await?;
        let after = match self.state.extremities.len() {
            1 => own_after,
            _ => self.resolve_extremities(&event, own_after).await?,
        };
        if event.standing.state_before != before || own_after != after {
            let event = Arc::get_mut(&mut event).expect("nobody else has it yet");
            event.standing.apart = true;
            let place = (self.room.number, event.index());
            self.batch.put(&tables::STATES_APART, &place, &Json(StatesApart { before, after }));
        }
        self.state.head.snapshot = after;
        let mut members = std::mem::take(&mut self.learned);
        match event.standing.apart {
            true => members.extend(self.move_members(Some(&event), before, after).await?),
            false => members.extend(self.move_member(&event).await?),
        }
        self.keeps_lock |= before != after;
        self.put(event, Spot::Live, members).await
    }

    /// Adds an event with everything that follows from it but the room's state.
    async fn put(
        &mut self,
        event: Arc<Event>,
        spot: Spot,
        members: Vec<(OwnedUserId, MemberRow)>,
    ) -> Result<Arc<Event>, RoomError> {
        self.state.head.next_event = self.state.head.next_event.max(event.index() + 1);
        let place = (self.room.number, event.index());
        self.batch.put(&tables::EVENT_IDS, &event.event_id, &place);
        let mut row = event.to_row();
        if let Spot::Past(position) = spot {
            row.position = position;
        }
        let mut related = None;
        if spot != Spot::Nowhere {
            self.apply_redaction(&event).await?;
            related = index::relation(&self.rooms, &self.room, &event).await?;
            match (&related, event.relation().and_then(|relation| relation.event_id.as_ref())) {
                (Some(related), _) => {
                    index::move_thread(&self.rooms, &self.room, &mut self.batch, related).await?;
                }
                (None, Some(parent)) if event.is_child() => {
                    self.await_event(parent, Awaits::Relation, event.index());
                }
                _ => {}
            }
        }
        self.added.insert(event.index(), Arc::clone(&event));
        let appended = Appended {
            event: Arc::clone(&event),
            spot,
            row,
            members,
            related,
            children: Vec::new(),
        };
        self.appended.push(appended);
        Ok(event)
    }

    /// The event takes the place of those before it at the end of the graph.
    async fn extend_graph(&mut self, event: &Event) -> Result<(), RoomError> {
        let replaced = self.extremities_before(event).await?;
        self.state.extremities.retain(|extremity| !replaced.contains(&extremity.event_id));
        self.state.extremities.push(Extremity::of(event));
        self.state.head.forward_extremities =
            self.state.extremities.iter().map(|extremity| extremity.index).collect();
        Ok(())
    }

    /// The state after an event, as the events before it make it. Its nodes are in the batch.
    async fn state_after(&mut self, event: &Event) -> Result<SnapshotId, RoomError> {
        let before = event.standing.state_before;
        let Some(state_key) = &event.state_key else { return Ok(before) };
        let kind = StateEventType::from(event.kind.to_string());
        let next = &mut self.state.head.next_state_key;
        let key =
            self.rooms.state_key_in(&mut self.batch, &self.room, next, &kind, state_key).await?;
        let (number, index) = (self.room.number, event.index());
        let snapshots = self.rooms.snapshots();
        Ok(snapshots.insert(&mut self.batch, number, before, key, index).await?)
    }

    /// The state events that the auth rules look at, and which of them the event names.
    async fn auth_state(&self, draft: &Draft) -> Result<AuthState, SendError> {
        let rules = &self.room.rules.authorization;
        let types = auth_types_for_event(
            &draft.kind,
            &draft.sender,
            draft.state_key.as_deref(),
            &draft.content,
            rules,
        )
        .map_err(SendError::Unauthorized)?;
        let mut auth = AuthState { events: StateEvents::new(), selected: Vec::new() };
        for key in types {
            if let Some(event) = self.state_event(&key.0, &key.1).await? {
                auth.selected.push(event.event_id.clone());
                auth.events.insert(key, event);
            }
        }
        // Looked at in every version, named in `auth_events` only until version 11.
        let create = (StateEventType::RoomCreate, String::new());
        if !auth.events.contains_key(&create)
            && let Some(event) = self.state_event(&create.0, &create.1).await?
        {
            auth.events.insert(create, event);
        }
        Ok(auth)
    }

    /// A member event moves its user.
    async fn move_member(
        &mut self,
        event: &Event,
    ) -> Result<Option<(OwnedUserId, MemberRow)>, RoomError> {
        let Some(user_id) = index::member_of(event) else { return Ok(None) };
        let before = self.member(&user_id).await?;
        let row = index::member_row(event, before.as_ref());
        index::count(&mut self.state.head, before.as_ref(), &row);
        self.members.insert(user_id.clone(), row.clone());
        Ok(Some((user_id, row)))
    }

    /// The event that a redaction names loses its content in the same commit. Whether a local sender
    /// may redact it was checked before; what others may redact is asked here.
    async fn apply_redaction(&mut self, event: &Event) -> Result<(), RoomError> {
        let Some(target_id) = &event.redacts else { return Ok(()) };
        if event.kind != TimelineEventType::RoomRedaction {
            return Ok(());
        }
        let target = self.rooms.stored_event(&self.room, target_id).await?;
        let Some(target) = target else {
            self.await_event(target_id, Awaits::Redaction, event.index());
            return Ok(());
        };
        if target.standing.redacted_by.is_some()
            || !self.rooms.redaction_applies(&self.room, event, &target).await?
        {
            return Ok(());
        }
        let redacted = target.redacted(&self.room.rules.redaction, event.index());
        let redacted = redacted.map_err(|reason| {
            RoomError::UnreadableEvent(self.room.room_id.clone(), target.index(), reason)
        })?;
        let key = (self.room.number, redacted.index());
        self.batch.put(&tables::EVENTS, &key, &redacted.to_row());
        let batch = &mut self.batch;
        let parent = index::remove_relation(&self.rooms, &self.room, batch, &target).await?;
        let member = self.redact_member(&redacted).await?;
        self.redacted.push(Redacted { event: Arc::new(redacted), member, parent });
        Ok(())
    }

    /// Notes that an event names another that this server does not have.
    fn await_event(&mut self, missing: &EventId, why: Awaits, by: EventIndex) {
        let key = (self.room.number, missing.to_owned(), why as u8, by);
        self.batch.put(&tables::AWAITED, &key, &());
    }

    /// The row of a member whose current event loses its name and picture loses them too.
    async fn redact_member(
        &mut self,
        redacted: &Event,
    ) -> Result<Option<(OwnedUserId, MemberRow)>, RoomError> {
        let Some(user_id) = index::member_of(redacted) else { return Ok(None) };
        let Some(mut row) = self.member(&user_id).await? else { return Ok(None) };
        if row.event != redacted.index() {
            return Ok(None);
        }
        (row.display_name, row.avatar_url) = (None, None);
        index::put_member(&mut self.batch, self.room.number, user_id.clone(), row.clone());
        Ok(Some((user_id, row)))
    }
}

/// What a redaction leaves.
struct Redacted {
    /// Without its content.
    event: Arc<Event>,
    /// The row of the member whose event it is.
    member: Option<(OwnedUserId, MemberRow)>,
    /// What the event was related to.
    parent: Option<EventIndex>,
}

struct AuthState {
    events: StateEvents,
    selected: Vec<OwnedEventId>,
}
