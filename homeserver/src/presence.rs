//! Who is here? Kept in memory: presence is about now.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#presence)

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId, presence::PresenceState};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    ephemeral::Serials,
    room::{RoomError, Rooms},
    waiters::Waiters,
};

/// Without a sync for this long a user is offline.
const OFFLINE_AFTER: Duration = Duration::from_secs(45);
/// Without doing anything for this long an online user is unavailable.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// For this long after doing something a user is "currently active".
const ACTIVE_FOR: Duration = Duration::from_secs(60);

/// The presence of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Presence {
    enabled: bool,
    rooms: Rooms,
    serials: Serials,
    waiters: Waiters,
    users: Arc<Mutex<HashMap<OwnedUserId, UserPresence>>>,
}

/// What is known of one user.
#[derive(Debug, Clone)]
pub struct UserPresence {
    pub state: PresenceState,
    pub status: Option<String>,
    last_active: Option<Instant>,
    last_sync: Instant,
    serial: u64,
}

impl UserPresence {
    fn new(now: Instant) -> Self {
        let state = PresenceState::Offline;
        Self { state, status: None, last_active: None, last_sync: now, serial: 0 }
    }

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
}

impl Presence {
    pub fn new(rooms: Rooms, serials: Serials, waiters: Waiters) -> Self {
        let enabled = rooms.team().config().presence.enabled;
        Self { enabled, rooms, serials, waiters, users: Arc::default() }
    }

    /// The user says how they are.
    pub async fn set(
        &self,
        user_id: &UserId,
        state: PresenceState,
        status: Option<String>,
    ) -> Result<(), RoomError> {
        self.update(user_id, |user, now| {
            user.state = state;
            user.status = status;
            user.last_active = Some(now);
            user.last_sync = now;
        })
        .await
    }

    /// A client of the user syncs.
    pub async fn synced(&self, user_id: &UserId, state: &PresenceState) -> Result<(), RoomError> {
        if *state == PresenceState::Offline {
            return Ok(());
        }
        self.update(user_id, |user, now| {
            user.last_sync = now;
            user.last_active.get_or_insert(now);
            let idle = user.last_active.is_some_and(|active| now - active >= IDLE_AFTER);
            user.state = match state {
                PresenceState::Online if idle => PresenceState::Unavailable,
                other => other.clone(),
            };
        })
        .await
    }

    /// The user did something: sent, read, typed. It ends an absence, but brings nobody online who
    /// does not want to be.
    pub async fn active(&self, user_id: &UserId) -> Result<(), RoomError> {
        self.update(user_id, |user, now| {
            user.last_active = Some(now);
            if user.state == PresenceState::Unavailable {
                user.state = PresenceState::Online;
            }
        })
        .await
    }

    pub fn get(&self, user_id: &UserId) -> Option<UserPresence> {
        self.users.lock().get(user_id).cloned()
    }

    /// Users whose presence changed after `since`.
    pub fn since(&self, since: u64) -> Vec<(OwnedUserId, UserPresence)> {
        let users = self.users.lock();
        let changed = users.iter().filter(|(_, user)| user.serial > since);
        changed.map(|(user_id, user)| (user_id.clone(), user.clone())).collect()
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
            for user_id in self.gone(Instant::now()) {
                let offline =
                    self.update(&user_id, |user, _| user.state = PresenceState::Offline).await;
                if let Err(error) = offline {
                    tracing::warn!(%error, "presence: a user's rooms cannot be read");
                }
            }
        }
    }

    /// Users who are not offline and have not been heard of. Whoever waits in a sync is here,
    /// however long it takes.
    fn gone(&self, now: Instant) -> Vec<OwnedUserId> {
        let mut gone = Vec::new();
        for (user_id, user) in self.users.lock().iter_mut() {
            if self.waiters.is_waiting(user_id) {
                user.last_sync = now;
            } else if user.state != PresenceState::Offline && now - user.last_sync >= OFFLINE_AFTER
            {
                gone.push(user_id.clone());
            }
        }
        gone
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
            let mut users = self.users.lock();
            let user = users.entry(user_id.to_owned()).or_insert_with(|| UserPresence::new(now));
            let before = (user.state.clone(), user.status.clone());
            change(user, now);
            if before == (user.state.clone(), user.status.clone()) {
                return Ok(());
            }
            user.serial = self.serials.next();
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
