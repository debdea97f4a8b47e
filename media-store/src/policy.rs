//! How much may be kept, and how long?

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Tells the time, in milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
pub struct Policy {
    /// Bytes of one file that a user uploads.
    pub largest: u64,
    /// How many URIs a user may have reserved without having uploaded to them.
    pub pending: u64,
    /// How long a reserved URI waits for its first byte.
    pub unused: Duration,
    /// How long an upload waits for its next byte before it is forgotten.
    pub unfinished: Duration,
    /// How long one request may be silent.
    pub silence: Duration,
    /// Bytes of a chunk of a file that is not cut by content.
    pub chunk: u32,
    pub user: Quota,
    /// Of all local users together.
    pub team: Quota,
    /// How long what was deleted can be brought back.
    pub trash: Duration,
    /// How long a file stays that nothing names any more.
    pub unreferenced: Duration,
    /// Bytes of all files of other servers.
    pub remote: u64,
    /// How long a file of another server stays that nobody asks for.
    pub remote_age: Option<Duration>,
    /// How exactly it is known when a file was asked for last.
    pub access: Duration,
    pub clock: Clock,
}

/// What is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub bytes: Option<u64>,
    pub files: Option<u64>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Default for Policy {
    fn default() -> Self {
        Self {
            largest: 100 << 20,
            pending: 5,
            unused: DAY,
            unfinished: DAY,
            silence: MINUTE,
            chunk: 4 << 20,
            user: Quota::default(),
            team: Quota::default(),
            trash: DAY,
            unreferenced: DAY,
            remote: 10 << 30,
            remote_age: None,
            access: 15 * MINUTE,
            clock: Arc::new(system_time),
        }
    }
}

impl Policy {
    /// For what was accepted before.
    pub(crate) fn unlimited() -> Self {
        Self { user: Quota::default(), team: Quota::default(), ..Self::default() }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("largest", &self.largest).finish_non_exhaustive()
    }
}

fn system_time() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    milliseconds(since)
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
