//! By how much does a track run late? Jitter buffers count a track's time from its first packet by its
//! RTP timestamps; when the packet was captured is known once sender reports have come.

use std::time::Instant;

/// Nanoseconds; smaller errors are left alone, as nobody sees them and each correction is a step.
const WORTH_IT: i64 = 15_000_000;

/// Keeps one track in step with the others of its participant.
pub(super) struct Offset {
    /// The first packet: the extended RTP time and the pipeline's running time in nanoseconds.
    first: Option<(u32, i64)>,
    /// Ticks since the first packet, extended.
    ticks: i64,
    last: u32,
    clock_rate: u32,
    applied: i64,
}

impl Offset {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { first: None, ticks: 0, last: 0, clock_rate: clock_rate.max(1), applied: 0 }
    }

    /// Takes a packet that was captured at the running time `captured` (nanoseconds); what the track's
    /// offset is to be, if it changes.
    pub(super) fn step(&mut self, timestamp: u32, captured: i64) -> Option<i64> {
        let Some((_, start)) = self.first else {
            self.first = Some((timestamp, captured));
            self.last = timestamp;
            return None;
        };
        self.ticks += i64::from(timestamp.wrapping_sub(self.last) as i32);
        self.last = timestamp;
        let counted = start + self.ticks * 1_000_000_000 / i64::from(self.clock_rate);
        let offset = captured - counted;
        if (offset - self.applied).abs() < WORTH_IT {
            return None;
        }
        self.applied = offset;
        Some(offset)
    }
}

/// Nanoseconds from `start` to `at`, which may be before it.
pub(super) fn since(start: Instant, at: Instant) -> i64 {
    let nanos =
        |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match at.checked_duration_since(start) {
        Some(after) => nanos(after),
        None => -nanos(start.saturating_duration_since(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first packet came 80 ms late and a report tells so only with the third.
    #[test]
    fn a_late_report_puts_the_track_in_its_place_once() {
        let mut offset = Offset::new(90_000);
        let milli = 1_000_000;
        assert_eq!(offset.step(u32::MAX - 10, 80 * milli), None);
        assert_eq!(offset.step(2989, 113 * milli), None, "33 ms later, over the wrap");
        assert_eq!(offset.step(5989, 67 * milli), Some(-79_666_666));
        assert_eq!(offset.step(8989, 100 * milli), None);
        assert_eq!(offset.step(8989, 110 * milli), None, "jitter of 10 ms is no reason");
    }
}
