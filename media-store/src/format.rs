//! How does a chunk lie in the datastore?
//!
//! ```text
//! sealed chunk  "MSC1" | epoch u32 | length of the plaintext u32 | 16 u8 | 0 0 0      16 bytes
//!               frames: 64 KiB of ciphertext (the last one: what is left) | tag, 16 bytes
//! pack          records, one after another
//! record        "MSR1" | length of the sealed chunk u32 | CRC-32 u32 | chunk id       44 bytes
//!               sealed chunk
//! ```
//!
//! Numbers are big-endian. The CRC-32 is over length, id and sealed chunk, so that a pack can be read
//! without keys and without the index. Nothing here trusts a byte that it is given.

use std::ops::Range;

use crate::id::ChunkId;

/// Bytes before a chunk's frames.
pub(crate) const HEADER: usize = 16;
/// Bytes of plaintext in a frame.
pub(crate) const FRAME: u32 = 1 << FRAME_LOG2;
/// Bytes that authenticate a frame.
pub(crate) const TAG: usize = 16;
/// Bytes before the sealed chunk of a pack's record.
pub(crate) const RECORD: usize = 44;

const FRAME_LOG2: u8 = 16;
const CHUNK_MAGIC: &[u8; 4] = b"MSC1";
const RECORD_MAGIC: &[u8; 4] = b"MSR1";

/// The bytes are not what this module writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed object")]
pub(crate) struct Malformed;

/// What a sealed chunk says of itself; authenticated with every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) epoch: u32,
    /// Bytes of plaintext.
    pub(crate) len: u32,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(CHUNK_MAGIC);
        bytes[4..8].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_be_bytes());
        bytes[12] = FRAME_LOG2;
        bytes
    }

    /// Reads the header at the start of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Malformed)?;
        let [.., e0, e1, e2, e3, l0, l1, l2, l3, _, _, _, _] = *header;
        let decoded = Self {
            epoch: u32::from_be_bytes([e0, e1, e2, e3]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        if decoded.encode() == *header { Ok(decoded) } else { Err(Malformed) }
    }
}

/// How many frames a chunk of `len` bytes has; an empty one has one, which authenticates that.
pub(crate) fn frames(len: u32) -> u32 {
    len.div_ceil(FRAME).max(1)
}

/// The length of the sealed chunk of `len` bytes.
pub(crate) fn sealed_len(len: u32) -> u64 {
    HEADER as u64 + u64::from(len) + u64::from(frames(len)) * TAG as u64
}

/// The frames that hold a range of a chunk's plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The number of the first frame.
    pub(crate) first: u32,
    /// Where the frames lie, from the start of the sealed chunk.
    pub(crate) sealed: Range<u64>,
    /// Where the range lies in the plaintext of these frames.
    pub(crate) inner: Range<usize>,
}

/// The frames with bytes `range` of a chunk of `len` bytes; `None` if it has no such bytes.
pub(crate) fn span(len: u32, range: Range<u32>) -> Option<Span> {
    if range.start > range.end || range.end > len {
        return None;
    }
    let first = (range.start / FRAME).min(frames(len) - 1);
    let end = range.end.div_ceil(FRAME).max(first + 1);
    let start = u64::from(first) * u64::from(FRAME);
    let at = |frame: u32| HEADER as u64 + u64::from(frame) * (u64::from(FRAME) + TAG as u64);
    let sealed = at(first)..at(end).min(sealed_len(len));
    let inner = |byte: u32| (u64::from(byte) - start) as usize;
    Some(Span { first, sealed, inner: inner(range.start)..inner(range.end) })
}

/// One chunk of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: ChunkId,
    /// Where the record begins in the pack.
    pub(crate) offset: u32,
    /// Where the sealed chunk lies in the pack.
    pub(crate) sealed: Range<usize>,
}

/// Appends a record to a pack.
pub(crate) fn put_record(pack: &mut Vec<u8>, id: &ChunkId, sealed: &[u8]) {
    let len = u32::try_from(sealed.len()).expect("a packed chunk is small").to_be_bytes();
    pack.extend_from_slice(RECORD_MAGIC);
    pack.extend_from_slice(&len);
    pack.extend_from_slice(&checksum(len, &id.0, sealed).to_be_bytes());
    pack.extend_from_slice(&id.0);
    pack.extend_from_slice(sealed);
}

/// Reads the record that begins at `offset`.
pub(crate) fn record(pack: &[u8], offset: usize) -> Result<Record, Malformed> {
    let bytes = pack.get(offset..).ok_or(Malformed)?;
    let (head, rest) = bytes.split_at_checked(RECORD).ok_or(Malformed)?;
    let field = |at: usize| head[at..at + 4].first_chunk::<4>().copied().ok_or(Malformed);
    let len = field(4)?;
    let id = *head[12..].first_chunk::<32>().ok_or(Malformed)?;
    let sealed = rest.get(..u32::from_be_bytes(len) as usize).ok_or(Malformed)?;
    let whole = checksum(len, &id, sealed).to_be_bytes();
    if field(0)? != *RECORD_MAGIC || field(8)? != whole {
        return Err(Malformed);
    }
    let start = offset + RECORD;
    let offset = u32::try_from(offset).map_err(|_| Malformed)?;
    Ok(Record { id: ChunkId(id), offset, sealed: start..start + sealed.len() })
}

/// The whole records of a pack, and whether there was anything else in it.
pub(crate) fn records(pack: &[u8]) -> (Vec<Record>, Result<(), Malformed>) {
    let (mut found, mut offset, mut verdict) = (Vec::new(), 0, Ok(()));
    while offset < pack.len() {
        match record(pack, offset) {
            Ok(record) => {
                offset = record.sealed.end;
                found.push(record);
            }
            Err(malformed) => {
                verdict = Err(malformed);
                let rest = &pack[offset + 1..];
                let next = rest.windows(RECORD_MAGIC.len()).position(|at| at == RECORD_MAGIC);
                let Some(next) = next else { break };
                offset += 1 + next;
            }
        }
    }
    (found, verdict)
}

fn checksum(len: [u8; 4], id: &[u8; 32], sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(id);
    hasher.update(sealed);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_span_holds_its_range_and_no_frame_more() {
        let frame = u64::from(FRAME) + 16;
        let cases = [
            (0, 0..0, 0, 16..32),
            (1, 0..1, 0, 16..33),
            (FRAME, 0..FRAME, 0, 16..16 + frame),
            (FRAME, FRAME..FRAME, 0, 16..16 + frame),
            (FRAME + 1, FRAME..FRAME + 1, 1, 16 + frame..16 + frame + 17),
            (3 * FRAME, FRAME - 1..FRAME + 1, 0, 16..16 + 2 * frame),
            (3 * FRAME, 2 * FRAME..3 * FRAME, 2, 16 + 2 * frame..16 + 3 * frame),
        ];
        for (len, range, first, sealed) in cases {
            let span = span(len, range.clone()).expect("within");
            assert_eq!((span.first, &span.sealed), (first, &sealed), "{len} {range:?}");
            assert_eq!(span.inner.len(), range.len());
        }
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        for wrong in [0..2, 2..2, 1..0] {
            assert_eq!(span(1, wrong), None);
        }
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_written_and_no_other(epoch: u32, len: u32, bit in 0_usize..128) {
            let header = Header { epoch, len };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::decode(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Header::decode(&bytes), Ok(header));
        }

        #[test]
        fn any_bytes_may_be_read_as_a_pack(bytes: Vec<u8>, offset: usize) {
            let _ = record(&bytes, offset);
            let (found, _) = records(&bytes);
            prop_assert!(found.len() * RECORD <= bytes.len());
        }

        /// Only the damaged record is lost.
        #[test]
        fn a_damaged_pack_says_so(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
            bit: prop::sample::Index,
        ) {
            let mut pack = Vec::new();
            for (n, chunk) in chunks.iter().enumerate() {
                put_record(&mut pack, &ChunkId([n as u8; 32]), chunk);
            }
            let (whole, end) = records(&pack);
            prop_assert!(end.is_ok());
            for ((n, chunk), record) in chunks.iter().enumerate().zip(&whole) {
                prop_assert_eq!(record.id, ChunkId([n as u8; 32]));
                prop_assert_eq!(&pack[record.sealed.clone()], chunk.as_slice());
            }
            let cut = records(&pack[..pack.len() - 1]);
            prop_assert!(cut.1.is_err());
            let bit = bit.index(pack.len() * 8);
            pack[bit / 8] ^= 1 << (bit % 8);
            let (found, end) = records(&pack);
            prop_assert!(end.is_err());
            prop_assert_eq!(found.len(), whole.len() - 1);
            prop_assert!(found.iter().all(|record| whole.contains(record)));
        }
    }
}
