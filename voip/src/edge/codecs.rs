//! What is negotiated: Opus with redundancy, VP8 and H.264 with retransmission, and the header extensions
//! that clients need for layers, congestion feedback and speaking.

use str0m::{
    RtcConfig,
    format::CodecConfig,
    rtp::{Extension, ExtensionMap},
};

/// The profiles of H.264 that browsers send, as (packetization mode 1, `profile-level-id`).
const H264: [(bool, u32); 3] = [(true, 0x42e01f), (false, 0x42e01f), (true, 0x42001f)];

/// Adds codecs and extensions to a peer's configuration.
pub(crate) fn configure(mut config: RtcConfig) -> RtcConfig {
    config = config.clear_codecs().set_extension_map(extensions());
    let codecs: &mut CodecConfig = config.codec_config();
    codecs.enable_opus(true, true);
    codecs.enable_vp8(true);
    for (index, (mode, profile)) in (0u8..).zip(H264) {
        let payload_type = 102 + index * 2;
        codecs.add_h264(payload_type.into(), Some((payload_type + 1).into()), mode, profile);
    }
    config
}

fn extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    extensions.set(1, Extension::AudioLevel);
    extensions.set(2, Extension::AbsoluteSendTime);
    extensions.set(3, Extension::TransportSequenceNumber);
    extensions.set(4, Extension::RtpMid);
    extensions.set(5, Extension::AbsoluteCaptureTime);
    extensions.set(10, Extension::RtpStreamId);
    extensions.set(11, Extension::RepairedRtpStreamId);
    extensions.set(13, Extension::VideoOrientation);
    extensions
}
