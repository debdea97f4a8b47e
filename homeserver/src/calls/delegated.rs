//! Who says that somebody has left a call, if their client cannot? Clients hand over the event that says so
//! (a delayed one, `delayed_events`): it is put off as long as the relay sees them, and sent when they are gone.
//!
//! MSC4195, "Delegation of delayed leave events". What was handed over is in memory: after a restart the event
//! is sent when its own time comes.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use kith_voip::{Event, Relay};
use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{Mutex, Notify, broadcast::error::RecvError},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{CallError, Calls};
use crate::delayed_events::{DelayedAction, DelayedError, DelayedEvents, LONGEST};

/// An event is put off when this part of its delay has passed.
const PUT_OFF_AFTER: f64 = 0.8;
/// Without any news the relay is asked this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The shortest delay that is worth the work: clients ask for an hour.
pub(super) const SHORTEST: Duration = Duration::from_secs(5);

/// The relay's names of room and participant.
type Who = (String, String);

struct Delegated {
    user_id: OwnedUserId,
    delay_id: String,
    delay: Duration,
    /// When the event is put off next; nothing before they have been seen.
    next: Option<Instant>,
    /// Who has not been seen until then does not come.
    awaited_until: Instant,
}

/// What is to be done with the event of somebody.
struct Due {
    who: Who,
    user_id: OwnedUserId,
    delay_id: String,
    action: DelayedAction,
}

impl Delegated {
    fn due(&self, who: &Who, action: DelayedAction) -> Due {
        let Self { user_id, delay_id, .. } = self;
        Due { who: who.clone(), user_id: user_id.clone(), delay_id: delay_id.clone(), action }
    }
}

pub(super) struct Delegations {
    events: DelayedEvents,
    /// So many at a time.
    most: usize,
    given: Mutex<HashMap<Who, Delegated>>,
    changed: Notify,
}

impl Delegations {
    pub(super) fn new(events: DelayedEvents, most: usize) -> Self {
        Self { events, most, given: Mutex::default(), changed: Notify::new() }
    }

    /// Takes over the event of whoever was let in; a second one takes the place of the first.
    pub(super) async fn take_over(
        &self,
        who: Who,
        user_id: &UserId,
        delay_id: &str,
        delay: Duration,
    ) -> Result<(), CallError> {
        let known = self.events.get(user_id, delay_id).await?;
        if known.is_none_or(|row| row.finalised.is_some()) {
            return Err(CallError::NoDelayedEvent);
        }
        // No event waits longer, whatever the client says.
        let delay = delay.min(LONGEST);
        let delegated = Delegated {
            user_id: user_id.to_owned(),
            delay_id: delay_id.to_owned(),
            delay,
            next: None,
            awaited_until: Instant::now() + delay,
        };
        let mut given = self.given.lock().await;
        if given.len() >= self.most && !given.contains_key(&who) {
            return Err(CallError::Full);
        }
        given.insert(who, delegated);
        drop(given);
        self.changed.notify_one();
        Ok(())
    }

    /// Puts off what is due of those who are there, and sends what those left behind who were.
    async fn look(&self, there: &HashSet<Who>) {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut given = self.given.lock().await;
        given.retain(|who, it| match (there.contains(who), it.next) {
            (true, Some(next)) if next > now => true,
            (true, _) => {
                it.next = Some(now + it.delay.mul_f64(PUT_OFF_AFTER));
                due.push(it.due(who, DelayedAction::Restart));
                true
            }
            (false, Some(_)) => {
                due.push(it.due(who, DelayedAction::Send));
                false
            }
            (false, None) => it.awaited_until > now,
        });
        drop(given);
        for Due { who, user_id, delay_id, action } in due {
            match self.events.act(&user_id, &delay_id, action).await {
                Ok(()) => {}
                // The client has said itself that it leaves.
                Err(DelayedError::NotFound | DelayedError::WasCancelled) => {
                    self.given.lock().await.remove(&who);
                }
                Err(error) => tracing::debug!(%error, %user_id, ?action, "a delegated event"),
            }
        }
    }

    async fn next(&self) -> Instant {
        let given = self.given.lock().await;
        let next = given.values().map(|it| it.next.unwrap_or(it.awaited_until)).min();
        let latest = Instant::now() + LOOK_AGAIN;
        next.map_or(latest, |next| next.min(latest))
    }
}

impl Calls {
    /// Speaks for those whose clients cannot, until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        let Some(relay) = &self.0.relay else { return };
        let delegations = &self.0.delegations;
        let mut events = relay.events();
        loop {
            let next = delegations.next().await;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = delegations.changed.notified() => {}
                () = sleep_until(next) => {}
                event = events.recv() => match event {
                    Ok(Event::ParticipantJoined { room, identity }
                    | Event::ParticipantLeft { room, identity }) => {
                        if !delegations.given.lock().await.contains_key(&(room, identity)) {
                            continue;
                        }
                    }
                    Ok(Event::RoomFinished { .. }) => continue,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
            if !delegations.given.lock().await.is_empty() {
                delegations.look(&present(relay).await).await;
            }
        }
    }
}

async fn present(relay: &Relay) -> HashSet<Who> {
    let rooms = relay.rooms().await.into_iter();
    let people = |room: kith_voip::RoomSummary| {
        let name = room.name;
        room.identities.into_iter().map(move |identity| (name.clone(), identity))
    };
    rooms.flat_map(people).collect()
}
