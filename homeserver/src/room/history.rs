//! A room's history, page by page.

use std::{fmt, str::FromStr};

/// A place in a room's timeline: just after the event at this position. Clients get it as `t345`, or
/// `t-12` in history that was fetched later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelineToken(pub i64);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no token that this server gave")]
pub struct InvalidToken(pub String);

impl TimelineToken {
    /// The first position after this place.
    pub fn after(self) -> i64 {
        self.0.saturating_add(1)
    }
}

impl fmt::Display for TimelineToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl FromStr for TimelineToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let position = text.strip_prefix('t').and_then(|position| position.parse().ok());
        position.map(Self).ok_or_else(|| InvalidToken(text.to_owned()))
    }
}
