//! Who is typing in which room? Kept in memory; it is over when the time is up.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#typing-notifications)

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use kith_store::{Change, StreamPosition, tables::RoomNumber};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ephemeral::{LocalNews, Serials},
    room::{RoomError, Rooms},
    waiters::Waiters,
};

/// The longest that a client may claim to be typing without saying so again.
const LONGEST: Duration = Duration::from_secs(120);
/// How long a user of another server is believed to be typing who does not say so again.
const REMOTE: Duration = Duration::from_secs(60);
/// Other servers are told again of whoever goes on for so long.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Typing in one team's rooms. Cheap to clone.
#[derive(Clone)]
pub struct Typing {
    rooms: Rooms,
    serials: Serials,
    waiters: Waiters,
    news: LocalNews,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomNumber, TypingRoom>,
    /// By the serial of their last change, so that nobody looks at those that did not change.
    changed: BTreeMap<u64, RoomNumber>,
}

impl State {
    /// Notes that somebody started or stopped.
    fn touch(&mut self, room: RoomNumber, serial: u64) {
        if let Some(typing) = self.rooms.get_mut(&room) {
            self.changed.remove(&typing.serial);
            typing.serial = serial;
            self.changed.insert(serial, room);
        }
    }
}

#[derive(Default)]
struct TypingRoom {
    users: BTreeMap<OwnedUserId, Typist>,
    /// When somebody last started or stopped.
    serial: u64,
}

#[derive(Debug, Clone, Copy)]
struct Typist {
    until: Instant,
    /// When other servers were last told.
    told: Instant,
}

impl Typing {
    pub fn new(rooms: Rooms, serials: Serials, waiters: Waiters, news: LocalNews) -> Self {
        Self { rooms, serials, waiters, news, state: Arc::default(), changed: Arc::default() }
    }

    /// A user of another server types there, or stopped.
    pub async fn set_remote(
        &self,
        room: RoomNumber,
        user_id: &UserId,
        typing: bool,
    ) -> Result<(), RoomError> {
        self.set(room, user_id, typing.then_some(REMOTE)).await
    }

    /// The user types for at most this long, or stops.
    pub async fn set(
        &self,
        room: RoomNumber,
        user_id: &UserId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomError> {
        let changed = {
            let now = Instant::now();
            let mut state = self.state.lock();
            let typing = state.rooms.entry(room).or_default();
            let before = match timeout {
                Some(timeout) => {
                    let told = typing.users.get(user_id).map_or(now, |typist| typist.told);
                    let typist = Typist { until: now + timeout.min(LONGEST), told };
                    typing.users.insert(user_id.to_owned(), typist)
                }
                None => typing.users.remove(user_id),
            };
            let same = before.is_some() == timeout.is_some();
            let again = timeout.is_some() && before.is_some_and(|b| now - b.told >= TELL_AGAIN);
            if (!same || again) && self.rooms.team().is_ours(user_id) {
                if let Some(typist) = typing.users.get_mut(user_id) {
                    typist.told = now;
                }
                self.news.typing(room, user_id, timeout.is_some());
            }
            if !same {
                state.touch(room, self.serials.next());
            }
            !same
        };
        self.changed.notify_one();
        if changed {
            self.wake(room).await?;
        }
        Ok(())
    }

    /// Who is typing, if that changed after `since`.
    pub fn since(&self, room: RoomNumber, since: u64) -> Option<Vec<OwnedUserId>> {
        let state = self.state.lock();
        let typing = state.rooms.get(&room).filter(|typing| typing.serial > since)?;
        Some(typing.users.keys().cloned().collect())
    }

    /// The rooms in which somebody started or stopped after `since`.
    pub fn rooms_since(&self, since: u64) -> Vec<RoomNumber> {
        let state = self.state.lock();
        state.changed.range(since.saturating_add(1)..).map(|(_, number)| *number).collect()
    }

    /// Ends what is over, until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        // Rooms where nobody has typed for this long are forgotten: every client that waits has been
        // told by then.
        const FORGET: Duration = Duration::from_secs(300);
        let mut sweep = Instant::now() + FORGET;
        let mut published = self.rooms.store().stream().subscribe();
        let mut seen = *published.borrow_and_update();
        loop {
            let next = {
                let state = self.state.lock();
                let typists = state.rooms.values().flat_map(|room| room.users.values());
                typists.map(|typist| typist.until).min()
            };
            let next = next.unwrap_or(sweep).min(sweep);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.changed.notified() => continue,
                changed = published.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let since = std::mem::replace(&mut seen, *published.borrow_and_update());
                    if let Err(error) = self.end_with_membership(since).await {
                        tracing::warn!(%error, "typing: it cannot be read who left");
                    }
                    continue;
                }
                () = sleep_until(next) => {}
            }
            for room in self.expire(Instant::now()) {
                if let Err(error) = self.wake(room).await {
                    tracing::warn!(%error, "typing: a room cannot be read");
                }
            }
            if Instant::now() >= sweep {
                let mut state = self.state.lock();
                state.rooms.retain(|_, room| !room.users.is_empty());
                let State { rooms, changed } = &mut *state;
                changed.retain(|_, number| rooms.contains_key(number));
                sweep = Instant::now() + FORGET;
            }
        }
    }

    /// Whoever is no longer in a room does not type there.
    async fn end_with_membership(&self, since: StreamPosition) -> Result<(), RoomError> {
        // What memory has forgotten was minutes ago: that typing is over.
        let changes = self.rooms.store().stream().since(since).unwrap_or_default();
        let rooms: BTreeSet<RoomNumber> = {
            let state = self.state.lock();
            let changed = changes.iter().filter_map(|published| match *published.change {
                Change::Event { room, .. } => Some(room),
                _ => None,
            });
            let typing =
                |room: &RoomNumber| state.rooms.get(room).is_some_and(|r| !r.users.is_empty());
            changed.filter(typing).collect()
        };
        for number in rooms {
            let Some(room) = self.rooms.by_number(number).await? else { continue };
            let joined = self.rooms.local_joined(&room).await?;
            let mut gone = Vec::new();
            for user_id in self.typists(number) {
                let is_in = match self.rooms.team().is_ours(&user_id) {
                    true => joined.contains(&user_id),
                    false => self.rooms.members().is_joined(number, &user_id).await?,
                };
                if !is_in {
                    gone.push(user_id);
                }
            }
            for user_id in gone {
                self.set(number, &user_id, None).await?;
            }
        }
        Ok(())
    }

    fn typists(&self, room: RoomNumber) -> Vec<OwnedUserId> {
        let state = self.state.lock();
        let room = state.rooms.get(&room);
        room.map(|room| room.users.keys().cloned().collect()).unwrap_or_default()
    }

    fn expire(&self, now: Instant) -> Vec<RoomNumber> {
        let mut expired = Vec::new();
        let mut state = self.state.lock();
        for (number, room) in &mut state.rooms {
            let before = room.users.len();
            room.users.retain(|user_id, typist| {
                let goes_on = typist.until > now;
                if !goes_on && self.rooms.team().is_ours(user_id) {
                    self.news.typing(*number, user_id, false);
                }
                goes_on
            });
            if room.users.len() < before {
                expired.push(*number);
            }
        }
        for number in &expired {
            state.touch(*number, self.serials.next());
        }
        expired
    }

    async fn wake(&self, room: RoomNumber) -> Result<(), RoomError> {
        if let Some(room) = self.rooms.by_number(room).await? {
            self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
        }
        Ok(())
    }
}
