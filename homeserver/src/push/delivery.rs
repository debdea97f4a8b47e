//! Who tells the push gateways? A reader of the log and a worker for each pusher that has something
//! to hear.
//!
//! The reader looks only at users who have pushers. It queues what they are to be told of in the
//! commit that moves its cursor, and wakes the workers; after a crash it goes on from the cursor, and
//! the workers from the queues. A gateway may so hear of an event twice, and never not at all.

use std::time::Duration;

use kith_store::{
    Change, Published, Store, StreamPosition,
    tables::{EventIndex, QueuedPush, RoomNumber},
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
    push::{Action, Tweak},
};
use serde_json::{Map, Value};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    judge::Judge,
    pushers::Pushers,
    queue::{Additions, Queue},
    worker::{Due, Workers},
};
use crate::room::{Room, RoomError, event::Event};

/// How many changes are looked at before the cursor moves.
const CHANGES: usize = 500;
/// How far the cursor may fall behind while there is nothing to queue.
const BEHIND: u64 = 10_000;
/// Before the log is read again after the database failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The reader of one team's log. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    store: Store,
    judge: Judge,
    pushers: Pushers,
    queue: Queue,
    workers: Workers,
    /// Where the log is read from.
    start: StreamPosition,
}

impl Delivery {
    /// Finds where to go on; at the very first start from now.
    pub async fn open(
        judge: Judge,
        pushers: Pushers,
        queue: Queue,
        workers: Workers,
    ) -> Result<Self, kith_store::Error> {
        let store = judge.rooms().store().clone();
        let start = match queue.cursor().await? {
            Some(start) => start,
            None => {
                let start = store.stream().position();
                queue.advance(Additions::default(), start).await?;
                start
            }
        };
        Ok(Self { store, judge, pushers, queue, workers, start })
    }

    /// Reads until the server stops.
    pub async fn run(self, tasks: TaskTracker, stopping: CancellationToken) {
        let stream = self.store.stream().clone();
        let mut published = stream.subscribe();
        self.workers.begin(tasks, stopping.clone());
        let mut cursor = Cursor { seen: self.start, stored: self.start };
        if let Err(error) = self.resume().await {
            tracing::error!(%error, "push: what waits for delivery cannot be read");
        }
        loop {
            let upto = *published.borrow_and_update();
            if let Err(error) = self.read(&mut cursor, upto).await {
                tracing::error!(%error, "push: the log cannot be read");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep(AFTER_ERROR) => continue,
                }
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                changed = published.changed() => if changed.is_err() { return },
            }
        }
        if cursor.seen > cursor.stored
            && let Err(error) = self.queue.advance(Additions::default(), cursor.seen).await
        {
            tracing::warn!(%error, "push: the cursor stays where it was");
        }
    }

    /// Goes on with what was not delivered before the last stop.
    async fn resume(&self) -> Result<(), kith_store::Error> {
        for id in self.queue.waiting().await? {
            self.workers.wake(id, Due::Events);
        }
        Ok(())
    }

    async fn read(
        &self,
        cursor: &mut Cursor,
        upto: StreamPosition,
    ) -> Result<(), kith_store::Error> {
        while cursor.seen < upto {
            let changes = self.store.changes(cursor.seen, CHANGES).await?;
            let Some(last) = changes.last().map(|change| change.position) else { return Ok(()) };
            let mut additions = Additions::default();
            for Published { position, change } in changes {
                match self.look_at(position, &change, &mut additions).await {
                    Ok(()) => {}
                    Err(RoomError::Store(error)) => return Err(error),
                    // What cannot be read now cannot be read later either: it holds up nothing.
                    Err(error) => tracing::warn!(%error, position, "push: a change is passed over"),
                }
            }
            if !additions.is_empty() || last - cursor.stored >= BEHIND {
                for id in self.queue.advance(additions, last).await? {
                    self.workers.wake(id, Due::Events);
                }
                cursor.stored = last;
            }
            cursor.seen = last;
        }
        Ok(())
    }

    async fn look_at(
        &self,
        position: StreamPosition,
        change: &Change,
        additions: &mut Additions,
    ) -> Result<(), RoomError> {
        if self.pushers.users() == 0 {
            return Ok(());
        }
        match change {
            Change::Event { room, index } => {
                self.event(position, *room, *index, additions).await?;
            }
            Change::Membership { room, user } if self.pushers.has_any(user) => {
                // An invite into a room that this server is not in: no event of a timeline.
                let row = self.judge.rooms().members().get(*room, user).await?;
                match row.filter(|row| row.position == position) {
                    Some(row) if row.membership == MembershipState::Invite => {
                        self.event(position, *room, row.event, additions).await?;
                    }
                    _ => self.badge_due(user),
                }
            }
            Change::Receipt { user, .. } => self.badge_due(user),
            Change::DeviceList { user, .. } if self.pushers.has_any(user) => {
                self.pushers.without_devices(user).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The user may have read something.
    fn badge_due(&self, user_id: &UserId) {
        for pusher in self.pushers.of(user_id).iter() {
            self.workers.wake(pusher.id.clone(), Due::Badge);
        }
    }

    async fn event(
        &self,
        position: StreamPosition,
        room: RoomNumber,
        index: EventIndex,
        additions: &mut Additions,
    ) -> Result<(), RoomError> {
        let Some(room) = self.judge.rooms().by_number(room).await? else { return Ok(()) };
        let joined = self.judge.rooms().local_joined(&room).await?;
        let mut users = self.pushers.among(&joined);
        let event = self.judge.rooms().event(&room, index).await?;
        if event.kind == TimelineEventType::RoomMember
            && let Some(target) = event.state_key.as_deref()
            && let Ok(target) = UserId::parse(target)
            && self.pushers.has_any(&target)
            && !users.contains(&target)
        {
            users.push(target);
        }
        for user_id in users {
            if event.sender == user_id {
                self.badge_due(&user_id);
                continue;
            }
            let Some(tweaks) = self.tweaks(&room, &event, position, &user_id).await? else {
                continue;
            };
            let queued = MilliSecondsSinceUnixEpoch::now();
            let row = QueuedPush { room: room.number, event: index, queued, tweaks };
            for pusher in self.pushers.of(&user_id).iter() {
                if pusher.row.since < position && !pusher.row.disabled {
                    additions.push(pusher.id.clone(), position, row.clone());
                }
            }
        }
        Ok(())
    }

    /// How the user is to be told of the event; `None` if not at all.
    async fn tweaks(
        &self,
        room: &Room,
        event: &Event,
        position: StreamPosition,
        user_id: &OwnedUserId,
    ) -> Result<Option<Map<String, Value>>, RoomError> {
        let Some(member) = self.judge.rooms().members().get(room.number, user_id).await? else {
            return Ok(None);
        };
        let is_invite =
            member.membership == MembershipState::Invite && member.event == event.index();
        let is_joined = member.membership == MembershipState::Join
            && member.joined_at.is_some_and(|joined_at| joined_at < position);
        if !is_invite && !is_joined {
            return Ok(None);
        }
        let attention = self.judge.rules().attention(user_id).await?;
        let name = member.display_name.as_deref();
        let mut context = self.judge.context(room, user_id, name).await?;
        let notifies = self.judge.judge(&attention, room, event, &mut context).await?;
        Ok(notifies.map(|notifies| tweaks(notifies.actions)))
    }
}

/// How far the log was read, and from where it is read after a crash.
struct Cursor {
    seen: StreamPosition,
    stored: StreamPosition,
}

fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let mut tweaks = Map::new();
    for action in actions {
        let Action::SetTweak(tweak) = action else { continue };
        let value = match tweak {
            Tweak::Highlight(_) => action.is_highlight().into(),
            tweak => match tweak.value() {
                Some(value) => serde_json::from_str(value.get()).unwrap_or_default(),
                None => Value::Null,
            },
        };
        tweaks.insert(tweak.set_tweak().to_owned(), value);
    }
    tweaks
}
