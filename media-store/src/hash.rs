//! What are the digests of a file that comes in pieces?

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use tokio::{sync::oneshot, task::JoinHandle};

/// SHA-256 and BLAKE3 of everything so far.
struct Hashers {
    sha256: digest::Context,
    blake3: blake3::Hasher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) sha256: [u8; 32],
    pub(crate) blake3: [u8; 32],
}

/// Digests of the first `upto` bytes, worked on beside the upload in the order of its bytes.
pub(crate) struct Hashing {
    pub(crate) upto: u64,
    state: JoinHandle<Hashers>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let new =
            || Hashers { sha256: digest::Context::new(&SHA256), blake3: blake3::Hasher::new() };
        Self { upto: 0, state: tokio::spawn(async move { new() }) }
    }

    /// Takes the next bytes. The answer comes when they are done with.
    pub(crate) fn add(self, bytes: Bytes) -> (Self, oneshot::Receiver<()>) {
        let (done, answer) = oneshot::channel();
        let upto = self.upto + bytes.len() as u64;
        let before = self.state;
        let state = tokio::spawn(async move {
            let mut hashers = before.await.expect(NO_PANIC);
            let work = move || {
                hashers.sha256.update(&bytes);
                hashers.blake3.update(&bytes);
                hashers
            };
            let hashers = tokio::task::spawn_blocking(work).await.expect(NO_PANIC);
            // Whoever does not wait any more has no use for the answer.
            let _ = done.send(());
            hashers
        });
        (Self { upto, state }, answer)
    }

    pub(crate) async fn finish(self) -> Digest {
        let hashers = self.state.await.expect(NO_PANIC);
        let sha256 = hashers.sha256.finish();
        let sha256 = sha256.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Digest { sha256, blake3: *hashers.blake3.finalize().as_bytes() }
    }
}

const NO_PANIC: &str = "hashing neither panics nor is it cancelled";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_hash_as_the_whole_in_their_order() {
        let mut hashing = Hashing::new();
        for piece in ["ab", "", "c"] {
            let (next, done) = hashing.add(Bytes::from_static(piece.as_bytes()));
            done.await.expect("hashed");
            hashing = next;
        }
        assert_eq!(hashing.upto, 3);
        let digest = hashing.finish().await;
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&digest.sha256), expected);
        assert_eq!(from_hex(expected), Some(digest.sha256));
        assert_eq!(digest.blake3, *blake3::hash(b"abc").as_bytes());
    }
}
