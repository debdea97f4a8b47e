//! How often is a publisher asked for a keyframe? Many subscribers lose a frame at once; one keyframe
//! helps them all, and too many ruin the picture.

use std::time::{Duration, Instant};

/// At most two requests a second for one layer.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// The requests for one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyframeRequests {
    last: Option<Instant>,
    waiting: bool,
}

impl KeyframeRequests {
    /// Somebody needs a keyframe. True if the publisher is to be asked now.
    pub(crate) fn wanted(&mut self, now: Instant) -> bool {
        self.waiting = true;
        self.due(now)
    }

    /// True if somebody still waits and the publisher may be asked again.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL);
        if !self.waiting || soon {
            return false;
        }
        self.last = Some(now);
        self.waiting = false;
        true
    }

    /// A keyframe came: nobody waits any more.
    pub(crate) fn came(&mut self) {
        self.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bundled_and_none_is_lost() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut requests = KeyframeRequests::default();
        assert!(requests.wanted(at(0)));
        assert!(!requests.wanted(at(10)) && !requests.wanted(at(20)));
        assert!(!requests.due(at(499)));
        assert!(requests.due(at(500)), "the later ones are answered together");
        assert!(!requests.due(at(2000)), "and only once");
    }

    #[test]
    fn a_keyframe_answers_all_who_waited() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        requests.wanted(start);
        requests.wanted(start);
        requests.came();
        assert!(!requests.due(start + INTERVAL));
    }
}
