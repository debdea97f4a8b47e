//! Where does one chunk end and the next begin?

use bytes::{Bytes, BytesMut};
use fastcdc::v2020::FastCDC;

const MIN: usize = 1 << 20;
const AVERAGE: usize = 2 << 20;
const MAX: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After so many bytes: for what is encrypted or never changes.
    Fixed(u32),
    /// FastCDC, 1 to 8 MiB and 2 MiB on average: where the content says so. An insertion changes the
    /// chunks around it and no others.
    ByContent,
}

/// Cuts a stream. Holds at most one chunk, and with [`Cut::ByContent`] the piece that was added last.
#[derive(Debug)]
pub struct Chunker {
    cut: Cut,
    filling: BytesMut,
    /// What was added and is not yet in `filling`.
    rest: Bytes,
}

impl Chunker {
    pub fn new(cut: Cut) -> Self {
        Self { cut, filling: BytesMut::new(), rest: Bytes::new() }
    }

    /// Bytes that were added and are in no chunk yet.
    pub fn pending(&self) -> usize {
        self.filling.len() + self.rest.len()
    }

    /// Adds a piece of the stream. Call [`Chunker::next`] until it answers `None` before the next.
    pub fn push(&mut self, piece: Bytes) {
        if self.rest.is_empty() {
            self.rest = piece;
        } else {
            self.rest = [std::mem::take(&mut self.rest), piece].concat().into();
        }
    }

    /// The next whole chunk, if enough was added.
    pub fn next(&mut self) -> Option<Bytes> {
        let most = match self.cut {
            Cut::Fixed(len) => len as usize,
            Cut::ByContent => MAX,
        };
        self.fill(most);
        if self.filling.len() < most {
            return None;
        }
        Some(self.cut_off(most))
    }

    /// What is left at the end of the stream, chunk by chunk; `None` when nothing is.
    pub fn finish(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.next() {
            return Some(chunk);
        }
        let len = self.filling.len();
        if len == 0 {
            return None;
        }
        Some(self.cut_off(len))
    }

    fn fill(&mut self, most: usize) {
        let wanted = (most - self.filling.len()).min(self.rest.len());
        if wanted == 0 {
            return;
        }
        if self.filling.capacity() == 0 {
            // One allocation for each chunk, which goes with it.
            self.filling = BytesMut::with_capacity(most);
        }
        self.filling.extend_from_slice(&self.rest.split_to(wanted));
    }

    /// Takes a chunk off the first `len` bytes, which are all that are there.
    fn cut_off(&mut self, len: usize) -> Bytes {
        let end = match self.cut {
            Cut::Fixed(_) => len,
            Cut::ByContent => {
                let chunks = FastCDC::new(&self.filling, MIN, AVERAGE, MAX);
                chunks.cut(0, len).1.clamp(1, len)
            }
        };
        if end == len {
            return std::mem::take(&mut self.filling).freeze();
        }
        let chunk = Bytes::copy_from_slice(&self.filling[..end]);
        self.filling.copy_within(end.., 0);
        self.filling.truncate(len - end);
        chunk
    }
}
