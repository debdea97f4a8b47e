//! When was a packet's content captured? Sender reports (RFC 3550, section 6.4) put the timestamps of a
//! participant's tracks on one clock; players keep lips and voice together by what we make of it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A sender's clock that claims more than this is not believed.
const MAX_DELAY: f64 = 1.0;

/// Seconds by which the shortest delay is forgotten with each packet: clocks drift (100 ppm at 1,000
/// packets a second).
const FORGET: f64 = 1e-7;

/// How a participant's clock relates to ours: shared by all of its tracks.
#[derive(Clone, Debug)]
pub(crate) struct ParticipantClock {
    started: Instant,
    /// Seconds from a capture on the sender's clock to the earliest arrival on ours, since `started`.
    offset: Option<f64>,
}

/// The latest sender report of one track.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrackClock {
    /// Seconds since the epoch on the sender's clock, and the RTP timestamp of the same moment.
    report: Option<(f64, u32)>,
}

impl TrackClock {
    pub(crate) fn report(&mut self, time: SystemTime, timestamp: u32) {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.report = Some((seconds, timestamp));
    }

    /// Seconds since the epoch on the sender's clock.
    fn captured(&self, timestamp: u32, clock_rate: u32) -> Option<f64> {
        let (seconds, reported) = self.report?;
        let ticks = timestamp.wrapping_sub(reported) as i32;
        Some(seconds + f64::from(ticks) / f64::from(clock_rate.max(1)))
    }
}

impl ParticipantClock {
    pub(crate) fn new(now: Instant) -> Self {
        Self { started: now, offset: None }
    }

    /// Our time of the capture of what arrives at `now` with `timestamp`: its arrival until a report
    /// came, and never after it. Network jitter is taken out by the shortest delay seen.
    pub(crate) fn captured(
        &mut self,
        track: &TrackClock,
        timestamp: u32,
        clock_rate: u32,
        now: Instant,
    ) -> Instant {
        let Some(captured) = track.captured(timestamp, clock_rate) else { return now };
        let arrived = now.saturating_duration_since(self.started).as_secs_f64();
        let delay = arrived - captured;
        let offset = match self.offset {
            // A clock that was set: start again.
            Some(offset) if (delay - offset).abs() > MAX_DELAY * 10.0 => delay,
            Some(offset) => delay.min(offset + FORGET),
            None => delay,
        };
        self.offset = Some(offset);
        let late = (delay - offset).clamp(0.0, MAX_DELAY);
        now.checked_sub(Duration::from_secs_f64(late)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Audio comes 20 ms after its capture, video 80 ms, with jitter: both are put at the same moment.
    #[test]
    fn tracks_of_one_participant_meet_on_one_clock() {
        let start = Instant::now();
        let mut clock = ParticipantClock::new(start);
        let (mut audio, mut video) = (TrackClock::default(), TrackClock::default());
        let sender = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        audio.report(sender, 4_294_967_000);
        video.report(sender, 77);
        let mut apart = Duration::ZERO;
        for step in 1..200u32 {
            let captured = Duration::from_millis(u64::from(step) * 20);
            let jitter = Duration::from_millis(u64::from(step * 7 % 11));
            let heard = clock.captured(
                &audio,
                4_294_967_000u32.wrapping_add(step * 960),
                48_000,
                start + captured + Duration::from_millis(20) + jitter,
            );
            let seen = clock.captured(
                &video,
                77 + step * 1800,
                90_000,
                start + captured + Duration::from_millis(80) + jitter,
            );
            if step > 20 {
                let difference = seen.max(heard) - seen.min(heard);
                apart = apart.max(difference);
            }
        }
        assert!(apart < Duration::from_millis(1), "{apart:?} apart");
    }

    #[test]
    fn without_a_report_the_arrival_counts_and_nonsense_is_not_believed() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut clock = ParticipantClock::new(start);
        let mut track = TrackClock::default();
        assert_eq!(clock.captured(&track, 1, 90_000, later), later);
        track.report(UNIX_EPOCH, 0);
        for timestamp in [0, u32::MAX, 1 << 31, 12_345] {
            let captured = clock.captured(&track, timestamp, 0, later);
            assert!(captured <= later && later - captured <= Duration::from_secs(1));
        }
    }
}
