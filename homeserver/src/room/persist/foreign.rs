//! Events that other servers made: what they are worth, and where they go.
//!
//! Everything here happens under the room's lock. What must be fetched first was fetched before; see
//! [`super::super::receive`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use kith_store::{
    Json,
    tables::{self, SnapshotId, Verdict},
};
use ruma::{EventId, OwnedEventId, events::StateEventType, state_res::auth_types_for_event};

use super::{RoomWriter, Spot};
use crate::room::{
    RoomError,
    authorise::{StateEvents, authorise_auth_events, authorise_in},
    event::Event,
    pdu::{Pdu, in_order},
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
pub(super) const LOOKED_THROUGH: usize = 200;

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
