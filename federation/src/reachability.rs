//! Which servers cannot be reached just now? Whoever asks them would wait for nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use quick_cache::sync::Cache;
use ruma::{OwnedServerName, ServerName};

/// How many servers are remembered.
const REMEMBERED: usize = 10_000;
/// How long a server is left alone at most.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// After how many failures in a row the wait grows no more.
const MOST_DOUBLINGS: u32 = 10;

/// Servers that did not take a connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reachability(Arc<Cache<OwnedServerName, Unreachable>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unreachable {
    failures: u32,
    until: Instant,
}

impl Reachability {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Cache::new(REMEMBERED)))
    }

    /// When to try again, if not now.
    pub(crate) fn retry_at(&self, server: &ServerName) -> Option<SystemTime> {
        let left = self.0.get(server)?.until.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then(|| SystemTime::now() + left)
    }

    /// An attempt to connect failed after this long.
    pub(crate) fn failed(&self, server: &ServerName, spent: Duration) {
        let now = Instant::now();
        let before = self.0.peek(server);
        // Attempts that were under way together count as one.
        if before.is_some_and(|before| now < before.until) {
            return;
        }
        let failures = before.map_or(0, |before| before.failures);
        let until = now + wait(failures, spent);
        self.0.insert(server.to_owned(), Unreachable { failures: failures + 1, until });
    }

    /// It answered, or asked us something.
    pub(crate) fn reached(&self, server: &ServerName) {
        // Most servers never failed: reading is cheap.
        if self.0.peek(server).is_some() {
            self.0.remove(server);
        }
    }
}

/// A server is left alone for as long as the attempt took, and twice as long after each further failure:
/// one that refuses at once costs nothing, one that swallows packets is soon left alone for minutes.
fn wait(failures: u32, spent: Duration) -> Duration {
    spent.saturating_mul(2_u32.pow(failures.min(MOST_DOUBLINGS))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn the_wait_follows_what_the_attempt_cost() {
        let refused = Duration::from_millis(1);
        assert_eq!(wait(0, refused), Duration::from_millis(1));
        assert_eq!(wait(100, refused), Duration::from_millis(1024));
        let swallowed = Duration::from_secs(10);
        assert_eq!(wait(0, swallowed), Duration::from_secs(10));
        assert_eq!(wait(2, swallowed), Duration::from_secs(40));
        assert_eq!(wait(9, swallowed), LONGEST);
    }

    #[test]
    fn attempts_that_fail_together_count_as_one() {
        let servers = Reachability::new();
        let server = server_name!("a.example");
        for _ in 0..100 {
            servers.failed(server, Duration::from_secs(10));
        }
        let retry_at = servers.retry_at(server).expect("it failed");
        assert!(retry_at <= SystemTime::now() + Duration::from_secs(10));
    }

    #[test]
    fn a_server_that_shows_itself_is_asked_again() {
        let servers = Reachability::new();
        let server = server_name!("a.example");
        assert_eq!(servers.retry_at(server), None);
        servers.failed(server, Duration::from_secs(10));
        assert!(servers.retry_at(server).expect("it failed") > SystemTime::now());
        assert_eq!(servers.retry_at(server_name!("b.example")), None);
        servers.reached(server);
        assert_eq!(servers.retry_at(server), None);
    }
}
