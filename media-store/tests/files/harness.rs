//! A store in memory with a clock that the test turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use kith_media_store::{
    Append, Appended, Error, MediaStore, Meta, Mxc, Policy, chunks::Chunks, config::Config,
};
use kith_store::{Database, Engine, Store, engine::memory::Memory};
use ruma::OwnedUserId;

/// Bytes of a chunk: small, so that a few bytes make a file of many chunks.
pub(crate) const CHUNK: u32 = 1000;
pub(crate) const LARGEST: u64 = 20_000;
pub(crate) const NEVER: Duration = Duration::ZERO;

pub(crate) struct Fixture {
    pub(crate) media: MediaStore,
    pub(crate) store: Store,
    pub(crate) alice: OwnedUserId,
    pub(crate) bob: OwnedUserId,
    pub(crate) clock: Arc<AtomicU64>,
}

pub(crate) async fn fixture() -> Fixture {
    fixture_with(|_| {}).await
}

pub(crate) async fn fixture_with(change: impl FnOnce(&mut Policy)) -> Fixture {
    fixture_at(&Config::memory(), change).await
}

pub(crate) async fn fixture_at(config: &Config, change: impl FnOnce(&mut Policy)) -> Fixture {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let database = Database::open(engine).expect("memory opens");
    let store = database.team(1).await.expect("a team's rows");
    let chunks = Chunks::open(config, store.clone()).await.expect("chunks in memory");
    let clock = Arc::new(AtomicU64::new(1_000_000_000));
    let mut policy = policy(&clock);
    change(&mut policy);
    let server = "kith.test".try_into().expect("a server name");
    let media = MediaStore::new(server, chunks, store.clone(), policy);
    let user = |name: &str| name.try_into().expect("a user ID");
    let (alice, bob) = (user("@alice:kith.test"), user("@bob:kith.test"));
    Fixture { media, store, alice, bob, clock }
}

pub(crate) fn policy(clock: &Arc<AtomicU64>) -> Policy {
    let clock = Arc::clone(clock);
    Policy {
        largest: LARGEST,
        chunk: CHUNK,
        access: Duration::from_millis(1),
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        ..Policy::default()
    }
}

impl Fixture {
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) async fn upload(&self, content: &[u8]) -> Result<Appended, Error> {
        let body = pieces(content, 300);
        self.media.upload(&self.alice, Meta::default(), None, body).await
    }

    pub(crate) async fn reserve(&self) -> Mxc {
        let reserved = self.media.reserve(&self.alice, Meta::default(), None).await;
        reserved.expect("reserved").mxc
    }

    /// Alice's bytes from `offset` on.
    pub(crate) async fn append(
        &self,
        mxc: &Mxc,
        offset: u64,
        content: &[u8],
        complete: bool,
    ) -> Result<Appended, Error> {
        let request = Append { offset, complete, ..Append::default() };
        self.media.append(mxc, &self.alice, request, pieces(content, 300)).await
    }

    pub(crate) async fn remote(&self, id: &str, content: &[u8]) -> Mxc {
        let server = "other.test".try_into().expect("a server name");
        let mxc = Mxc::new(server, id).expect("a media ID");
        let body = pieces(content, 300);
        let kept = self.media.keep_remote(mxc.clone(), Meta::default(), None, LARGEST, body).await;
        kept.expect("kept");
        mxc
    }

    /// The whole file, if it is there.
    pub(crate) async fn content(&self, mxc: &Mxc) -> Option<Vec<u8>> {
        let found = self.media.open_file(mxc, None, NEVER).await.expect("readable")?;
        let parts: Vec<Bytes> = found.bytes.try_collect().await.expect("whole");
        Some(parts.concat())
    }
}

/// The first bytes of a file that is like no other of another seed.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn pieces(
    content: &[u8],
    length: usize,
) -> impl Stream<Item = Result<Bytes, String>> + Send + 'static {
    let pieces: Vec<_> =
        content.chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// These bytes, and then the sender is gone.
pub(crate) fn broken_off(
    content: &[u8],
    length: usize,
) -> impl Stream<Item = Result<Bytes, String>> + Send + 'static {
    use futures_util::StreamExt;
    pieces(content, length).chain(stream::iter([Err("gone".to_owned())]))
}

/// SHA-256 of a file.
pub(crate) fn sha256(file: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, file).as_ref().try_into().expect("32 bytes")
}

/// As rows have it.
pub(crate) fn hex(digest: [u8; 32]) -> Option<String> {
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
