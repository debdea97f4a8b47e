//! Where do files lie, and how do they get there and back?
//!
//! - [`chunks`]: pieces of files by content, encrypted, on one or two datastores.
//! - [`record`]: what is known of a file. [`upload`]: how its bytes come, in one request or in many.
//!   [`download`]: how they go. [`quota`]: how many there may be.
//! - [`references`]: who names a file. [`retention`]: when files go. [`moderation`]: what nobody gets to
//!   see. [`manifest`]: what the datastore itself is told of the files in it.
//! - [`sniff`]: what a file is by its first bytes. [`thumbnail`]: small pictures of files. [`preview`]: what is
//!   behind URLs. [`decoder`]: the process in which [`picture`] may die of what it is given.
//!
//! - [`plan`]: how other processes read files, which have the datastore and no index.
//!
//! One store is one team's. See README.md for what is here and what never is.

mod agenda;
mod append;
pub mod backend;
mod buffers;
pub mod chunker;
pub mod chunks;
pub mod collector;
pub mod config;
mod crypto;
pub mod decoder;
pub mod download;
mod error;
mod flight;
mod format;
pub mod fsck;
mod generation;
mod hash;
pub mod id;
pub mod journal;
mod keys;
mod layout;
mod live;
pub mod manifest;
mod mirror;
pub mod moderation;
pub mod moving;
pub mod old;
mod pack;
pub mod picture;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod quota;
pub mod record;
pub mod references;
pub mod retention;
pub mod rotation;
pub mod scrub;
pub mod sniff;
pub mod thumbnail;
mod turns;
pub mod upload;
mod verify;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kith_store::{Store, tables::MediaRow};
use parking_lot::Mutex;
use ruma::OwnedServerName;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    chunks::Chunks,
    live::Live,
    quota::{Counters, Owner},
};
pub use self::{
    download::Download,
    error::Error,
    id::Mxc,
    policy::{Policy, Quota},
    upload::{Append, Appended, Meta, Reservation},
};
pub use kith_store::tables::{BlockedRow, MediaRow as Row, MediaState as State, UsageRow as Usage};

/// How many chunks are written at once by all uploads together: each is in memory meanwhile.
const PUTS: usize = 24;

/// One team's files. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    /// The team's own: files of other names are other servers'.
    pub(crate) server: OwnedServerName,
    pub(crate) chunks: Chunks,
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) live: Arc<Live>,
    /// Files of other servers that were asked for since their rows were written, and when.
    pub(crate) recent: Mutex<HashMap<Mxc, u64>>,
    pub(crate) puts: Semaphore,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl MediaStore {
    pub fn new(server: OwnedServerName, chunks: Chunks, store: Store, policy: Policy) -> Self {
        Self(Arc::new(Inner {
            server,
            counters: Counters::new(store.clone()),
            chunks,
            store,
            policy,
            live: Arc::default(),
            recent: Mutex::default(),
            puts: Semaphore::new(PUTS),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }))
    }

    pub fn chunks(&self) -> &Chunks {
        &self.0.chunks
    }

    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub fn is_own(&self, mxc: &Mxc) -> bool {
        mxc.server == self.0.server
    }

    /// Waits so long for the uploads that are on their way, and then ends them; what has come of them is
    /// durable when this answers.
    pub async fn close(&self, patience: Duration) {
        self.0.tasks.close();
        let _ = tokio::time::timeout(patience, self.0.tasks.wait()).await;
        self.0.stopping.cancel();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        (self.policy.clock)()
    }

    pub(crate) fn is_remote(&self, mxc: &Mxc) -> bool {
        mxc.server != self.server
    }

    pub(crate) fn owner<'a>(&self, mxc: &Mxc, row: &'a MediaRow) -> Owner<'a> {
        if self.is_remote(mxc) { Owner::Remote } else { Owner::Local(row.uploader.as_deref()) }
    }
}
