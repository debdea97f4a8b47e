//! In which order did things happen that no log keeps: typing and presence?

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Numbers for ephemeral changes. They begin at the clock in microseconds, so that those of one run
/// are greater than those of the runs before, and a token from then still makes sense.
#[derive(Debug, Clone)]
pub struct Serials(Arc<AtomicU64>);

impl Default for Serials {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(AtomicU64::new(u64::try_from(now.as_micros()).unwrap_or(0))))
    }
}

impl Serials {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The newest number that was given.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
