//! What needs media time: recordings. GStreamer's jitter buffers, depacketizers and muxers, fed with the
//! packets of a room as one more subscriber.

mod elements;
mod offset;
mod part;
mod recording;
mod rtp;

pub use elements::{MissingElements, check};
pub(crate) use recording::record;
pub use recording::{RecordError, Recording, Summary};
