//! What GStreamer gets of a room, and what comes back: packets in the order of arrival for recordings, and
//! one stream's packets where a room is relayed through it.

use std::{sync::Arc, time::Instant};

/// One packet, with numbers that go on without a seam when layers are switched.
#[derive(Clone, Debug)]
pub(crate) struct TapPacket {
    /// The track's `TR_…`.
    pub track: Arc<str>,
    pub codec: Codec,
    /// Ticks a second of `timestamp`.
    pub clock_rate: u32,
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    /// When its content was captured, on our clock: the same for picture and sound that belong together.
    pub captured: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Opus,
    Vp8,
    H264,
}

impl TryFrom<str0m::format::Codec> for Codec {
    type Error = ();

    fn try_from(codec: str0m::format::Codec) -> Result<Self, ()> {
        match codec {
            str0m::format::Codec::Opus => Ok(Self::Opus),
            str0m::format::Codec::Vp8 => Ok(Self::Vp8),
            str0m::format::Codec::H264 => Ok(Self::H264),
            _ => Err(()),
        }
    }
}

/// Where packets go. Full means that the listener is too slow: packets are lost, never waited for.
pub(crate) type TapSink = std::sync::mpsc::SyncSender<TapPacket>;

/// What comes out of a stream's jitter buffer, in order.
#[derive(Debug)]
#[cfg_attr(not(feature = "pipeline"), expect(dead_code, reason = "nothing comes back"))]
pub(crate) enum Output {
    Packet {
        sequence: u16,
        payload: Arc<[u8]>,
    },
    /// A packet was given up.
    Lost,
    /// Nothing comes any more.
    Failed(String),
}
