//! Memory for chunks, used again and again while files come and go.
//!
//! Chunks are all about as long. What the allocator is given back it keeps for a while or hands to the
//! kernel, which clears it before it is used again: the one is memory that nobody uses, the other time.

use std::{mem, ops::Deref, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

/// Shorter ones cost nothing worth to be spared.
const SHORTEST: usize = 256 << 10;
/// How many are kept while others are in use.
const KEPT: usize = 16;

/// Lends buffers of up to a length; those for more are of their own. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Pool>);

#[derive(Default)]
struct Pool {
    len: usize,
    lent: Mutex<Lent>,
}

#[derive(Default)]
struct Lent {
    count: usize,
    free: Vec<Box<[u8]>>,
}

/// Bytes that are there, and room for more.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    home: Option<Arc<Pool>>,
}

impl Buffers {
    /// Lends buffers of `len` bytes.
    pub(crate) fn of(len: usize) -> Self {
        Self(Arc::new(Pool { len, lent: Mutex::default() }))
    }

    /// An empty buffer with room for `len` bytes at least.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        if len < SHORTEST || len > self.0.len {
            return Buffer { bytes: vec![0; len].into(), filled: 0, home: None };
        }
        let free = {
            let mut lent = self.0.lent.lock();
            lent.count += 1;
            lent.free.pop()
        };
        let bytes = free.unwrap_or_else(|| vec![0; self.0.len].into());
        Buffer { bytes, filled: 0, home: Some(Arc::clone(&self.0)) }
    }
}

impl Buffer {
    /// How many bytes there are room for.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes that there is room for.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.next(bytes.len()).copy_from_slice(bytes);
    }

    /// The next `len` bytes, to be written; there is room for them.
    pub(crate) fn next(&mut self, len: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += len;
        &mut self.bytes[start..self.filled]
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// The bytes, to be shared; the memory is lent anew when nobody has them any more.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else {
            return;
        };
        let mut lent = home.lent.lock();
        lent.count -= 1;
        if lent.count == 0 {
            // Nothing comes or goes.
            lent.free = Vec::new();
        } else if lent.free.len() < KEPT {
            lent.free.push(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_while_something_is_lent_and_not_kept_after() {
        let buffers = Buffers::of(SHORTEST);
        let mut first = buffers.take(SHORTEST);
        first.extend_from_slice(b"abc");
        let mut second = buffers.take(SHORTEST);
        second.extend_from_slice(b"de");
        let (at, first) = (first.as_ptr(), first.freeze());
        let part = first.slice(1..);
        drop(first);
        assert_eq!(part, b"bc".as_slice(), "is not lent while it is read");
        drop(part);
        let third = buffers.take(SHORTEST);
        assert_eq!((third.len(), third.as_ref()), (0, b"".as_slice()));
        assert_eq!(third.bytes.as_ptr(), at);
        drop((second, third));
        assert!(buffers.0.lent.lock().free.is_empty());
    }

    #[test]
    fn short_and_very_long_ones_are_as_long_as_is_asked() {
        let buffers = Buffers::of(SHORTEST);
        for len in [0, 1, SHORTEST - 1, SHORTEST + 1] {
            assert_eq!(buffers.take(len).capacity(), len);
        }
        assert_eq!(buffers.0.lent.lock().count, 0);
    }
}
