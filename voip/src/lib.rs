//! How do callers get through to each other? See README.md for what is here and what never is.
//!
//! Calls go one way: `signal` (WebSockets) sends commands to the `worker`, which owns every `room`;
//! a room asks `forward` (pure steps) what to do with a packet and gives it to an `edge` (str0m). On request
//! packets pass GStreamer (`pipeline`) on their way, or are recorded by it.

mod config;
mod edge;
mod events;
mod forward;
mod metrics;
#[cfg_attr(not(feature = "pipeline"), path = "without_pipeline.rs")]
pub mod pipeline;
pub mod protocol;
mod recording;
mod relay;
mod room;
mod signal;
mod tap;
pub mod token;
pub mod turn;
mod worker;

pub use config::{Config, Limits, Rooms, Turn};
pub use events::{Event, RoomSummary};
pub use recording::{RecordError, Recording, Summary};
pub use relay::{Relay, StartError};
pub use token::Grants;
