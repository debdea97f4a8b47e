//! How does an event become part of its room? The only way: one commit, under the room's lock.
//!
//! A [`RoomWriter`] holds the lock and collects events; each is checked against the state that those
//! before it leave. [`RoomWriter::commit`] writes all of them or none.
//!
//! A commit of messages lets go of the lock as soon as the writer thread has the batch: batches are
//! written in that order, so that the next event may build on this one before it is durable, and many
//! share a flush. A commit that changes state keeps the lock until it is durable, since the next event
//! may read what it wrote.

use std::{collections::HashMap, sync::Arc};

use kith_store::{
    Batch, Change, StreamPosition, Submitted,
    tables::{self, EventIndex, EventRow, MemberRow, RoomHead, Verdict},
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomAliasId, OwnedUserId,
    events::{StateEventType, TimelineEventType},
    state_res::auth_types_for_event,
};
use tokio::sync::OwnedMutexGuard;

use super::{
    Room, RoomError, Rooms,
    authorise::{StateEvents, authorise},
    draft::{self, Draft, DraftError, Place},
    event::{Event, Standing},
    index::{self, Related},
};

/// What the next event of a room builds on; it may be ahead of what is durable.
#[derive(Clone)]
pub(super) struct WriterState {
    head: RoomHead,
    extremities: Vec<(OwnedEventId, u64)>,
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
    #[error("{0} is on another server, and this server does not speak with others yet")]
    RemoteUser(OwnedUserId),
    #[error("guests may not join this room")]
    NotForGuests,
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
}

struct Appended {
    event: Arc<Event>,
    row: EventRow,
    /// The user whose membership the event sets.
    member: Option<(OwnedUserId, MemberRow)>,
    related: Option<Related>,
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
                    let event = self.event(room, *index).await?;
                    extremities.push((event.event_id.clone(), event.depth));
                }
                WriterState { head, extremities }
            }
        };
        Ok(RoomWriter::new(self, room, lock, state))
    }

    /// The writer of a room that nobody else knows yet.
    pub(super) async fn new_room_writer(&self, room: &Arc<Room>) -> RoomWriter {
        let lock = Arc::clone(&room.writer).lock_owned().await;
        let state = WriterState { head: RoomHead::default(), extremities: Vec::new() };
        RoomWriter::new(self, room, lock, state)
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
        match self.appended.iter().find(|appended| appended.event.index() == index) {
            Some(appended) => Ok(Arc::clone(&appended.event)),
            None => self.rooms.event(&self.room, index).await,
        }
    }

    /// Builds the event, checks it against the auth rules and adds it.
    pub async fn append(&mut self, mut draft: Draft) -> Result<Arc<Event>, SendError> {
        match draft.kind {
            TimelineEventType::RoomRedaction => self.check_redaction(&mut draft).await?,
            TimelineEventType::RoomMember => self.check_reachable(&draft)?,
            _ => {}
        }
        let auth = self.auth_state(&draft).await?;
        let mut extremities = self.state.extremities.clone();
        extremities.truncate(MAX_PREV_EVENTS);
        let place = Place {
            room_id: Some(&self.room.room_id),
            depth: extremities.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1,
            prev_events: extremities.into_iter().map(|(event_id, _)| event_id).collect(),
            auth_events: auth.selected.clone(),
        };
        let (event_id, pdu) = draft::build(&draft, place, &self.room.rules, self.rooms.team())?;
        self.accept(draft, event_id, &pdu, &auth.events).await
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
            redacted_by: None,
        };
        let mut event = Event::from_pdu(event_id, self.room.room_id.clone(), pdu, standing)
            .map_err(|error| DraftError::NotCanonical(error.to_string()))?;
        event.sent_by = draft.sent_by;
        authorise(&self.room.rules.authorization, &event, auth).map_err(SendError::Unauthorized)?;

        let event = Arc::new(event);
        self.state.head.next_event += 1;
        self.state.head.forward_extremities = vec![event.index()];
        self.state.extremities = vec![(event.event_id.clone(), event.depth)];
        let member = self.apply_state(&event).await?;
        self.apply_redaction(&event).await?;
        let related = index::relation(&self.rooms, &self.room, &event).await?;
        if let Some(related) = &related {
            index::move_thread(&self.rooms, &self.room, &mut self.batch, related).await?;
        }
        let place = (self.room.number, event.index());
        self.batch.put(&tables::EVENT_IDS, &event.event_id, &place);
        let row = event.to_row();
        self.appended.push(Appended { event: Arc::clone(&event), row, member, related });
        Ok(event)
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

    /// A state event replaces the one before it; a member event also moves its user.
    async fn apply_state(
        &mut self,
        event: &Arc<Event>,
    ) -> Result<Option<(OwnedUserId, MemberRow)>, RoomError> {
        let Some(state_key) = &event.state_key else { return Ok(None) };
        let kind = StateEventType::from(event.kind.to_string());
        let head = &mut self.state.head;
        let next = &mut head.next_state_key;
        let key =
            self.rooms.state_key_in(&mut self.batch, &self.room, next, &kind, state_key).await?;
        let (number, index) = (self.room.number, event.index());
        let snapshots = self.rooms.snapshots();
        head.snapshot =
            snapshots.insert(&mut self.batch, number, head.snapshot, key, index).await?;
        let Some(user_id) = index::member_of(event) else { return Ok(None) };
        let before = self.member(&user_id).await?;
        let row = index::member_row(event, before.as_ref());
        index::count(&mut self.state.head, before.as_ref(), &row);
        self.members.insert(user_id.clone(), row.clone());
        Ok(Some((user_id, row)))
    }

    /// The event that a redaction names loses its content in the same commit. Whether the sender
    /// may redact it was checked before.
    async fn apply_redaction(&mut self, event: &Event) -> Result<(), RoomError> {
        let Some(target) = &event.redacts else { return Ok(()) };
        let Some(target) = self.rooms.event_by_id(&self.room, target).await? else {
            return Ok(());
        };
        if target.standing.redacted_by.is_some() || event.kind != TimelineEventType::RoomRedaction {
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

    /// Writes everything and answers when it is durable: the stream position of the last event.
    pub async fn commit(self) -> Result<StreamPosition, RoomError> {
        Ok(self.submit().await?.answered().await?)
    }

    async fn submit(mut self) -> Result<Submitted, RoomError> {
        let number = self.room.number;
        let changes_state = self.appended.iter().any(|appended| appended.event.is_state());
        self.batch.put(&tables::ROOM_HEADS, &number, &self.state.head);
        for appended in &self.appended {
            let index = appended.event.index();
            self.batch.publish(Change::Event { room: number, index });
        }
        let mut rows = Vec::with_capacity(self.appended.len());
        let mut events = Vec::with_capacity(self.appended.len());
        for Appended { event, row, member, related } in self.appended {
            rows.push((event.index(), row, member.clone(), related.clone()));
            events.push((event, member, related));
        }
        self.batch.at_position(move |first, batch| {
            for (position, (index, mut row, member, related)) in (first..).zip(rows) {
                row.position = position;
                batch.put(&tables::EVENTS, &(number, index), &row);
                batch.put(&tables::TIMELINE, &(number, position.cast_signed()), &index);
                if let Some((user_id, row)) = member {
                    index::put_member(batch, number, user_id, index::at(row, position));
                }
                if let Some(related) = related {
                    index::put_relation(batch, number, &related.at(position));
                }
            }
        });
        let store = self.rooms.store().clone();
        let after = AfterCommit {
            rooms: self.rooms,
            room: self.room,
            head: Arc::new(self.state.head.clone()),
            events,
            redacted: self.redacted,
        };
        if changes_state {
            let mut lock = self.lock;
            // Should the commit fail, the next writer starts from what is durable.
            *lock = None;
            let state = self.state;
            self.batch.on_commit(move |first| {
                after.apply(first);
                *lock = Some(state);
            });
            Ok(store.submit(self.batch).await?)
        } else {
            self.batch.on_commit(move |first| after.apply(first));
            let submitted = store.submit(self.batch).await?;
            *self.lock = Some(self.state);
            Ok(submitted)
        }
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

/// What is brought up to date in memory when a commit is durable.
struct AfterCommit {
    rooms: Rooms,
    room: Arc<Room>,
    head: Arc<RoomHead>,
    events: Vec<(Arc<Event>, Option<(OwnedUserId, MemberRow)>, Option<Related>)>,
    redacted: Vec<Redacted>,
}

impl AfterCommit {
    fn apply(self, first: StreamPosition) {
        let Self { rooms, room, head, events, redacted } = self;
        *room.head.write() = Arc::clone(&head);
        rooms.keep_open(&room);
        for (position, (event, member, related)) in (first..).zip(events) {
            event.set_position(position);
            if let Some((user_id, row)) = member {
                let joined = row.membership == ruma::events::room::member::MembershipState::Join;
                if rooms.team().is_ours(&user_id) {
                    room.set_local_joined(&user_id, joined);
                }
                rooms.members().update(&user_id, room.number, index::at(row, position));
            }
            rooms.has_no_children(&room, event.index());
            if let Some(related) = related {
                let Related { parent, child } = related.at(position);
                rooms.add_child(&room, parent, child);
            }
            rooms.remember(&room, event);
        }
        if !redacted.is_empty() {
            rooms.listings().forget(room.number, head.snapshot);
        }
        for Redacted { event, member, parent } in redacted {
            if let Some(parent) = parent {
                rooms.remove_child(&room, parent, event.index());
            }
            if let Some((user_id, row)) = member {
                rooms.members().update(&user_id, room.number, row);
            }
            rooms.remember(&room, event);
        }
    }
}
