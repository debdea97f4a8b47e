//! What is new for a client?
//!
//! A reader of the log: it never writes. Tokens hold positions and nothing else.

pub mod token;
pub mod v3;
mod changes;
pub mod filter;
mod e2ee;
mod ephemeral;
mod joined;
mod lazy_members;
mod summary;

use kith_store::{Change, Store};
use ruma::events::TimelineEventType;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use self::{filter::FilterError, lazy_members::LazyMembers, token::SyncToken};
use crate::{
    account_data::AccountData,
    ephemeral::Serials,
    invites::Invites,
    keys::Keys,
    presence::Presence,
    push::unread::Unread,
    receipts::Receipts,
    room::{RoomError, Rooms},
    team::Team,
    to_device::ToDevice,
    typing::Typing,
    waiters::Waiters,
};

/// Everything that a sync reads. Cheap to clone.
#[derive(Clone)]
pub struct Sync {
    pub team: Team,
    pub store: Store,
    pub rooms: Rooms,
    pub keys: Keys,
    pub to_device: ToDevice,
    pub account_data: AccountData,
    pub invites: Invites,
    pub receipts: Receipts,
    pub typing: Typing,
    pub presence: Presence,
    pub unread: Unread,
    pub serials: Serials,
    pub waiters: Waiters,
    pub lazy_members: LazyMembers,
}

impl Sync {
    /// Where everything stands now.
    fn now(&self) -> SyncToken {
        let position = self.store.stream().position();
        SyncToken { position, ephemeral: self.serials.current(), to_device: position }
    }

    /// Waits for a wake; `false` when the time is up or the server stops.
    async fn woken(&self, notified: impl Future<Output = ()>, deadline: Instant) -> bool {
        tokio::select! {
            () = notified => true,
            () = sleep_until(deadline) => false,
            () = self.team.stopping().cancelled() => false,
        }
    }

    /// Wakes those whom a published change concerns, until the server stops.
    pub async fn run(self, stopping: CancellationToken) {
        let stream = self.store.stream().clone();
        let mut published = stream.subscribe();
        let mut seen = *published.borrow_and_update();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = published.changed() => if changed.is_err() { return },
            }
            let upto = *published.borrow_and_update();
            match stream.since(seen) {
                Some(changes) => {
                    for change in changes {
                        if let Err(error) = self.wake(&change.change).await {
                            tracing::warn!(%error, "sync: cannot tell whom a change concerns");
                        }
                    }
                }
                // More happened meanwhile than memory holds.
                None => self.waiters.wake_everyone(),
            }
            seen = upto;
        }
    }

    async fn wake(&self, change: &Change) -> Result<(), RoomError> {
        match change {
            Change::Event { room, index } => {
                let Some(room) = self.rooms.by_number(*room).await? else { return Ok(()) };
                self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
                let event = self.rooms.event(&room, *index).await?;
                if event.kind == TimelineEventType::RoomMember
                    && let Some(user_id) = &event.state_key
                    && let Ok(user_id) = ruma::UserId::parse(user_id)
                {
                    self.waiters.wake(&user_id);
                }
            }
            Change::Receipt { room, .. } => {
                let Some(room) = self.rooms.by_number(*room).await? else { return Ok(()) };
                self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
            }
            Change::DeviceList { user } => {
                self.waiters.wake(user);
                for (number, _) in self.rooms.members().of_user(user).await?.iter() {
                    let Some(room) = self.rooms.by_number(*number).await? else { continue };
                    self.waiters.wake_all(self.rooms.local_joined(&room).await?.iter());
                }
            }
            Change::AccountData { user, .. }
            | Change::Membership { user, .. }
            | Change::ToDevice { user, .. }
            | Change::Keys { user, .. }
            | Change::Signature { by: user, .. }
            | Change::Profile { user }
            | Change::ThreadSubscription { user, .. } => self.waiters.wake(user),
        }
        Ok(())
    }
}
