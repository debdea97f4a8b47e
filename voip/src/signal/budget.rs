//! Does somebody send too much? A token bucket; the clock is a parameter.

use std::time::{Duration, Instant};

/// So much a second, and twice as much at once.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    per_second: u64,
    left: u64,
    filled: Instant,
}

impl Budget {
    pub(crate) fn new(per_second: u64, now: Instant) -> Self {
        Self { per_second, left: per_second.saturating_mul(2), filled: now }
    }

    /// False if `amount` is more than is left.
    pub(crate) fn take(&mut self, amount: u64, now: Instant) -> bool {
        self.fill(now);
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(2));
        let earned = u128::from(self.per_second) * elapsed.as_micros() / 1_000_000;
        if earned > 0 {
            self.filled = now;
            let full = self.per_second.saturating_mul(2);
            self.left = self.left.saturating_add(earned as u64).min(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_fine_and_a_flood_is_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut budget = Budget::new(10, start);
        let taken = (0..100).filter(|_| budget.take(1, at(0))).count();
        assert_eq!(taken, 20);
        assert!(!budget.take(1, at(50)) && budget.take(1, at(100)));
        let taken = (0..1000).filter(|step| budget.take(1, at(100 + step * 10))).count();
        assert!((99..=121).contains(&taken), "{taken} in ten seconds");
    }
}
