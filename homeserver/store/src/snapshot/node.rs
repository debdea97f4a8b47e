//! How is one node of a snapshot written?
//!
//! One byte: the node's height (low four bits; 0 is a leaf) and the bytes an entry takes (high
//! four bits). Four bytes: which of the 32 slots are taken. Then the entries in order of slot,
//! big-endian: event indices in a leaf, as narrow as the greatest of them allows; eight-byte node
//! ids elsewhere. The same content always has the same bytes, and so the same id.

use bytes::Bytes;

use crate::tables::{SnapshotId, StateKeyIndex};

/// Bits of the key that one level takes.
const BITS: u32 = 5;
/// Slots of a node.
const FAN_OUT: u8 = 1 << BITS;
/// Height and width, then the slots that are taken.
const HEADER: usize = 5;
/// Bytes of a node's id.
const ID_WIDTH: usize = 8;
/// Seven levels of five bits hold every 32-bit key.
const MAX_HEIGHT: u8 = 6;

/// A node in its written form, which is also the form it is read in. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node(Bytes);

impl Node {
    /// A node with these entries; `entries` is in order of slot and not empty.
    pub(super) fn new(height: u8, entries: &[(u8, u64)]) -> Self {
        let width = if height > 0 {
            ID_WIDTH
        } else {
            let greatest = entries.iter().map(|(_, value)| *value).max().unwrap_or(0);
            (8 - greatest.leading_zeros() as usize / 8).max(1)
        };
        let mut bytes = Vec::with_capacity(HEADER + width * entries.len());
        bytes.push(height | (width as u8) << 4);
        let taken: u32 = entries.iter().map(|(slot, _)| 1 << slot).sum();
        bytes.extend(taken.to_be_bytes());
        for (_, value) in entries {
            bytes.extend_from_slice(&value.to_be_bytes()[8 - width..]);
        }
        Self(bytes.into())
    }

    /// Takes a stored node, checking that every later access stays within it.
    pub(super) fn parse(bytes: Bytes) -> Result<Self, &'static str> {
        if bytes.len() < HEADER {
            return Err("short snapshot node");
        }
        let node = Self(bytes);
        let right_width = match node.height() {
            0 => (1..=4).contains(&node.width()),
            1..=MAX_HEIGHT => node.width() == ID_WIDTH,
            _ => false,
        };
        let entries = node.taken().count_ones() as usize;
        if !right_width || entries == 0 || node.0.len() != HEADER + entries * node.width() {
            return Err("malformed snapshot node");
        }
        Ok(node)
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// 0 for a leaf, whose entries are event indices; elsewhere entries are ids of nodes that are
    /// one lower.
    pub(super) fn height(&self) -> u8 {
        self.0[0] & 0x0f
    }

    fn width(&self) -> usize {
        usize::from(self.0[0] >> 4)
    }

    fn taken(&self) -> u32 {
        u32::from_be_bytes([self.0[1], self.0[2], self.0[3], self.0[4]])
    }

    pub(super) fn get(&self, slot: u8) -> Option<u64> {
        let bit = 1 << slot;
        (self.taken() & bit != 0).then(|| {
            let before = (self.taken() & (bit - 1)).count_ones();
            self.entry(before as usize)
        })
    }

    fn entry(&self, n: usize) -> u64 {
        let width = self.width();
        let from = HEADER + n * width;
        self.0[from..from + width].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// In order of slot.
    pub(super) fn entries(&self) -> Vec<(u8, u64)> {
        let taken = self.taken();
        (0..FAN_OUT)
            .filter(|slot| taken & (1 << slot) != 0)
            .enumerate()
            .map(|(n, slot)| (slot, self.entry(n)))
            .collect()
    }

    /// This node with one entry more, or another one in its place.
    pub(super) fn with(&self, slot: u8, value: u64) -> Self {
        let mut entries = self.entries();
        match entries.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(n) => entries[n].1 = value,
            Err(n) => entries.insert(n, (slot, value)),
        }
        Self::new(self.height(), &entries)
    }

    /// Keyed, so that nobody who chooses events can choose two nodes with one id.
    pub(super) fn id(&self, secret: &[u8; 32]) -> SnapshotId {
        let hash = blake3::keyed_hash(secret, &self.0);
        let mut id = [0; ID_WIDTH];
        id.copy_from_slice(&hash.as_bytes()[..ID_WIDTH]);
        // 0 is the empty snapshot.
        SnapshotId::from_be_bytes(id).max(1)
    }
}

/// Where `key` goes in a node of this height.
pub(super) fn slot(key: StateKeyIndex, height: u8) -> u8 {
    (key >> (BITS * u32::from(height))) as u8 & (FAN_OUT - 1)
}

/// The first key below `slot` of a node that stands at `height` and begins at `base`.
pub(super) fn first_key(base: StateKeyIndex, slot: u8, height: u8) -> StateKeyIndex {
    base | u32::from(slot) << (BITS * u32::from(height))
}

/// The number of the node at `height` that holds `key`, counted from the left.
pub(super) fn number(key: StateKeyIndex, height: u8) -> u32 {
    key.checked_shr(BITS * (u32::from(height) + 1)).unwrap_or(0)
}

/// The least height of a root that can hold `key`.
pub(super) fn height_for(key: StateKeyIndex) -> u8 {
    (0..MAX_HEIGHT).find(|height| number(key, *height) == 0).unwrap_or(MAX_HEIGHT)
}
