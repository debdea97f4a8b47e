//! What needs media time: GStreamer's jitter buffers, depacketizers and muxers. Recordings are fed with the
//! packets of a room as one more subscriber; where a room is relayed through GStreamer, every packet goes
//! through a [`Stream`].

mod elements;
mod offset;
mod part;
mod recording;
mod rtp;
mod stream;

pub use elements::{MissingElements, check};
pub(crate) use recording::record;
pub(crate) use stream::Stream;
