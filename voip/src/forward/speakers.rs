//! Who speaks? From the audio level that each packet carries in the clear (RFC 6464), so it works with
//! encrypted calls too.

use std::time::Duration;

/// Levels are judged over this time.
pub(crate) const WINDOW: Duration = Duration::from_millis(400);

/// dBov; what is quieter is noise.
const THRESHOLD: i8 = -40;

/// A packet carries about this much sound.
const PACKET: Duration = Duration::from_millis(20);

/// A part of the window must be loud, so that a click is no speech.
const LOUD_PARTS: u32 = 4;

/// One audio track since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpeakerMeter {
    loud: u32,
    loudest: Option<i8>,
    speaking: bool,
}

/// What others are told of a speaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// 0 to 1, linear.
    pub level: f32,
    pub active: bool,
}

impl SpeakerMeter {
    /// Takes one packet's level in dBov: 0 is the loudest, -127 is silence.
    pub(crate) fn heard(&mut self, level: i8) {
        if level >= THRESHOLD {
            self.loud += 1;
        }
        self.loudest = self.loudest.max(Some(level));
    }

    /// Ends the window. `None` if nothing changed that others need to know.
    pub(crate) fn look(&mut self) -> Option<Level> {
        let packets = (WINDOW.as_millis() / PACKET.as_millis()) as u32;
        let active = self.loud >= packets / LOUD_PARTS;
        let was = std::mem::replace(&mut self.speaking, active);
        let loudest = self.loudest.take().unwrap_or(-127);
        self.loud = 0;
        if !active && !was {
            return None;
        }
        let level = if active { 10f32.powf(f32::from(loudest.min(0)) / 20.0) } else { 0.0 };
        Some(Level { level, active })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_told_until_it_ends_and_silence_never() {
        let mut meter = SpeakerMeter::default();
        for _ in 0..20 {
            meter.heard(-127);
        }
        assert_eq!(meter.look(), None);
        for _ in 0..20 {
            meter.heard(-20);
        }
        let level = meter.look().expect("somebody speaks");
        assert!(level.active && (level.level - 0.1).abs() < 0.001);
        assert_eq!(meter.look(), Some(Level { level: 0.0, active: false }), "then nothing came");
        assert_eq!(meter.look(), None);
    }

    #[test]
    fn a_click_is_no_speech() {
        let mut meter = SpeakerMeter::default();
        meter.heard(-3);
        assert_eq!(meter.look(), None);
    }
}
