//! Events that other servers made: what they are worth, and where they go.
//!
//! Everything here happens under the room's lock. What must be fetched first was fetched before; see
//! [`super::super::receive`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use kith_store::{
    Json, Scan,
    tables::{self, Awaits, EventIndex, MemberRow, SnapshotId, Verdict},
};
use ruma::{
    EventId, OwnedEventId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    state_res::auth_types_for_event,
};

use super::{Resolved, RoomWriter, Spot};
use crate::room::{
    RoomError,
    authorise::{StateEvents, authorise_auth_events, authorise_in},
    event::Event,
    index::{self, Related},
    pdu::{Pdu, in_order},
    relations::Child,
    resolve::Resolving,
};

/// What became of an event of another server.
#[derive(Debug)]
pub enum Received {
    Accepted(Arc<Event>),
    /// Not allowed by the room's current state: kept, and shown to nobody.
    SoftFailed(Arc<Event>),
    /// Not allowed by its auth events or by the state before it: kept, so that it is not judged again.
    Rejected(String),
    /// It is there already.
    Known(Arc<Event>),
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the auth event {0} cannot be found")]
    MissingAuth(OwnedEventId),
    #[error("the events before it cannot be found")]
    MissingPrevious,
    #[error("the event is of another room")]
    WrongRoom,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for ReceiveError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

/// The state after events that this server does not have, as another server gave it.
pub(in crate::room) type Gaps = HashMap<OwnedEventId, SnapshotId>;

/// How an event that came goes into the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::room) enum Arrival {
    /// It was just sent.
    New,
    /// Its sender enters or leaves through this server, which tells the others.
    HandedIn,
    /// It was just sent, and the room's policy server does not allow it, or cannot be asked.
    Unrecommended { refused: bool },
    /// It is there, not allowed by a policy server, and now there is no such reason any more.
    Reconsidered,
    /// It is older than everything that this server has of the room, and goes to this place.
    History(i64),
}

/// How many events in a row that were not accepted are looked through for what they replaced.
const LOOKED_THROUGH: usize = 200;

impl RoomWriter {
    /// Checks 4 to 6 of those that the specification wants done on receipt of a PDU; what is before
    /// the event is there, or in `gaps`.
    /// [Spec](https://spec.matrix.org/latest/server-server-api/#checks-performed-on-receipt-of-a-pdu)
    pub(in crate::room) async fn receive(
        mut self,
        pdu: Pdu,
        gaps: &Gaps,
        arrival: Arrival,
    ) -> Result<Received, ReceiveError> {
        // What this room's last writer handed over is durable from here on: it can be read.
        self.rooms.store().settled().await?;
        let mut event = match self.take_known(pdu, arrival).await? {
            Ok(event) => event,
            Err(known) => return Ok(Received::Known(known)),
        };
        let auth_events = self.auth_events(&event).await?;
        if arrival == Arrival::Reconsidered {
            let place = (self.room.number, event.index());
            self.batch.delete(&tables::UNRECOMMENDED, &place);
        } else {
            event.standing.state_before = self.state_before(&event, gaps).await?;
        }
        let mut current = self.state.head.snapshot;
        if let Some(partial) = self.rooms.partial_join(&self.room)
            && !matches!(arrival, Arrival::History(_))
        {
            current = self.learn_members(&mut event, &auth_events, &partial).await?;
        }
        let judgement = self.judge(&event, &auth_events, current, arrival).await?;
        let result = match judgement {
            Judgement::Accept => {
                event.standing.verdict = Verdict::Accepted;
                let event = self.adopt(event).await?;
                self.learned = self.move_members(None, self.state.head.snapshot, current).await?;
                self.state.head.snapshot = current;
                Received::Accepted(match arrival {
                    Arrival::HandedIn => {
                        let place = (self.room.number, event.index());
                        self.batch.put(&tables::HANDED_IN, &place, &());
                        self.settle(event).await?
                    }
                    Arrival::Reconsidered if self.is_passed(&event).await? => {
                        self.put(Arc::new(event), Spot::Live, Vec::new()).await?
                    }
                    Arrival::History(place) => {
                        self.state_after(&event).await?;
                        self.put(Arc::new(event), Spot::Past(place), Vec::new()).await?
                    }
                    _ => self.settle(event).await?,
                })
            }
            Judgement::SoftFail(reason) => {
                tracing::debug!(event_id = %event.event_id, reason, "an event is soft-failed");
                event.standing.verdict = Verdict::SoftFailed;
                if let Arrival::Unrecommended { refused } = arrival {
                    let place = (self.room.number, event.index());
                    self.batch.put(&tables::UNRECOMMENDED, &place, &Json(refused));
                }
                self.state_after(&event).await?;
                self.put(Arc::new(event), Spot::Nowhere, Vec::new()).await?;
                Received::SoftFailed(self.newest())
            }
            Judgement::Reject(reason) => {
                event.standing.verdict = Verdict::Rejected;
                self.put(Arc::new(event), Spot::Nowhere, Vec::new()).await?;
                Received::Rejected(reason)
            }
        };
        if !matches!(result, Received::Rejected(_)) {
            self.await_previous(&self.newest(), gaps).await?;
            self.adopt_children().await?;
        }
        self.keeps_lock = true;
        self.commit().await?;
        Ok(result)
    }

    /// The event with an index of its own, or that of an outlier that now finds its place, or that of
    /// one that is judged anew; or what is there already.
    async fn take_known(
        &self,
        pdu: Pdu,
        arrival: Arrival,
    ) -> Result<Result<Event, Arc<Event>>, ReceiveError> {
        let mut event = pdu.into_event();
        if event.room_id != self.room.room_id {
            return Err(ReceiveError::WrongRoom);
        }
        event.standing.index = self.state.head.next_event;
        match self.rooms.stored_event(&self.room, &event.event_id).await? {
            Some(known) if !may_be_taken(known.standing.verdict, arrival) => return Ok(Err(known)),
            Some(known) => {
                event.standing = known.standing;
                if let Some(redaction) = known.standing.redacted_by {
                    let redacted = event.redacted(&self.room.rules.redaction, redaction);
                    event = redacted.map_err(|reason| {
                        let room_id = self.room.room_id.clone();
                        RoomError::UnreadableEvent(room_id, known.index(), reason)
                    })?;
                }
            }
            None => {}
        }
        Ok(Ok(event))
    }

    fn newest(&self) -> Arc<Event> {
        let newest = self.appended.last().map(|appended| Arc::clone(&appended.event));
        newest.expect("an event was added just before")
    }

    /// The events that this one names as its auth events, and the create event.
    pub(super) async fn auth_events(&self, event: &Event) -> Result<Vec<Arc<Event>>, ReceiveError> {
        let mut auth_events = Vec::with_capacity(event.auth_events.len() + 1);
        for event_id in &event.auth_events {
            let found = self.stored(event_id).await?;
            auth_events.push(found.ok_or_else(|| ReceiveError::MissingAuth(event_id.clone()))?);
        }
        // Room version 12 names it by the room's ID.
        if let Some(create) = self.create_event().await?
            && auth_events.iter().all(|event| event.event_id != create.event_id)
        {
            auth_events.push(create);
        }
        Ok(auth_events)
    }

    async fn create_event(&self) -> Result<Option<Arc<Event>>, RoomError> {
        if !self.room.rules.authorization.room_create_event_id_as_room_id {
            return self.state_event(&StateEventType::RoomCreate, "").await;
        }
        match OwnedEventId::try_from(self.room.room_id.as_str().replacen('!', "$", 1)) {
            Ok(event_id) => self.stored(&event_id).await,
            Err(_) => Ok(None),
        }
    }

    /// An event of the room, also of those that this writer adds.
    pub(in crate::room) async fn stored(
        &self,
        event_id: &EventId,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        if let Some(outlier) = self.outliers.get(event_id) {
            return Ok(Some(Arc::clone(outlier)));
        }
        self.rooms.stored_event(&self.room, event_id).await
    }

    /// The state before an event: that of all events before it, resolved.
    async fn state_before(
        &mut self,
        event: &Event,
        gaps: &Gaps,
    ) -> Result<SnapshotId, ReceiveError> {
        let extremities = &self.state.extremities;
        let after_all = extremities.len() == event.prev_events.len()
            && extremities.iter().all(|before| event.prev_events.contains(&before.event_id));
        if after_all && !extremities.is_empty() {
            return Ok(self.state.head.snapshot);
        }
        let mut states = Vec::new();
        for event_id in &event.prev_events {
            match self.rooms.stored_event(&self.room, event_id).await? {
                Some(before) if before.standing.verdict != Verdict::Outlier => {
                    states.push(self.rooms.state_after(&self.room, &before).await?);
                }
                _ => match gaps.get(event_id) {
                    Some(state) => states.push(*state),
                    None => return Err(ReceiveError::MissingPrevious),
                },
            }
        }
        if states.is_empty() && event.kind != TimelineEventType::RoomCreate {
            return Err(ReceiveError::MissingPrevious);
        }
        Ok(self.resolve(&states, None).await?)
    }

    async fn judge(
        &self,
        event: &Event,
        auth_events: &[Arc<Event>],
        current: SnapshotId,
        arrival: Arrival,
    ) -> Result<Judgement, RoomError> {
        let rules = &self.room.rules.authorization;
        // 4. Passes authorization rules based on the event's auth events, otherwise it is rejected.
        if let Err(reason) = authorise_auth_events(rules, event, auth_events.iter()) {
            return Ok(Judgement::Reject(reason));
        }
        if let Err(reason) = authorise_in(rules, event, &by_key(auth_events)) {
            return Ok(Judgement::Reject(reason));
        }
        // 5. Passes authorization rules based on the state before the event, otherwise it is rejected.
        let before = self.auth_state_in(event, event.standing.state_before).await?;
        if let Err(reason) = before.and_then(|state| authorise_in(rules, event, &state)) {
            return Ok(Judgement::Reject(reason));
        }
        match arrival {
            Arrival::History(_) => return Ok(Judgement::Accept),
            Arrival::Unrecommended { .. } => {
                let reason = "the room's policy server does not allow it".to_owned();
                return Ok(Judgement::SoftFail(reason));
            }
            Arrival::New | Arrival::HandedIn | Arrival::Reconsidered => {}
        }
        // 6. Passes authorization rules based on the current state of the room, otherwise it is
        // soft-failed.
        let current = self.auth_state_in(event, current).await?;
        Ok(match current.and_then(|state| authorise_in(rules, event, &state)) {
            Ok(()) => Judgement::Accept,
            Err(reason) => Judgement::SoftFail(reason),
        })
    }

    /// What of a state the auth rules look at for this event; the inner error is theirs.
    pub(super) async fn auth_state_in(
        &self,
        event: &Event,
        snapshot: SnapshotId,
    ) -> Result<Result<StateEvents, String>, RoomError> {
        let types = auth_types_for_event(
            &event.kind,
            &event.sender,
            event.state_key.as_deref(),
            &event.content,
            &self.room.rules.authorization,
        );
        let mut types = match types {
            Ok(types) => types,
            Err(reason) => return Ok(Err(reason)),
        };
        let create = (StateEventType::RoomCreate, String::new());
        if !types.contains(&create) {
            types.push(create);
        }
        let mut state = StateEvents::new();
        for key in types {
            let index =
                self.rooms.pending_state(&self.batch, &self.room, snapshot, &key.0, &key.1).await?;
            if let Some(index) = index {
                state.insert(key, self.event(index).await?);
            }
        }
        Ok(Ok(state))
    }

    /// What waited for this event: if a redaction did, it is applied.
    async fn adopt(&mut self, event: Event) -> Result<Event, RoomError> {
        let prefix = (self.room.number, event.event_id.clone(), Awaits::Redaction as u8);
        let waiting = self.rooms.store().scan(&tables::AWAITED, Scan::prefix(&prefix)).await?;
        for (key, ()) in waiting {
            let redaction = self.rooms.event(&self.room, key.3).await?;
            self.batch.delete(&tables::AWAITED, &key);
            if self.rooms.redaction_applies(&self.room, &redaction, &event).await? {
                let rules = &self.room.rules.redaction;
                return event.redacted(rules, redaction.index()).map_err(|reason| {
                    RoomError::UnreadableEvent(self.room.room_id.clone(), event.index(), reason)
                });
            }
        }
        Ok(event)
    }

    /// Events that came before the one they relate to are found from it now; what says that it was
    /// missing is not true any more.
    async fn adopt_children(&mut self) -> Result<(), RoomError> {
        let Some(newest) = self.appended.last() else { return Ok(()) };
        let (event, spot) = (Arc::clone(&newest.event), newest.spot);
        for why in [Awaits::Previous, Awaits::Relation] {
            if why == Awaits::Relation && spot == Spot::Nowhere {
                break;
            }
            let prefix = (self.room.number, event.event_id.clone(), why as u8);
            let waiting = self.rooms.store().scan(&tables::AWAITED, Scan::prefix(&prefix)).await?;
            for (key, ()) in waiting {
                self.batch.delete(&tables::AWAITED, &key);
                if why == Awaits::Relation {
                    let child = self.rooms.event(&self.room, key.3).await?;
                    let child = Child::of(&child).filter(|child| child.position != 0);
                    if let (Some(child), Some(newest)) = (child, self.appended.last_mut()) {
                        newest.children.push(Related { parent: event.index(), child });
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes which of the events before this one are not there: history ends at them.
    async fn await_previous(&mut self, event: &Event, gaps: &Gaps) -> Result<(), RoomError> {
        for event_id in &event.prev_events {
            let there = !gaps.contains_key(event_id)
                && self
                    .rooms
                    .stored_event(&self.room, event_id)
                    .await?
                    .is_some_and(|before| before.standing.verdict != Verdict::Outlier);
            if !there {
                self.await_event(event_id, Awaits::Previous, event.index());
            }
        }
        Ok(())
    }

    /// The forward extremities that come before an event: those that it names, and those behind events
    /// that it names and that were not accepted.
    pub(super) async fn extremities_before(
        &self,
        event: &Event,
    ) -> Result<HashSet<OwnedEventId>, RoomError> {
        let is_extremity = |event_id: &OwnedEventId| {
            self.state.extremities.iter().any(|extremity| extremity.event_id == *event_id)
        };
        let mut before = HashSet::new();
        let mut left: VecDeque<OwnedEventId> = event.prev_events.iter().cloned().collect();
        let mut seen = HashSet::new();
        while let Some(event_id) = left.pop_front() {
            if is_extremity(&event_id) {
                before.insert(event_id);
                continue;
            }
            if seen.len() >= LOOKED_THROUGH || !seen.insert(event_id.clone()) {
                continue;
            }
            if let Some(passed) = self.rooms.stored_event(&self.room, &event_id).await?
                && matches!(passed.standing.verdict, Verdict::SoftFailed | Verdict::Rejected)
            {
                left.extend(passed.prev_events.iter().cloned());
            }
        }
        Ok(before)
    }

    /// Whether the room went on after an event that was not accepted until now: others, whose events
    /// were, rest on it.
    async fn is_passed(&self, event: &Event) -> Result<bool, RoomError> {
        let ends = self.state.extremities.iter().map(|extremity| extremity.event_id.clone());
        let mut left: VecDeque<OwnedEventId> = ends.collect();
        let mut seen = HashSet::new();
        while let Some(event_id) = left.pop_front() {
            if event_id == event.event_id {
                return Ok(true);
            }
            if seen.len() >= LOOKED_THROUGH || !seen.insert(event_id.clone()) {
                continue;
            }
            if let Some(later) = self.rooms.stored_event(&self.room, &event_id).await?
                && later.depth > event.depth
            {
                left.extend(later.prev_events.iter().cloned());
            }
        }
        Ok(false)
    }

    /// The room's state where several events are at the end of its graph. `own_after` is the state
    /// after the newest of them.
    pub(super) async fn resolve_extremities(
        &mut self,
        newest: &Arc<Event>,
        own_after: SnapshotId,
    ) -> Result<SnapshotId, RoomError> {
        let others = self.state.extremities.iter().map(|extremity| extremity.index);
        let others: Vec<_> = others.filter(|index| *index != newest.index()).collect();
        let mut states = self.states_after(others).await?;
        states.push(own_after);
        states.sort_unstable();
        states.dedup();
        if let Some(known) = self.state.resolved.as_ref().filter(|known| known.states == states) {
            return Ok(known.to);
        }
        let to = self.resolve(&states, Some(newest)).await?;
        self.state.resolved = Some(Resolved { states, to });
        Ok(to)
    }

    /// The state after so many of the forward extremities.
    pub(super) async fn state_after_first(
        &mut self,
        extremities: usize,
    ) -> Result<SnapshotId, RoomError> {
        let first = self.state.extremities.iter().take(extremities);
        let first: Vec<EventIndex> = first.map(|extremity| extremity.index).collect();
        let states = self.states_after(first).await?;
        self.resolve(&states, None).await
    }

    async fn states_after(
        &self,
        events: impl IntoIterator<Item = EventIndex>,
    ) -> Result<Vec<SnapshotId>, RoomError> {
        let mut states = Vec::new();
        for index in events {
            let event = self.event(index).await?;
            states.push(self.rooms.state_after(&self.room, &event).await?);
        }
        Ok(states)
    }

    /// `newest` is an event that is not stored yet.
    async fn resolve(
        &mut self,
        states: &[SnapshotId],
        newest: Option<&Arc<Event>>,
    ) -> Result<SnapshotId, RoomError> {
        let next = &mut self.state.head.next_state_key;
        let (rooms, room) = (self.rooms.clone(), Arc::clone(&self.room));
        rooms.resolve(&room, Resolving { batch: &mut self.batch, next, newest }, states).await
    }

    /// The memberships in which two states differ, brought up to the second. `newest` is an event that
    /// is not added yet.
    pub(super) async fn move_members(
        &mut self,
        newest: Option<&Arc<Event>>,
        from: SnapshotId,
        to: SnapshotId,
    ) -> Result<Vec<(OwnedUserId, MemberRow)>, RoomError> {
        let snapshots = self.rooms.snapshots().clone();
        let differences = snapshots.difference_in(&self.batch, self.room.number, from, to).await?;
        let mut moved = Vec::new();
        for difference in differences {
            let Some(index) = difference.to.or(difference.from) else { continue };
            let event = match newest.filter(|newest| newest.index() == index) {
                Some(newest) => Arc::clone(newest),
                None => self.event(index).await?,
            };
            let Some(user_id) = index::member_of(&event) else { continue };
            let before = self.member(&user_id).await?;
            let mut row = index::member_row(&event, before.as_ref());
            if difference.to.is_none() {
                row.membership = MembershipState::Leave;
            }
            index::count(&mut self.state.head, before.as_ref(), &row);
            self.members.insert(user_id.clone(), row.clone());
            moved.push((user_id, row));
        }
        Ok(moved)
    }

    /// Adds events of which it is only known that they are of this room: their auth events allow
    /// them. Those whose auth events are not there are left out.
    pub(in crate::room) async fn add_outliers(&mut self, pdus: Vec<Pdu>) -> Result<(), RoomError> {
        for pdu in in_order(pdus, |pdu| &pdu.auth_events) {
            let known = match self.take_known(pdu, Arrival::New).await {
                Ok(known) => known,
                Err(ReceiveError::Room(error)) => return Err(error),
                Err(_) => continue,
            };
            let Ok(mut event) = known else { continue };
            if event.index() < self.state.head.next_event {
                // An outlier that is there.
                continue;
            }
            let auth_events = match self.auth_events(&event).await {
                Ok(auth_events) => auth_events,
                Err(ReceiveError::Room(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(event_id = %event.event_id, %error, "an outlier is left out");
                    continue;
                }
            };
            let rules = &self.room.rules.authorization;
            let allowed = authorise_auth_events(rules, &event, auth_events.iter())
                .and_then(|()| authorise_in(rules, &event, &by_key(&auth_events)));
            event.standing.verdict = match allowed {
                Ok(()) => Verdict::Outlier,
                Err(_) => Verdict::Rejected,
            };
            let event = Arc::new(event);
            self.outliers.insert(event.event_id.clone(), Arc::clone(&event));
            self.put(event, Spot::Nowhere, Vec::new()).await?;
        }
        self.keeps_lock = true;
        Ok(())
    }

    /// Whether a snapshot that the batch may be about to write has this state.
    pub(in crate::room) async fn has_state(
        &self,
        snapshot: SnapshotId,
        kind: &StateEventType,
    ) -> Result<bool, RoomError> {
        let (rooms, room) = (&self.rooms, &self.room);
        Ok(rooms.pending_state(&self.batch, room, snapshot, kind, "").await?.is_some())
    }

    /// The snapshot that these state events make; rejected ones are left out.
    pub(in crate::room) async fn snapshot_of(
        &mut self,
        event_ids: &[OwnedEventId],
    ) -> Result<SnapshotId, RoomError> {
        let mut entries = Vec::with_capacity(event_ids.len());
        for event_id in event_ids {
            let Some(event) = self.stored(event_id).await? else { continue };
            let Some(state_key) = &event.state_key else { continue };
            if event.standing.verdict == Verdict::Rejected {
                continue;
            }
            let kind = StateEventType::from(event.kind.to_string());
            let next = &mut self.state.head.next_state_key;
            let (batch, room) = (&mut self.batch, &self.room);
            let key = self.rooms.state_key_in(batch, room, next, &kind, state_key).await?;
            entries.push((key, event.index()));
        }
        let number = self.room.number;
        Ok(self.rooms.snapshots().clone().from_entries(&mut self.batch, number, entries).await?)
    }
}

/// Whether an event of which this was decided finds its place now.
fn may_be_taken(verdict: Verdict, arrival: Arrival) -> bool {
    match verdict {
        Verdict::Outlier => true,
        Verdict::SoftFailed => arrival == Arrival::Reconsidered,
        _ => false,
    }
}

enum Judgement {
    Accept,
    SoftFail(String),
    Reject(String),
}

fn by_key(events: &[Arc<Event>]) -> StateEvents {
    let keyed = events.iter().filter_map(|event| {
        let key = (StateEventType::from(event.kind.to_string()), event.state_key.clone()?);
        Some((key, Arc::clone(event)))
    });
    keyed.collect()
}
