//! Can a decoder start with this packet, and what is in it? Only what is in the clear when frames are
//! encrypted end to end.

use str0m::{
    format::Codec,
    media::Pt,
    rtp::{RedDecoder, Vp8Descriptor},
};

/// The newest sound of a packet that repeats earlier ones (RED, RFC 2198), if all of it is of this payload type.
pub(crate) fn newest(payload: &[u8], pt: Pt) -> Option<&[u8]> {
    let blocks = RedDecoder::decode(payload).ok()?;
    let (newest, earlier) = blocks.split_last()?;
    let same = earlier.iter().all(|block| block.pt == *pt) && newest.pt == *pt;
    (same && newest.is_primary).then_some(newest.payload)
}

/// True for the first packet of a frame that needs no earlier one. All audio is.
pub(crate) fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => {
            Vp8Descriptor::parse(payload).is_ok_and(|parsed| parsed.starts_keyframe(payload))
        }
        Codec::H264 => starts_h264_keyframe(payload),
        codec => codec.is_audio(),
    }
}

/// RFC 6184: a NAL unit of its own, several in one packet (STAP-A), or the first part of one (FU-A).
fn starts_h264_keyframe(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let decodes = |kind: u8| kind == IDR || kind == SPS;
    let Some(kind) = payload.first().map(|byte| byte & 0x1f) else { return false };
    match kind {
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, unit @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(first) = unit.first() else { return false };
                if decodes(first & 0x1f) {
                    return true;
                }
                let Some(next) = unit.get(length..) else { return false };
                rest = next;
            }
            false
        }
        FU_A => payload.get(1).is_some_and(|header| header & 0x80 != 0 && decodes(header & 0x1f)),
        kind => decodes(kind),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keyframes_of_vp8_are_seen_in_the_first_packet_only() {
        let key = |payload: &[u8]| starts_keyframe(Codec::Vp8, payload);
        assert!(key(&[0x10, 0x00, 0x9d]), "start of partition 0, P bit clear");
        assert!(!key(&[0x10, 0x01]), "P bit set: an interframe");
        assert!(!key(&[0x00, 0x00]), "not the start");
        assert!(!key(&[0x11, 0x00]), "partition 1");
        assert!(key(&[0x90, 0x80, 0x81, 0x23, 0x00]), "with a picture ID of 15 bits");
        assert!(!key(&[0x90, 0x80, 0x81]), "nothing behind the descriptor");
    }

    #[test]
    fn keyframes_of_h264_are_seen_in_all_packetizations() {
        let key = |payload: &[u8]| starts_keyframe(Codec::H264, payload);
        assert!(key(&[0x65]) && key(&[0x67]) && !key(&[0x41]));
        assert!(key(&[0x7c, 0x85]) && !key(&[0x7c, 0x05]) && !key(&[0x7c, 0x81]));
        assert!(key(&[0x78, 0, 2, 0x09, 0xf0, 0, 1, 0x67]), "a delimiter, then parameters");
        assert!(!key(&[0x78, 0, 2, 0x09, 0xf0, 0, 1, 0x41]));
        assert!(!key(&[0x78, 0xff, 0xff, 0x41]));
    }

    #[test]
    fn the_newest_sound_is_found_behind_what_is_repeated() {
        let opus = Pt::from(111);
        // One block of 2 bytes, 960 ticks before; then the newest.
        let packet = [0x80 | 111, 15, 0, 2, 111, b'a', b'b', b'c', b'd', b'e'];
        assert_eq!(newest(&packet, opus), Some(&b"cde"[..]));
        assert_eq!(newest(&[111, b'x'], opus), Some(&b"x"[..]), "nothing is repeated");
        assert_eq!(newest(&packet, Pt::from(9)), None);
        assert_eq!(newest(&packet[..6], opus), None, "cut short");
        assert_eq!(newest(&[], opus), None);
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            starts_keyframe(Codec::Vp8, &payload);
            starts_keyframe(Codec::H264, &payload);
            newest(&payload, Pt::from(111));
        }
    }
}
