//! What is new for a client?
//!
//! A reader of the log: it never writes. Tokens hold positions and nothing else.

pub mod filter;
pub mod sliding;
pub mod token;
pub mod v3;
mod account_data;
mod bump_stamp;
mod changes;
mod device_lists;
mod ephemeral;
mod memory;
mod stripped;
mod summary;
mod timeline;
mod wake;

use kith_store::Store;
use tokio::time::{Instant, sleep_until};

pub use self::{filter::FilterError, memory::Memory, token::SyncToken};
use crate::{
    account_data::AccountData, ephemeral::Serials, invites::Invites, keys::Keys,
    presence::Presence, push::unread::Unread, receipts::Receipts, room::Rooms, team::Team,
    thread_subscriptions::ThreadSubscriptions, to_device::ToDevice, typing::Typing,
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
    pub thread_subscriptions: ThreadSubscriptions,
    pub account_data: AccountData,
    pub invites: Invites,
    pub receipts: Receipts,
    pub typing: Typing,
    pub presence: Presence,
    pub unread: Unread,
    pub serials: Serials,
    pub waiters: Waiters,
    pub memory: Memory,
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
}
