//! What is the digest of a file that comes in pieces?

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::{sync::oneshot, task::JoinHandle};

/// SHA-256 of the first `upto` bytes, worked on beside the upload in the order of its bytes.
pub(crate) struct Hashing {
    pub(crate) upto: u64,
    state: JoinHandle<Context>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        Self { upto: 0, state: tokio::spawn(async { Context::new(&SHA256) }) }
    }

    /// Takes the next bytes. The answer comes when they are done with.
    pub(crate) fn add(self, bytes: Bytes) -> (Self, oneshot::Receiver<()>) {
        let (done, answer) = oneshot::channel();
        let upto = self.upto + bytes.len() as u64;
        let before = self.state;
        let state = tokio::spawn(async move {
            let mut context = before.await.expect(NO_PANIC);
            let work = move || {
                context.update(&bytes);
                context
            };
            let context = tokio::task::spawn_blocking(work).await.expect(NO_PANIC);
            // Whoever does not wait any more has no use for the answer.
            let _ = done.send(());
            context
        });
        (Self { upto, state }, answer)
    }

    pub(crate) async fn finish(self) -> [u8; 32] {
        let digest = self.state.await.expect(NO_PANIC).finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
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
        assert_eq!(hex(&digest), expected);
        assert_eq!(from_hex(expected), Some(digest));
    }
}
