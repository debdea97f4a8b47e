//! Which key seals a chunk, and how?
//!
//! ```text
//! chunk id   BLAKE3 of the plaintext, keyed by the team's id key
//! chunk key  BLAKE3 derive_key("media-store chunk v1", data key of the epoch | chunk id)
//! frame n    AES-256-GCM(chunk key, nonce n, header | 1 if it is the last frame, else 0)
//! ```
//!
//! Equal plaintext and epoch give the equal object: a chunk may be written twice, and no nonce ever
//! meets a second plaintext. A new epoch is a new data key for new chunks. Both keys lie wrapped by a
//! key that is derived from the master key.

use std::{collections::BTreeMap, fmt, io};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use bytes::Bytes;

use crate::{
    buffers::Buffers,
    format::{FRAME, HEADER, Header, TAG, frames, sealed_len},
    id::ChunkId,
};

/// How many frames are sealed before they are written.
const FRAMES_AT_ONCE: u32 = 4;

/// It was not sealed with this key, or is not as it was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sealed with this key, or damaged")]
pub(crate) struct Tampered;

/// A team's keys, by epoch. Never empty.
#[derive(Clone)]
pub(crate) struct KeyRing {
    id_key: [u8; 32],
    data_keys: BTreeMap<u32, [u8; 32]>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("epochs", &self.data_keys.keys()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// New keys, of epoch 1.
    pub(crate) fn generate() -> Self {
        Self { id_key: rand::random(), data_keys: [(1, rand::random())].into() }
    }

    /// The keys of all epochs, as [`KeyRing::wrapped`] gave them.
    pub(crate) fn unwrap(
        master: &[u8; 32],
        wrapped: impl IntoIterator<Item = (u32, impl AsRef<[u8]>)>,
    ) -> Result<Self, Tampered> {
        let (mut ring, key) = (None, wrapping_key(master));
        for (epoch, wrapped) in wrapped {
            let (nonce, keys) = wrapped.as_ref().split_first_chunk().ok_or(Tampered)?;
            let mut keys = keys.to_vec();
            let opened = key
                .open_in_place(
                    Nonce::assume_unique_for_key(*nonce),
                    Aad::from(epoch.to_be_bytes()),
                    &mut keys,
                )
                .map_err(|_| Tampered)?;
            let (id_key, data_key) = opened.split_first_chunk::<32>().ok_or(Tampered)?;
            let data_key: [u8; 32] = data_key.try_into().map_err(|_| Tampered)?;
            let ring =
                ring.get_or_insert_with(|| Self { id_key: *id_key, data_keys: BTreeMap::new() });
            if ring.id_key != *id_key {
                return Err(Tampered);
            }
            ring.data_keys.insert(epoch, data_key);
        }
        ring.ok_or(Tampered)
    }

    /// The keys of one epoch, to be kept where others may read them: a nonce, then id key and data
    /// key under the master key.
    pub(crate) fn wrapped(&self, master: &[u8; 32], epoch: u32) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut keys = [self.id_key, *self.data_keys.get(&epoch)?].concat();
        wrapping_key(master)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(epoch.to_be_bytes()),
                &mut keys,
            )
            .expect("64 bytes are not too many to seal");
        Some([nonce.as_slice(), &keys].concat())
    }

    pub(crate) fn epochs(&self) -> impl Iterator<Item = u32> {
        self.data_keys.keys().copied()
    }

    /// The epoch that new chunks are sealed in.
    pub(crate) fn current(&self) -> u32 {
        *self.data_keys.keys().next_back().expect("there is always a first epoch")
    }

    /// Adds an epoch with a new data key and answers which.
    pub(crate) fn rotate(&mut self) -> u32 {
        let epoch = self.current() + 1;
        self.data_keys.insert(epoch, rand::random());
        epoch
    }

    pub(crate) fn forget(&mut self, epoch: u32) {
        if epoch != self.current() {
            self.data_keys.remove(&epoch);
        }
    }

    pub(crate) fn id(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id_key, plaintext).as_bytes())
    }

    /// The sealed chunk: header and frames.
    pub(crate) fn seal(&self, id: &ChunkId, plaintext: &[u8], buffers: &Buffers) -> Bytes {
        let mut sealed = buffers.take(sealed_len(length(plaintext)) as usize);
        self.seal_to(id, plaintext, &mut |piece| {
            sealed.extend_from_slice(piece);
            Ok(())
        })
        .expect("memory takes everything");
        sealed.freeze()
    }

    /// As [`KeyRing::seal`], a few frames at a time: they are written while they are in the processor's cache,
    /// and the sealed chunk is nowhere in memory.
    pub(crate) fn seal_to(
        &self,
        id: &ChunkId,
        plaintext: &[u8],
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let header = Header { epoch: self.current(), len: length(plaintext) };
        let key = self.chunk_key(header.epoch, id).expect("the current epoch has a key");
        write(&header.encode())?;
        let last = frames(header.len) - 1;
        let all = sealed_len(header.len) as usize - HEADER;
        let mut sealed = vec![0; all.min(FRAMES_AT_ONCE as usize * (FRAME as usize + TAG))];
        for first in (0..=last).step_by(FRAMES_AT_ONCE as usize) {
            let mut filled = 0;
            for frame in first..=last.min(first + FRAMES_AT_ONCE - 1) {
                let start = frame as usize * FRAME as usize;
                let end = plaintext.len().min(start + FRAME as usize);
                let (ciphertext, rest) = sealed[filled..].split_at_mut(end - start);
                key.seal_out_of_place_scatter(
                    nonce(frame),
                    additional(header, frame == last),
                    &plaintext[start..end],
                    ciphertext,
                    &[],
                    &mut rest[..TAG],
                )
                .expect("the lengths are right and a frame is not too long");
                filled += end - start + TAG;
            }
            write(&sealed[..filled])?;
        }
        Ok(())
    }

    /// The plaintext of whole frames, of which the first has number `first`.
    pub(crate) fn open(
        &self,
        id: &ChunkId,
        header: Header,
        first: u32,
        mut sealed: &[u8],
        buffers: &Buffers,
    ) -> Result<Bytes, Tampered> {
        let key = self.chunk_key(header.epoch, id).ok_or(Tampered)?;
        let mut plaintext = buffers.take(sealed.len());
        let (mut frame, last) = (first, frames(header.len) - 1);
        while !sealed.is_empty() {
            let start = u64::from(frame) * u64::from(FRAME);
            let len = u64::from(header.len).checked_sub(start).ok_or(Tampered)?;
            let len = len.min(u64::from(FRAME)) as usize;
            let (ciphertext, rest) = sealed.split_at_checked(len).ok_or(Tampered)?;
            let (tag, rest) = rest.split_at_checked(TAG).ok_or(Tampered)?;
            key.open_separate_gather(
                nonce(frame),
                additional(header, frame == last),
                ciphertext,
                tag,
                plaintext.next(len),
            )
            .map_err(|_| Tampered)?;
            frame += 1;
            sealed = rest;
        }
        Ok(plaintext.freeze())
    }

    /// The plaintext of a whole sealed chunk, checked against its id.
    pub(crate) fn open_whole(
        &self,
        id: &ChunkId,
        sealed: &[u8],
        buffers: &Buffers,
    ) -> Result<Bytes, Tampered> {
        let header = Header::decode(sealed).map_err(|_| Tampered)?;
        if sealed.len() as u64 != sealed_len(header.len) {
            return Err(Tampered);
        }
        let plaintext = self.open(id, header, 0, &sealed[HEADER..], buffers)?;
        if self.id(&plaintext) == *id { Ok(plaintext) } else { Err(Tampered) }
    }

    fn chunk_key(&self, epoch: u32, id: &ChunkId) -> Option<LessSafeKey> {
        let mut hasher = blake3::Hasher::new_derive_key("media-store chunk v1");
        hasher.update(self.data_keys.get(&epoch)?);
        hasher.update(&id.0);
        Some(aes(hasher.finalize().as_bytes()))
    }
}

fn wrapping_key(master: &[u8; 32]) -> LessSafeKey {
    aes(&blake3::derive_key("media-store master key v1", master))
}

fn aes(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 keys have 32 bytes"))
}

fn length(plaintext: &[u8]) -> u32 {
    u32::try_from(plaintext.len()).expect("a chunk has at most 16 MiB")
}

fn nonce(frame: u32) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 4..].copy_from_slice(&frame.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn additional(header: Header, last: bool) -> Aad<[u8; HEADER + 1]> {
    let mut additional = [0; HEADER + 1];
    additional[..HEADER].copy_from_slice(&header.encode());
    additional[HEADER] = last.into();
    Aad::from(additional)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::span;

    /// A chunk of `len` bytes that are not all the same.
    fn chunk(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    fn none() -> Buffers {
        Buffers::default()
    }

    #[test]
    fn what_was_sealed_is_opened_whole_and_in_parts() {
        let keys = KeyRing::generate();
        let frame = FRAME as usize;
        for len in [0, 1, frame - 1, frame, frame + 1, 3 * frame, 3 * frame + 5] {
            let plaintext = chunk(len);
            let id = keys.id(&plaintext);
            let sealed = keys.seal(&id, &plaintext, &none());
            assert_eq!(sealed, keys.seal(&id, &plaintext, &none()), "the equal object");
            assert_eq!(sealed.len() as u64, sealed_len(len as u32));
            assert_eq!(keys.open_whole(&id, &sealed, &none()).as_deref(), Ok(plaintext.as_slice()));
            for range in [0..len, 0..len.min(1), len / 2..len, len..len] {
                let span = span(len as u32, range.start as u32..range.end as u32).expect("within");
                let frames = &sealed[span.sealed.start as usize..span.sealed.end as usize];
                let header = Header::decode(&sealed).expect("ours");
                let opened = keys.open(&id, header, span.first, frames, &none()).expect("ours");
                assert_eq!(opened.slice(span.inner), &plaintext[range]);
            }
        }
    }

    #[test]
    fn chunks_of_an_older_epoch_are_still_opened() {
        let mut keys = KeyRing::generate();
        let id = keys.id(b"old");
        let old = keys.seal(&id, b"old", &none());
        assert_eq!(keys.rotate(), 2);
        let new = keys.seal(&id, b"old", &none());
        assert_ne!(old, new);
        for sealed in [&old, &new] {
            assert_eq!(keys.open_whole(&id, sealed, &none()).as_deref(), Ok(b"old".as_slice()));
        }
        keys.forget(1);
        assert_eq!(keys.open_whole(&id, &old, &none()), Err(Tampered));
        assert_eq!(keys.open_whole(&id, &new, &none()).as_deref(), Ok(b"old".as_slice()));
    }

    #[test]
    fn wrapped_keys_are_for_whoever_has_the_master_key() {
        let (master, mut keys) = ([7; 32], KeyRing::generate());
        keys.rotate();
        let wrapped = |epoch| (epoch, keys.wrapped(&master, epoch).expect("there"));
        let again = KeyRing::unwrap(&master, [wrapped(1), wrapped(2)]).expect("ours");
        assert_eq!((again.id_key, &again.data_keys), (keys.id_key, &keys.data_keys));

        assert!(KeyRing::unwrap(&[8; 32], [wrapped(1)]).is_err(), "another master key");
        assert!(KeyRing::unwrap(&master, [(2, wrapped(1).1)]).is_err(), "another epoch");
        let other = (2, KeyRing::generate().wrapped(&master, 1).expect("there"));
        assert!(KeyRing::unwrap(&master, [wrapped(1), other]).is_err(), "another ring");
        assert!(KeyRing::unwrap(&master, [(1, [0; 3])]).is_err());
        let none: [(u32, Vec<u8>); 0] = [];
        assert!(KeyRing::unwrap(&master, none).is_err());
    }

    #[test]
    fn a_chunk_does_not_pass_for_another() {
        let keys = KeyRing::generate();
        let (a, b) = (keys.id(b"a"), keys.id(b"b"));
        assert_eq!(keys.open_whole(&a, &keys.seal(&b, b"b", &none()), &none()), Err(Tampered));
        // Even if it was sealed as if it were the other.
        assert_eq!(keys.open_whole(&a, &keys.seal(&a, b"b", &none()), &none()), Err(Tampered));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_and_every_cut_is_noticed(
            len in 0_usize..200_000,
            at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let keys = KeyRing::generate();
            let plaintext = chunk(len);
            let id = keys.id(&plaintext);
            let sealed = keys.seal(&id, &plaintext, &none());
            let at = at.index(sealed.len());
            prop_assert_eq!(keys.open_whole(&id, &sealed[..at], &none()), Err(Tampered));
            let mut flipped = sealed.to_vec();
            flipped[at] ^= 1 << bit;
            prop_assert_eq!(keys.open_whole(&id, &flipped, &none()), Err(Tampered));
            let longer = [sealed.as_ref(), &[0]].concat();
            prop_assert_eq!(keys.open_whole(&id, &longer, &none()), Err(Tampered));
        }

        /// Frames may not change places nor be left out.
        #[test]
        fn frames_stay_where_they_were(first in 0_u32..4, claimed in 0_u32..8) {
            let keys = KeyRing::generate();
            let plaintext = chunk(4 * FRAME as usize);
            let id = keys.id(&plaintext);
            let sealed = keys.seal(&id, &plaintext, &none());
            let header = Header::decode(&sealed).expect("ours");
            let start = HEADER + first as usize * (FRAME as usize + TAG);
            let frame = &sealed[start..start + FRAME as usize + TAG];
            let opened = keys.open(&id, header, claimed, frame, &none());
            prop_assert_eq!(opened.is_ok(), first == claimed);
        }

        #[test]
        fn any_bytes_may_be_given_to_be_opened(bytes: Vec<u8>, first: u32, len: u32) {
            let keys = KeyRing::generate();
            let id = ChunkId([1; 32]);
            prop_assert!(keys.open_whole(&id, &bytes, &none()).is_err());
            let header = Header { epoch: 1, len };
            prop_assert!(bytes.is_empty() || keys.open(&id, header, first, &bytes, &none()).is_err());
        }
    }
}
