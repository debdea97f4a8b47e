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

impl Cut {
    /// Bytes of a chunk at most; so many must be there before [`Cut::end`] is asked, except at the end.
    pub fn most(self) -> usize {
        match self {
            Self::Fixed(len) => len as usize,
            Self::ByContent => MAX,
        }
    }

    /// Where the first chunk of these bytes ends.
    pub fn end(self, bytes: &[u8]) -> usize {
        match self {
            Self::Fixed(len) => bytes.len().min(len as usize),
            Self::ByContent => {
                let chunks = FastCDC::new(bytes, MIN, AVERAGE, MAX);
                chunks.cut(0, bytes.len()).1.min(bytes.len())
            }
        }
    }
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

    /// Adds a piece of the stream. Call [`Chunker::cut`] until it answers `None` before the next.
    pub fn push(&mut self, piece: Bytes) {
        if self.rest.is_empty() {
            self.rest = piece;
        } else {
            self.rest = [std::mem::take(&mut self.rest), piece].concat().into();
        }
    }

    /// The next whole chunk, if enough was added.
    pub fn cut(&mut self) -> Option<Bytes> {
        let most = self.cut.most();
        self.fill(most);
        if self.filling.len() < most {
            return None;
        }
        Some(self.cut_off(most))
    }

    /// What is left at the end of the stream, chunk by chunk; `None` when nothing is.
    pub fn finish(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.cut() {
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
        let end = self.cut.end(&self.filling).max(1);
        if end == len {
            return std::mem::take(&mut self.filling).freeze();
        }
        let chunk = Bytes::copy_from_slice(&self.filling[..end]);
        self.filling.copy_within(end.., 0);
        self.filling.truncate(len - end);
        chunk
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes without a pattern.
    fn content(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn chunks(cut: Cut, content: &[u8], piece: usize) -> Vec<Bytes> {
        let (mut chunker, mut chunks) = (Chunker::new(cut), Vec::new());
        for piece in content.chunks(piece) {
            chunker.push(Bytes::copy_from_slice(piece));
            while let Some(chunk) = chunker.cut() {
                chunks.push(chunk);
            }
        }
        while let Some(chunk) = chunker.finish() {
            chunks.push(chunk);
        }
        assert_eq!(chunker.pending(), 0);
        chunks
    }

    #[test]
    fn what_is_inserted_changes_the_chunks_around_it_only() {
        let before = content(24 << 20, 1);
        let mut after = before.clone();
        after.splice(9 << 20..9 << 20, content(1024, 2));
        let known: std::collections::HashSet<_> =
            chunks(Cut::ByContent, &before, 1 << 16).into_iter().collect();
        assert!(known.iter().all(|chunk| chunk.len() <= MAX));
        let new = chunks(Cut::ByContent, &after, 1 << 16);
        let new: Vec<_> = new.into_iter().filter(|chunk| !known.contains(chunk)).collect();
        assert!((1..=3).contains(&new.len()), "{} of {} chunks are new", new.len(), known.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// However the stream is cut into pieces, the chunks are the same and are the stream.
        #[test]
        fn pieces_do_not_matter(
            len in 0_usize..300_000,
            piece in 1_usize..100_000,
            fixed in 1_u32..90_000,
        ) {
            let content = content(len, 7);
            let cut = Cut::Fixed(fixed);
            let whole = chunks(cut, &content, content.len().max(1));
            prop_assert_eq!(&whole, &chunks(cut, &content, piece));
            prop_assert_eq!(whole.concat(), content);
            let last = whole.len().saturating_sub(1);
            prop_assert!(whole[..last].iter().all(|chunk| chunk.len() == fixed as usize));
        }

        #[test]
        fn pieces_do_not_matter_to_what_is_cut_by_content(piece in 1_usize..20_000_000) {
            let content = content(20_000_000, 7);
            let whole = chunks(Cut::ByContent, &content, content.len());
            prop_assert_eq!(&whole, &chunks(Cut::ByContent, &content, piece.max(1 << 14)));
            prop_assert_eq!(whole.concat(), content);
        }
    }
}
