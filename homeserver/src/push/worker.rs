//! How does one pusher's gateway hear of everything, and of one thing after the other?
//!
//! A worker is a task that lives as long as there is something to tell. It tries again and again, ever
//! more seldom; what is a day old is not worth telling any more.
//! [Spec](https://spec.matrix.org/latest/push-gateway-api/#homeserver-behaviour)

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, OnceLock},
    time::Duration,
};

use kith_store::{StreamPosition, tables::QueuedPush};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomAliasId, UInt,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    badge::Badges,
    gateway::{self, Gateways, Outcome, Told},
    pushers::{Pusher, PusherId, Pushers},
    queue::Queue,
    unread::Unread,
};
use crate::room::{Room, RoomError, Rooms, event::Event};

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A notification that nobody took for so long is dropped.
const TOO_OLD: Duration = Duration::from_secs(24 * 3600);
/// How many pushers' last badges are remembered.
const BADGES: usize = 50_000;

/// What there is to do for a pusher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its queue grew.
    Events,
    /// The number of unread messages may have changed.
    Badge,
}

/// The workers of one team. Cheap to clone.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    rooms: Rooms,
    unread: Unread,
    badges: Badges,
    pushers: Pushers,
    queue: Queue,
    gateways: Gateways,
    tasks: OnceLock<(TaskTracker, CancellationToken)>,
    /// Pushers that have a worker now, and what came in since that looked. At most one for each pusher.
    at_work: Mutex<HashMap<PusherId, Vec<Due>>>,
    /// The number that each gateway was last told.
    told: Cache<PusherId, u64>,
}

/// How the worker goes on.
enum Next {
    Done,
    Retry(String),
    /// There is no such pusher any more.
    Gone,
}

impl Workers {
    pub fn new(
        rooms: Rooms,
        unread: Unread,
        badges: Badges,
        pushers: Pushers,
        queue: Queue,
        gateways: Gateways,
    ) -> Self {
        Self(Arc::new(Inner {
            rooms,
            unread,
            badges,
            pushers,
            queue,
            gateways,
            tasks: OnceLock::new(),
            at_work: Mutex::default(),
            told: crate::cache::of_at_most(BADGES),
        }))
    }

    /// From now on there are tasks.
    pub fn begin(&self, tasks: TaskTracker, stopping: CancellationToken) {
        // A second beginning would be a mistake of ours and changes nothing.
        let _ = self.0.tasks.set((tasks, stopping));
    }

    /// There is something to do: a worker starts, or the one at work hears of it.
    pub fn wake(&self, id: PusherId, due: Due) {
        let Some((tasks, stopping)) = self.0.tasks.get() else { return };
        match self.0.at_work.lock().entry(id.clone()) {
            Entry::Occupied(mut at_work) => {
                if !at_work.get().contains(&due) {
                    at_work.get_mut().push(due);
                }
                return;
            }
            Entry::Vacant(entry) => entry.insert(vec![due]),
        };
        let (workers, stopping) = (self.clone(), stopping.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = workers.work(id) => {}
            }
        });
    }

    async fn work(&self, id: PusherId) {
        let mut failures = 0;
        loop {
            let Some(due) = self.take(&id) else { return };
            let mut next = self.empty_queue(&id).await;
            if due.contains(&Due::Badge) && matches!(next, Ok(Next::Done)) {
                next = self.badge(&id).await;
            }
            let failure = match next {
                Ok(Next::Done) => {
                    failures = 0;
                    continue;
                }
                Ok(Next::Gone) => match self.0.queue.clear(&id).await {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                Ok(Next::Retry(reason)) => reason,
                Err(error) => error.to_string(),
            };
            let pause = pause_after(failures);
            failures += 1;
            let user = &id.user_id;
            tracing::debug!(%user, app = id.app_id, failures, failure, "push: the gateway fails");
            for due in due {
                self.wake(id.clone(), due);
            }
            self.rest(&id, pause).await;
        }
    }

    /// What is due; `None` if nothing is, and the worker ends.
    fn take(&self, id: &PusherId) -> Option<Vec<Due>> {
        let mut at_work = self.0.at_work.lock();
        let due = at_work.get_mut(id).map(std::mem::take).unwrap_or_default();
        if due.is_empty() {
            at_work.remove(id);
            return None;
        }
        Some(due)
    }

    /// Waits, unless the pusher changes: a new URL is worth a try at once.
    async fn rest(&self, id: &PusherId, pause: Duration) {
        let row = |pusher: Option<Pusher>| pusher.map(|pusher| pusher.row);
        let until = Instant::now() + pause;
        let before = row(self.0.pushers.get(id));
        loop {
            let changed = self.0.pushers.changed().notified();
            let now = row(self.0.pushers.get(id));
            let same = match (&before, &now) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (None, None) => true,
                _ => false,
            };
            if !same {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => return,
                () = changed => {}
            }
        }
    }

    /// Tells everything that waits, the oldest first.
    async fn empty_queue(&self, id: &PusherId) -> Result<Next, RoomError> {
        while let Some((position, queued)) = self.0.queue.next(id, oldest_worth_telling()).await? {
            let Some(pusher) = self.live(id).await? else { return Ok(Next::Gone) };
            match self.tell(&pusher, position, &queued).await {
                Ok(Next::Done) => {}
                Ok(other) => return Ok(other),
                Err(RoomError::Store(error)) => return Err(error.into()),
                // What cannot be read holds up nothing.
                Err(error) => tracing::warn!(%error, position, "push: an event is passed over"),
            }
            self.0.queue.done(id, position).await?;
        }
        Ok(Next::Done)
    }

    async fn live(&self, id: &PusherId) -> Result<Option<Pusher>, kith_store::Error> {
        let Some(pusher) = self.0.pushers.get(id) else { return Ok(None) };
        let live = self.0.pushers.is_live(&pusher).await? && !pusher.row.disabled;
        Ok(live.then_some(pusher))
    }

    /// Tells of one event, if the user still wants to know of it.
    async fn tell(
        &self,
        pusher: &Pusher,
        position: StreamPosition,
        queued: &QueuedPush,
    ) -> Result<Next, RoomError> {
        let rooms = &self.0.rooms;
        let Some(room) = rooms.by_number(queued.room).await? else { return Ok(Next::Done) };
        let event = rooms.event(&room, queued.event).await?;
        if !self.is_news(pusher, &room, &event, position).await? {
            return Ok(Next::Done);
        }
        let unread = self.0.badges.of(&pusher.id.user_id).await?;
        let sender = rooms.members().get(room.number, &event.sender).await?;
        let told = Told {
            event: &event,
            tweaks: &queued.tweaks,
            sender_display_name: sender.and_then(|member| member.display_name),
            room_name: self.room_name(&room).await?,
            room_alias: self.room_alias(&room).await?,
        };
        let notification = gateway::of_event(pusher, &told, unread);
        self.send(pusher, &notification, unread).await
    }

    /// Whether the user is still in the room, or invited, and has not read the event meanwhile.
    async fn is_news(
        &self,
        pusher: &Pusher,
        room: &Room,
        event: &Event,
        position: StreamPosition,
    ) -> Result<bool, RoomError> {
        let user_id = &pusher.id.user_id;
        let member = self.0.rooms.members().get(room.number, user_id).await?;
        let Some(member) = member.filter(|_| event.standing.redacted_by.is_none()) else {
            return Ok(false);
        };
        match member.membership {
            MembershipState::Join => {
                let upto = self.0.rooms.store().stream().position();
                self.0.unread.is_unread(room, user_id, &member, position, upto).await
            }
            MembershipState::Invite => Ok(member.event == event.index()),
            _ => Ok(false),
        }
    }

    /// Tells the number of unread messages, if it is another than the last time.
    async fn badge(&self, id: &PusherId) -> Result<Next, RoomError> {
        let Some(pusher) = self.live(id).await? else { return Ok(Next::Gone) };
        let unread = self.0.badges.of(&id.user_id).await?;
        if self.0.told.get(id) == Some(unread) {
            return Ok(Next::Done);
        }
        self.send(&pusher, &gateway::of_badge(&pusher, unread), unread).await
    }

    async fn send(
        &self,
        pusher: &Pusher,
        notification: &serde_json::Value,
        unread: u64,
    ) -> Result<Next, RoomError> {
        match self.0.gateways.notify(pusher, notification).await {
            Outcome::Accepted => {
                self.0.told.insert(pusher.id.clone(), unread);
                Ok(Next::Done)
            }
            Outcome::Rejected => {
                let user = &pusher.id.user_id;
                tracing::info!(%user, app = pusher.id.app_id, "push: the gateway rejects the key");
                self.0.pushers.remove(pusher.id.clone()).await?;
                Ok(Next::Gone)
            }
            Outcome::Failed(reason) => Ok(Next::Retry(reason)),
        }
    }

    async fn room_name(&self, room: &Room) -> Result<Option<String>, RoomError> {
        let kind = StateEventType::RoomName;
        let content: Option<Name> = self.0.rooms.current_state(room, &kind, "").await?;
        Ok(content.map(|content| content.name).filter(|name| !name.is_empty()))
    }

    async fn room_alias(&self, room: &Room) -> Result<Option<OwnedRoomAliasId>, RoomError> {
        let kind = StateEventType::RoomCanonicalAlias;
        let content: Option<Alias> = self.0.rooms.current_state(room, &kind, "").await?;
        Ok(content.map(|content| content.alias))
    }
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Alias {
    alias: OwnedRoomAliasId,
}

fn pause_after(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures));
    pause.min(LONGEST_PAUSE)
}

fn oldest_worth_telling() -> MilliSecondsSinceUnixEpoch {
    let now = MilliSecondsSinceUnixEpoch::now().get();
    let too_old = UInt::try_from(TOO_OLD.as_millis()).unwrap_or(UInt::MAX);
    MilliSecondsSinceUnixEpoch(now.saturating_sub(too_old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses = [0, 1, 2, 11, 12, 100].map(|failures| pause_after(failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 2048, 3600, 3600]);
    }
}
