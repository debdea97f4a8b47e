//! Which of its simulcast layers need a publisher send? Those up to the best that somebody wants to see.

use std::time::{Duration, Instant};

/// Windows are moved and people come back: layers are switched off only after a while.
const PATIENCE: Duration = Duration::from_secs(3);

/// What one publisher was told of one track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dynacast {
    /// The best quality that is to be sent: 0 (low) to 2 (high).
    told: Option<usize>,
    /// Since when less would do.
    less: Option<Instant>,
}

impl Default for Dynacast {
    /// Publishers send everything until they are told otherwise.
    fn default() -> Self {
        Self { told: Some(usize::MAX), less: None }
    }
}

impl Dynacast {
    /// Takes the best quality that anybody wants at `now`; true if the publisher is to be told of it.
    pub(crate) fn step(&mut self, wanted: Option<usize>, now: Instant) -> bool {
        if wanted == self.told {
            self.less = None;
            return false;
        }
        if wanted < self.told {
            let since = *self.less.get_or_insert(now);
            if now.saturating_duration_since(since) < PATIENCE {
                return false;
            }
        }
        self.told = wanted;
        self.less = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_asked_for_at_once_and_less_after_a_while() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut dynacast = Dynacast::default();
        assert!(!dynacast.step(Some(0), at(0)) && !dynacast.step(Some(0), at(2900)));
        assert!(dynacast.step(Some(0), at(3000)));
        assert!(!dynacast.step(Some(0), at(9000)), "told once");
        assert!(dynacast.step(Some(2), at(9001)));
        assert!(!dynacast.step(None, at(9100)) && !dynacast.step(Some(2), at(10_000)));
        assert!(!dynacast.step(None, at(12_200)), "somebody looked in between");
        assert!(dynacast.step(None, at(15_300)));
    }
}
