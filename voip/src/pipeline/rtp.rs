//! Packets as bytes (RFC 3550, section 5.1), for GStreamer.

use gstreamer::Caps;

use crate::tap::Codec;

/// In a pipeline of its own each track may have the same.
const PAYLOAD_TYPE: u8 = 96;

const HEADER: usize = 12;

/// A header without extensions, and the payload.
pub(super) fn bytes(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(0x80);
    bytes.push(PAYLOAD_TYPE | if marker { 0x80 } else { 0 });
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The sequence number and the payload of what [`bytes`] made.
pub(super) fn parts(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (header, payload) = bytes.split_at_checked(HEADER)?;
    Some((u16::from_be_bytes([header[2], header[3]]), payload))
}

pub(super) fn caps(codec: Codec, clock_rate: u32) -> Caps {
    let (media, encoding) = match codec {
        Codec::Opus => ("audio", "OPUS"),
        Codec::Vp8 => ("video", "VP8"),
        Codec::H264 => ("video", "H264"),
    };
    Caps::builder("application/x-rtp")
        .field("media", media)
        .field("encoding-name", encoding)
        .field("clock-rate", i32::try_from(clock_rate).unwrap_or(90_000))
        .field("payload", i32::from(PAYLOAD_TYPE))
        // Opus in RTP is always of 48 kHz; without these the muxer is not told.
        .field_if("sprop-maxcapturerate", "48000", codec == Codec::Opus)
        .field_if("sprop-stereo", "1", codec == Codec::Opus)
        .build()
}
