//! How do we show that the server does what the specification says?
//!
//! Tests start a real server on a free port of this machine ([`TestServer`]), talk to it as clients
//! do ([`TestUser`]: HTTP and plain JSON, no types shared with the server), and judge its
//! [`Answer`]s. Every request is noted for `make spec-report` ([`record`]).

pub mod record;
pub mod report;

mod answer;
mod gateway;
mod crypto;
mod path;
mod process;
mod proxy;
mod server;
mod sliding;
mod sync;
mod user;

pub use answer::Answer;
pub use crypto::{CrossSigningKeys, DeviceKeys, SigningKey, random_key};
pub use gateway::{PushGateway, Reply};
pub use path::encode;
pub use process::KithProcess;
pub use proxy::{Passed, RecordingProxy};
pub use server::{ReachedServer, TestServer};
pub use sliding::{Slide, SlidingSync};
pub use sync::{Events, Sync, SyncRequest};
pub use user::{TestUser, event_ids};
