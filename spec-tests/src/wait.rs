//! What becomes true after a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything takes that happens at all, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until the answer is there; fails the test, saying `what` is missing, if it never is.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "still not there: {what}");
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}
