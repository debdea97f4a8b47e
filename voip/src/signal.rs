//! How do clients reach the relay? HTTP and WebSockets, in LiveKit's manner.

mod budget;
mod query;
mod router;
mod socket;

pub(crate) use budget::Budget;
pub(crate) use query::JoinQuery;
pub(crate) use router::router;
pub(crate) use socket::{PING_INTERVAL, PING_TIMEOUT};
