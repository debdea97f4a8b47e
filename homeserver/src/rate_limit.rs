//! How often may somebody do something? One bucket for each kind of request and each user or address.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use ruma::{ServerName, UserId};

use crate::config;

/// How many buckets are remembered. A bucket that was forgotten is full again.
const BUCKETS: usize = 65_536;

/// A kind of request with a limit of its own; see [`config::RateLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Login,
    FailedLogin,
    Registration,
    Message,
    RoomCreation,
    Join,
    Invite,
    Upload,
    Preview,
    Search,
    Ephemeral,
    Report,
    Federation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct LimitExceeded {
    pub retry_after: Duration,
}

/// Whom a limit counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who<'a> {
    User(&'a UserId),
    /// An IPv6 address counts for its network of 64 bits: whoever has one address has them all.
    Address(IpAddr),
    Server(&'a ServerName),
}

impl<'a, T: AsRef<UserId>> From<&'a T> for Who<'a> {
    fn from(user: &'a T) -> Self {
        Self::User(user.as_ref())
    }
}

impl From<IpAddr> for Who<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
                let network = v6.to_bits() >> 64 << 64;
                Self::Address(IpAddr::V6(network.into()))
            }
            other => Self::Address(other.to_canonical()),
        }
    }
}

/// The buckets of one team. Cheap to clone.
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    limits: config::RateLimits,
    started: Instant,
    hasher: RandomState,
    /// By a hash of action and [`Who`]: when the bucket is full again, in nanoseconds after
    /// `started`.
    full_at: Cache<u64, Arc<AtomicU64>>,
}

impl RateLimiter {
    pub fn new(limits: config::RateLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            started: Instant::now(),
            hasher: RandomState::new(),
            full_at: crate::cache::of_at_most(BUCKETS),
        }))
    }

    /// Takes one from the bucket: `limits.check(Action::Message, &requester.user_id)?`.
    pub fn check<'a>(&self, action: Action, who: impl Into<Who<'a>>) -> Result<(), LimitExceeded> {
        self.take(action, who.into(), 1)
    }

    /// Whether the bucket has one left, without taking it.
    pub fn peek<'a>(&self, action: Action, who: impl Into<Who<'a>>) -> Result<(), LimitExceeded> {
        self.take(action, who.into(), 0)
    }

    fn take(&self, action: Action, who: Who<'_>, cost: u32) -> Result<(), LimitExceeded> {
        let inner = &self.0;
        let config::RateLimit::On { per_second, burst } = inner.limit(action) else {
            return Ok(());
        };
        let key = inner.hasher.hash_one((action, who));
        let Some(bucket) = inner.bucket(key, cost > 0) else { return Ok(()) };
        let now = u64::try_from(inner.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut full_at = bucket.load(Ordering::Relaxed);
        loop {
            let next = step(full_at, now, per_second, burst, cost)?;
            match bucket.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(newer) => full_at = newer,
            }
        }
    }
}

impl Inner {
    fn limit(&self, action: Action) -> config::RateLimit {
        let limits = &self.limits;
        let limit = match action {
            Action::Login => limits.login,
            Action::FailedLogin => limits.failed_login,
            Action::Registration => limits.registration,
            Action::Message => limits.message,
            Action::RoomCreation => limits.room_creation,
            Action::Join => limits.join,
            Action::Invite => limits.invite,
            Action::Upload => limits.upload,
            Action::Preview => limits.preview,
            Action::Search => limits.search,
            Action::Ephemeral => limits.ephemeral,
            Action::Report => limits.report,
            Action::Federation => limits.federation,
        };
        limits.effective(limit)
    }

    fn bucket(&self, key: u64, make: bool) -> Option<Arc<AtomicU64>> {
        if !make {
            return self.full_at.get(&key);
        }
        let made = self.full_at.get_or_insert_with(&key, || Ok::<_, ()>(Arc::default()));
        made.ok()
    }
}

/// A token bucket as one number: the moment at which it is full again. Answers that moment after
/// `cost` tokens are taken. Times are in nanoseconds.
fn step(
    full_at: u64,
    now: u64,
    per_second: f64,
    burst: u32,
    cost: u32,
) -> Result<u64, LimitExceeded> {
    let token = 1e9 / per_second;
    // Float to integer saturates, so that no setting can wrap around.
    let capacity = (token * f64::from(burst)) as u64;
    let next = full_at.max(now).saturating_add((token * f64::from(cost)) as u64);
    let least = full_at.max(now).saturating_add(token as u64);
    match least.saturating_sub(now).checked_sub(capacity) {
        None | Some(0) => Ok(next),
        Some(wait) => Err(LimitExceeded { retry_after: Duration::from_nanos(wait) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_served_and_then_the_rate() {
        let mut full_at = 0;
        for _ in 0..3 {
            full_at = step(full_at, SECOND, 2.0, 3, 1).expect("within the burst");
        }
        let refused = step(full_at, SECOND, 2.0, 3, 1).expect_err("the burst is used up");
        assert_eq!(refused.retry_after, Duration::from_millis(500));
        let later = SECOND + 500_000_000;
        let full_at = step(full_at, later, 2.0, 3, 1).expect("one token came back");
        step(full_at, later, 2.0, 3, 1).expect_err("only one");
    }

    #[test]
    fn looking_takes_nothing() {
        let full_at = step(0, SECOND, 1.0, 1, 0).expect("full");
        step(full_at, SECOND, 1.0, 1, 1).expect("still full");
    }

    #[test]
    fn extreme_settings_do_not_wrap() {
        step(u64::MAX, 0, 1e-300, u32::MAX, 1).expect("an endless bucket");
        step(u64::MAX, 0, 1e300, 1, 1).expect_err("far in the future");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| Who::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:127.0.0.1"), of("127.0.0.1"));
        assert_ne!(of("127.0.0.1"), of("127.0.0.2"));
    }

    #[test]
    fn limits_count_apart() {
        let limits = config::RateLimits {
            login: config::RateLimit::On { per_second: 0.001, burst: 1 },
            message: config::RateLimit::On { per_second: 0.001, burst: 1 },
            ..config::RateLimits::default()
        };
        let limiter = RateLimiter::new(limits.clone());
        let (alice, bob) = (ruma::owned_user_id!("@alice:kith"), ruma::owned_user_id!("@bob:kith"));
        limiter.check(Action::Message, &alice).expect("the first");
        limiter.check(Action::Message, &alice).expect_err("the second");
        limiter.check(Action::Message, &bob).expect("another user");
        limiter.check(Action::Login, &alice).expect("another action");
        let off = RateLimiter::new(config::RateLimits { enabled: false, ..limits });
        for _ in 0..100 {
            off.check(Action::Message, &alice).expect("switched off");
        }
    }
}
