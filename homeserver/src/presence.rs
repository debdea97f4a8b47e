//! Who is here? Kept in memory: presence is about now.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#presence)

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId, presence::PresenceState};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    ephemeral::{LocalNews, Serials},
    room::{RoomError, Rooms},
    users::Requester,
    waiters::Waiters,
};

/// Without a sync for this long a device is forgotten; a user without devices is offline.
const OFFLINE_AFTER: Duration = Duration::from_secs(45);
/// Without doing anything for this long an online user is unavailable.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// For this long after doing something a user is "currently active".
const ACTIVE_FOR: Duration = Duration::from_secs(60);

/// Without news from their server for this long a user of another server is offline.
const REMOTE: Duration = Duration::from_secs(30 * 60);
/// Other servers are told again of whoever is here for so long.
const TELL_AGAIN: Duration = Duration::from_secs(20 * 60);
/// Users of other servers are not remembered beyond so many of all.
const USERS: usize = 100_000;
/// How many devices of a user are listened to.
const DEVICES: usize = 16;

/// The presence of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Presence {
    enabled: bool,
    rooms: Rooms,
    serials: Serials,
    waiters: Waiters,
    news: LocalNews,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    users: HashMap<OwnedUserId, UserPresence>,
    /// By the serial of their last change, so that nobody looks at those who did not change.
    changed: BTreeMap<u64, OwnedUserId>,
}

/// What is known of one user.
#[derive(Debug, Clone)]
pub struct UserPresence {
    /// The liveliest of their devices.
    pub state: PresenceState,
    pub status: Option<String>,
    last_active: Option<Instant>,
    devices: HashMap<OwnedDeviceId, DevicePresence>,
    /// What another server says of its user.
    remote: Option<DevicePresence>,
    /// When other servers were last told.
    told: Option<Instant>,
    serial: u64,
}

/// How one device says that its user is, and until when that is believed.
#[derive(Debug, Clone)]
struct DevicePresence {
    state: PresenceState,
    until: Instant,
}

impl Default for UserPresence {
    fn default() -> Self {
        let state = PresenceState::Offline;
        Self {
            state,
            status: None,
            last_active: None,
            devices: HashMap::new(),
            remote: None,
            told: None,
            serial: 0,
        }
    }
}

impl UserPresence {
    pub fn last_active_ago(&self) -> Option<Duration> {
        self.last_active.map(|last_active| last_active.elapsed())
    }

    pub fn currently_active(&self) -> bool {
        self.state == PresenceState::Online
            && self.last_active_ago().is_some_and(|ago| ago < ACTIVE_FOR)
    }

    /// The content of `m.presence`, without the user.
    pub fn content(&self) -> Value {
        let mut content = json!({ "presence": self.state });
        if let Some(status) = &self.status {
            content["status_msg"] = status.as_str().into();
        }
        if let Some(ago) = self.last_active_ago() {
            content["last_active_ago"] = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX).into();
            content["currently_active"] = self.currently_active().into();
        }
        content
    }

    fn device(&mut self, device_id: &DeviceId, state: PresenceState, until: Instant) {
        if self.devices.len() >= DEVICES && !self.devices.contains_key(device_id) {
            let oldest = self.devices.iter().min_by_key(|(_, device)| device.until);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.devices.remove(&oldest);
            }
        }
        let now_online = state == PresenceState::Online;
        let before = self.devices.insert(device_id.to_owned(), DevicePresence { state, until });
        if now_online && before.is_none_or(|before| before.state != PresenceState::Online) {
            // They are back.
            self.last_active = Some(Instant::now());
        }
    }

    /// What the devices that are still heard of say together.
    fn collate(&mut self, now: Instant) {
        if let Some(remote) = &self.remote {
            let believed = remote.until > now;
            self.state = if believed { remote.state.clone() } else { PresenceState::Offline };
            return;
        }
        self.devices.retain(|_, device| device.until > now);
        let says = |state| self.devices.values().any(|device| device.state == state);
        let (online, unavailable) = (says(PresenceState::Online), says(PresenceState::Unavailable));
        let idle = self.last_active.is_none_or(|active| now - active >= IDLE_AFTER);
        self.state = match (online, unavailable) {
            (true, _) if !idle => PresenceState::Online,
            (true, _) | (_, true) => PresenceState::Unavailable,
            _ => PresenceState::Offline,
        };
    }

    /// What others are told of.
    fn shown(&self) -> (PresenceState, Option<String>, bool) {
        (self.state.clone(), self.status.clone(), self.currently_active())
    }
}

impl Presence {
    pub fn new(rooms: Rooms, serials: Serials, waiters: Waiters, news: LocalNews) -> Self {
        let enabled = rooms.team().config().presence.enabled;
        Self { enabled, rooms, serials, waiters, news, known: Arc::default() }
    }

    /// How a user of another server is, as that says.
    pub async fn set_remote(
        &self,
        user_id: &UserId,
        state: PresenceState,
        status: Option<String>,
        last_active_ago: Duration,
    ) -> Result<(), RoomError> {
        let known = self.known.lock().users.len();
        if known >= USERS && self.get(user_id).is_none() {
            return Ok(());
        }
        self.update(user_id, |user, now| {
            user.status = status;
            user.last_active = now.checked_sub(last_active_ago);
            user.remote = Some(DevicePresence { state, until: now + REMOTE });
        })
        .await
    }

    /// The user says how they are.
    pub async fn set(
        &self,
        requester: &Requester,
        state: PresenceState,
        status: Option<String>,
    ) -> Result<(), RoomError> {
        self.update(&requester.user_id, |user, now| {
            user.status = status;
            user.last_active = Some(now);
            user.device(&requester.device_id, state, now + OFFLINE_AFTER);
        })
        .await
    }

    /// A client of the user syncs, and will wait for this long.
    pub async fn synced(
        &self,
        requester: &Requester,
        state: &PresenceState,
        wait: Duration,
    ) -> Result<(), RoomError> {
        if *state == PresenceState::Offline {
            return Ok(());
        }
        self.update(&requester.user_id, |user, now| {
            user.device(&requester.device_id, state.clone(), now + wait + OFFLINE_AFTER);
        })
        .await
    }

    /// The user did something: sent, read, typed. It ends an absence, but brings nobody online who
    /// does not want to be.
    pub async fn active(&self, requester: &Requester) -> Result<(), RoomError> {
        self.update(&requester.user_id, |user, now| {
            user.last_active = Some(now);
            if let Some(device) = user.devices.get_mut(&requester.device_id)
                && device.state == PresenceState::Unavailable
            {
                device.state = PresenceState::Online;
            }
        })
        .await
    }

    pub fn get(&self, user_id: &UserId) -> Option<UserPresence> {
        self.known.lock().users.get(user_id).cloned()
    }

    /// Users whose presence changed after `since`.
    pub fn since(&self, since: u64) -> Vec<(OwnedUserId, UserPresence)> {
        let known = self.known.lock();
        let changed = known.changed.range(since.saturating_add(1)..);
        let with_user = |(_, user_id): (_, &OwnedUserId)| {
            known.users.get(user_id).map(|user| (user_id.clone(), user.clone()))
        };
        changed.filter_map(with_user).collect()
    }

    /// Lets those go offline who have not been heard of, until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        if !self.enabled {
            return;
        }
        let mut ticks = interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            for user_id in self.to_tell_again(Instant::now()) {
                self.news.presence(&user_id);
            }
            for user_id in self.gone(Instant::now()) {
                if let Err(error) = self.update(&user_id, |_, _| ()).await {
                    tracing::warn!(%error, "presence: a user's rooms cannot be read");
                }
            }
        }
    }

    /// Our users who have been here for long.
    fn to_tell_again(&self, now: Instant) -> Vec<OwnedUserId> {
        let mut known = self.known.lock();
        let mut users = Vec::new();
        for (user_id, user) in &mut known.users {
            if user.state != PresenceState::Offline
                && user.told.is_some_and(|told| now - told >= TELL_AGAIN)
            {
                user.told = Some(now);
                users.push(user_id.clone());
            }
        }
        users
    }

    /// Users who are not offline, and one of whose devices has not been heard of.
    fn gone(&self, now: Instant) -> Vec<OwnedUserId> {
        let known = self.known.lock();
        let gone = known.users.iter().filter(|(_, user)| {
            user.state != PresenceState::Offline
                && user.devices.values().chain(&user.remote).any(|device| device.until <= now)
        });
        gone.map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Changes a user's presence; tells others only if they would see a difference.
    async fn update(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut UserPresence, Instant),
    ) -> Result<(), RoomError> {
        if !self.enabled {
            return Ok(());
        }
        {
            let now = Instant::now();
            let mut known = self.known.lock();
            let known = &mut *known;
            let user = known.users.entry(user_id.to_owned()).or_default();
            let before = user.shown();
            change(user, now);
            user.collate(now);
            if before == user.shown() {
                return Ok(());
            }
            known.changed.remove(&user.serial);
            user.serial = self.serials.next();
            if self.rooms.team().is_ours(user_id) {
                user.told = Some(now);
                self.news.presence(user_id);
            }
            known.changed.insert(user.serial, user_id.to_owned());
        }
        self.waiters.wake(user_id);
        let rooms = self.rooms.members().of_user(user_id).await?;
        for (number, row) in rooms.iter() {
            if row.membership != ruma::events::room::member::MembershipState::Join {
                continue;
            }
            if let Some(room) = self.rooms.by_number(*number).await? {
                self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
            }
        }
        Ok(())
    }
}
