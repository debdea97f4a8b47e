//! What is put comes back, once stored, from every kind of place.

mod support;

use bytes::Bytes;
use kith_media_store::{
    chunks::{Error, PACKED},
    config::{Config, MasterKey, Place},
};
use support::{Kept, assert_same, chunk, objects, put_used, store};

const LONG: usize = 300_000;

#[tokio::test]
async fn a_chunk_comes_back_whole_and_in_parts() {
    let kept = Kept::new().await;
    for len in [0, 1, 1000, PACKED as usize, PACKED as usize + 1, LONG, 4 << 20] {
        let plaintext = chunk(len, 1);
        let held = kept.chunks.put(plaintext.clone()).await.expect("stored");
        assert_eq!(held.len as usize, len);
        for range in [0..len, 0..len.min(1), len / 3..len / 2, len..len] {
            let read = kept.chunks.read(&held.id, range.start as u32..range.end as u32).await;
            assert_same(&read.expect("there"), &plaintext.slice(range));
        }
        let beyond = kept.chunks.read(&held.id, 0..len as u32 + 1).await;
        assert!(matches!(beyond, Err(Error::OutOfRange)), "{beyond:?}");
    }
}

#[tokio::test]
async fn nothing_on_the_disk_shows_what_was_stored() {
    let kept = Kept::new().await;
    let secret = b"the plaintext of a file that nobody else may read ".repeat(4000);
    for len in [100, secret.len()] {
        kept.chunks.put(Bytes::copy_from_slice(&secret[..len])).await.expect("stored");
    }
    let objects = objects(kept.folder());
    assert!(objects.len() >= 3, "two chunks and a key: {objects:?}");
    for path in objects {
        let bytes = std::fs::read(&path).expect("readable");
        assert!(!bytes.windows(16).any(|at| at == &secret[..16]), "{}", path.display());
    }
}

#[tokio::test]
async fn equal_content_is_stored_once() {
    let kept = Kept::new().await;
    let (long, short) = (chunk(LONG, 1), chunk(10, 1));
    let first = put_used(&kept.chunks, &kept.store, long.clone(), "a").await;
    put_used(&kept.chunks, &kept.store, short.clone(), "a").await;
    let before = objects(kept.folder());
    for owner in ["b", "c", "d"] {
        let again = put_used(&kept.chunks, &kept.store, long.clone(), owner).await;
        assert_eq!(again, first);
        put_used(&kept.chunks, &kept.store, short.clone(), owner).await;
    }
    assert_eq!(objects(kept.folder()), before);
}

#[tokio::test]
async fn many_at_a_time_with_the_same_content_write_one_object() {
    let kept = Kept::new().await;
    let content = chunk(LONG, 1);
    let puts = (0..20).map(|_| kept.chunks.put(content.clone()));
    let held = futures_util::future::try_join_all(puts).await.expect("stored");
    assert!(held.iter().all(|one| one.id == held[0].id));
    let chunks = objects(kept.folder()).into_iter();
    assert_eq!(chunks.filter(|path| path.to_string_lossy().contains("/c/")).count(), 1);
}

/// Forty small chunks that come at a time share a few objects.
#[tokio::test]
async fn small_chunks_share_objects() {
    let kept = Kept::new().await;
    let puts = (0..40).map(|n| kept.chunks.put(chunk(4096, n)));
    let held = futures_util::future::try_join_all(puts).await.expect("stored");
    let packs = objects(kept.folder()).into_iter();
    let packs = packs.filter(|path| path.to_string_lossy().contains("/p/")).count();
    assert!((1..=10).contains(&packs), "{packs} packs");
    for (n, held) in held.iter().enumerate() {
        let read = kept.chunks.read(&held.id, 0..4096).await.expect("there");
        assert_same(&read, &chunk(4096, n as u64));
    }
}

#[tokio::test]
async fn a_store_is_opened_again_with_its_master_key_only() {
    let mut kept = Kept::new().await;
    let (long, short) = (chunk(LONG, 1), chunk(10, 1));
    let ids = [
        put_used(&kept.chunks, &kept.store, long.clone(), "a").await,
        put_used(&kept.chunks, &kept.store, short.clone(), "a").await,
    ];
    kept.reopen().await.expect("the same key");
    for (id, content) in ids.iter().zip([&long, &short]) {
        let read = kept.chunks.read(id, 0..content.len() as u32).await.expect("there");
        assert_same(&read, content);
    }
    let again = kept.chunks.put(long).await.expect("stored");
    assert_eq!(again.id, ids[0], "ids stay");

    let key = kept.master_key_path();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&key).expect("made at the first start").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    std::fs::rename(&key, key.with_extension("away")).expect("moved");
    let error = kept.reopen().await.expect_err("no key");
    assert!(matches!(error, Error::Keys(_)), "{error}");
    assert!(!key.exists(), "no new key is made for an old store");
    std::fs::write(&key, "00".repeat(32)).expect("written");
    let error = kept.reopen().await.expect_err("another key");
    assert!(matches!(error, Error::Keys(_)), "{error}");
}

#[tokio::test]
async fn damage_is_an_error_and_a_later_put_heals() {
    let kept = Kept::new().await;
    for len in [LONG, 1000] {
        let content = chunk(len, 1);
        let id = put_used(&kept.chunks, &kept.store, content.clone(), "a").await;
        let path = kept.object_of(&id).await;
        let mut bytes = std::fs::read(&path).expect("readable");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let read = kept.chunks.read(&id, 0..len as u32).await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{read:?}");
        // The damage is noted by a task of the store's own.
        kept.chunks.close().await;
        put_used(&kept.chunks, &kept.store, content.clone(), "b").await;
        assert_same(&kept.chunks.read(&id, 0..len as u32).await.expect("healed"), &content);

        std::fs::remove_file(kept.object_of(&id).await).expect("removed");
        let read = kept.chunks.read(&id, 0..len as u32).await;
        assert!(matches!(read, Err(Error::Missing(_))), "{read:?}");
        put_used(&kept.chunks, &kept.store, content.clone(), "b").await;
        assert_same(&kept.chunks.read(&id, 0..len as u32).await.expect("healed"), &content);
    }
}

#[tokio::test]
async fn a_chunk_that_is_too_long_is_refused() {
    let kept = Kept::new().await;
    let error = kept.chunks.put(Bytes::from(vec![0; (16 << 20) + 1])).await;
    assert!(matches!(error, Err(Error::TooLong(_))), "{error:?}");
}

#[tokio::test]
async fn two_teams_share_a_datastore_and_no_object() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let content = chunk(LONG, 1);
    let mut ids = Vec::new();
    for team in ["a.example", "b.example:8448"] {
        let key = MasterKey::Given([7; 32]);
        let config = Config::new(Place::folder(folder.path()), team, key);
        let (_database, store) = store().await;
        let chunks = kith_media_store::chunks::Chunks::open(&config, store).await.expect("opened");
        ids.push(chunks.put(content.clone()).await.expect("stored").id);
    }
    assert_ne!(ids[0], ids[1], "each team has an id key of its own");
    let error = Config::new(Place::folder(folder.path()), "../a", MasterKey::Given([7; 32]));
    let (_database, store) = store().await;
    assert!(kith_media_store::chunks::Chunks::open(&error, store).await.is_err());
}

/// Ten users store a file of forty chunks: one per cent more than one of them, at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_owners_of_a_file_store_it_once() {
    let kept = Kept::configured(|_, config| config.chunk_size = PACKED).await;
    let file = chunk(40 * PACKED as usize + 4321, 5);
    for owner in 0..10 {
        let mut chunker = kept.chunks.chunker();
        chunker.push(file.clone());
        while let Some(piece) = chunker.finish() {
            put_used(&kept.chunks, &kept.store, piece, &format!("owner {owner}")).await;
        }
    }
    let size = |path: &std::path::PathBuf| path.metadata().expect("a file").len();
    let stored: u64 = objects(kept.folder()).iter().map(size).sum();
    let ratio = stored as f64 / file.len() as f64;
    assert!(ratio <= 1.01, "{ratio} of the file");
}
