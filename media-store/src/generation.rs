//! Is everything done that began before now?

use parking_lot::Mutex;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Whoever writes enters; whoever must know that all who entered before are gone lets a new generation begin.
#[derive(Default)]
pub(crate) struct Generations(Mutex<Generation>);

#[derive(Default)]
struct Generation {
    number: u64,
    writers: TaskTracker,
}

/// Counts for its generation while it lives.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) generation: u64,
    _token: TaskTrackerToken,
}

impl Generations {
    pub(crate) fn enter(&self) -> Entered {
        let current = self.0.lock();
        Entered { generation: current.number, _token: current.writers.token() }
    }

    /// Begins a new generation, and answers when nobody of those before it is left.
    pub(crate) async fn turn(&self) {
        let before = {
            let mut current = self.0.lock();
            current.number += 1;
            std::mem::take(&mut current.writers)
        };
        before.close();
        before.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_before_are_waited_for_and_those_after_are_not() {
        let generations = Generations::default();
        let before = generations.enter();
        let mut turn = Box::pin(generations.turn());
        assert!(futures_util::poll!(&mut turn).is_pending());
        let after = generations.enter();
        assert_ne!(before.generation, after.generation);
        drop(before);
        turn.await;
        drop(after);
    }
}
