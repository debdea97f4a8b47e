//! A packet as bytes (RFC 3550, section 5.1), for GStreamer.

use crate::tap::TapPacket;

/// In a pipeline of its own each track may have the same.
pub(super) const PAYLOAD_TYPE: u8 = 96;

/// A header without extensions, and the payload.
pub(super) fn bytes(packet: &TapPacket) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + packet.payload.len());
    bytes.push(0x80);
    bytes.push(PAYLOAD_TYPE | if packet.marker { 0x80 } else { 0 });
    bytes.extend_from_slice(&(packet.sequence as u16).to_be_bytes());
    bytes.extend_from_slice(&packet.timestamp.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&packet.payload);
    bytes
}
