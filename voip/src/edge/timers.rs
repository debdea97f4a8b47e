//! Which peer needs to be driven next? An entry may be early (the peer is asked again) but never late.

use std::{collections::BTreeSet, time::Instant};

use super::PeerKey;

#[derive(Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Instant, PeerKey)>,
}

impl Timers {
    /// Moves a peer from `old` to `new` if that is earlier; returns what is kept.
    pub(crate) fn earlier(&mut self, key: PeerKey, old: Option<Instant>, new: Instant) -> Instant {
        match old {
            Some(old) if old <= new => old,
            old => {
                if let Some(old) = old {
                    self.entries.remove(&(old, key));
                }
                self.entries.insert((new, key));
                new
            }
        }
    }

    pub(crate) fn remove(&mut self, key: PeerKey, at: Option<Instant>) {
        if let Some(at) = at {
            self.entries.remove(&(at, key));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// A peer whose time has come; it has no entry then.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<PeerKey> {
        let (at, _) = self.entries.first()?;
        if *at > now {
            return None;
        }
        self.entries.pop_first().map(|(_, key)| key)
    }
}
