//! Everything comes to another datastore, and under another key, while it is used.

mod support;

use kith_media_store::chunks::Error;
use kith_store::tables::CHUNKS;
use support::{Kept, assert_same, chunk, objects, put_used};

const LENGTHS: [usize; 5] = [300_000, 100_000, 1000, 2000, 0];

async fn filled() -> (Kept, Vec<kith_media_store::id::ChunkId>) {
    let kept = Kept::new().await;
    let mut ids = Vec::new();
    for (n, len) in LENGTHS.into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    (kept, ids)
}

async fn all_readable(kept: &Kept, ids: &[kith_media_store::id::ChunkId]) {
    for (n, id) in ids.iter().enumerate() {
        readable(kept, id, n as u64).await;
    }
}

async fn readable(kept: &Kept, id: &kith_media_store::id::ChunkId, seed: u64) {
    let len = kept.chunks.len(id).await.expect("readable").expect("there");
    let read = kept.chunks.read(id, 0..len).await.expect("readable");
    assert_same(&read, &chunk(len as usize, seed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_stored_and_read_while_they_move() {
    let (mut kept, mut ids) = filled().await;
    let to = format!("fs:{}", kept.temporary.path().join("new").display());
    let (chunks, store) = (kept.chunks.clone(), kept.store.clone());
    let uploads = tokio::spawn(async move {
        let mut ids = Vec::new();
        for n in 5..60 {
            let len = if n % 2 == 0 { 90_000 } else { 700 };
            let id = put_used(&chunks, &store, chunk(len, n), "b").await;
            assert_same(&chunks.read(&id, 0..len as u32).await.expect("there"), &chunk(len, n));
            ids.push(id);
        }
        ids
    });
    kept.chunks.write_journal("an entry".into()).await.expect("written");
    let report = kept.chunks.move_to(&to, |_| {}).await.expect("moved");
    assert!(report.finished && report.damaged == 0, "{report:?}");
    ids.extend(uploads.await.expect("stored"));
    std::fs::remove_dir_all(kept.folder()).expect("the old place is not needed");
    all_readable(&kept, &ids).await;

    // Whichever of the two the configuration names.
    kept.reopen().await.expect("opened");
    all_readable(&kept, &ids).await;
    kept.config.datastore = kith_media_store::config::Place::Uri(to.clone());
    kept.reopen().await.expect("opened");
    all_readable(&kept, &ids).await;
    assert_eq!(kept.chunks.journals().await.expect("listed").len(), 1);
    let again = kept.chunks.move_to(&to, |_| {}).await;
    assert!(matches!(again, Err(Error::Config(_))), "{again:?}");
}

/// A move that found damage is not finished: both places are read, also after a restart.
#[tokio::test]
async fn a_move_is_resumed() {
    let (mut kept, ids) = filled().await;
    let to = format!("fs:{}", kept.temporary.path().join("new").display());
    let damaged = kept.object_of(&ids[0]).await;
    let whole = std::fs::read(&damaged).expect("readable");
    std::fs::write(&damaged, &whole[..whole.len() - 1]).expect("cut");
    let report = kept.chunks.move_to(&to, |_| {}).await.expect("moved");
    assert!(!report.finished && report.damaged == 1, "{report:?}");
    kept.reopen().await.expect("opened");
    for (n, id) in ids.iter().enumerate().skip(1) {
        readable(&kept, id, n as u64).await;
    }
    let other = kept.chunks.move_to("memory:", |_| {}).await;
    assert!(matches!(other, Err(Error::Config(_))), "{other:?}");

    std::fs::write(&damaged, whole).expect("brought back");
    all_readable(&kept, &ids).await;
    let report = kept.chunks.move_to(&to, |_| {}).await.expect("moved");
    assert!(report.finished, "{report:?}");
    assert_eq!(report.objects, 2, "only what was not there, and one look at what was");
    std::fs::remove_dir_all(kept.folder()).expect("the old place is not needed");
    all_readable(&kept, &ids).await;
}

#[tokio::test]
async fn new_chunks_have_the_new_key_and_old_ones_get_it() {
    let (mut kept, mut ids) = filled().await;
    let journal = kept.chunks.write_journal("an entry".into()).await.expect("written");
    assert_eq!(kept.chunks.rotate().await.expect("rotated"), 2);
    ids.push(put_used(&kept.chunks, &kept.store, chunk(80_000, 5), "a").await);
    all_readable(&kept, &ids).await;
    kept.reopen().await.expect("opened");
    all_readable(&kept, &ids).await;
    let again = put_used(&kept.chunks, &kept.store, chunk(LENGTHS[0], 0), "b").await;
    assert_eq!(again, ids[0], "ids do not depend on the epoch");

    let (mut resealed, mut last) = (0, Default::default());
    while resealed < 5 {
        last = kept.chunks.reseal(1).await.expect("resealed");
        resealed += last.resealed;
        all_readable(&kept, &ids).await;
    }
    if !last.finished {
        last = kept.chunks.reseal(1).await.expect("resealed");
    }
    assert!(last.finished && last.forgotten == [1], "{last:?}");
    for id in &ids {
        let row = kept.store.get(&CHUNKS, &id.0).await.expect("readable").expect("there");
        assert_eq!(row.0.epoch, 2);
    }
    let keys = objects(kept.folder()).into_iter();
    let keys = keys.filter(|path| path.to_string_lossy().contains("/k/")).count();
    assert_eq!(keys, 1, "the old key is destroyed");
    kept.reopen().await.expect("opened");
    all_readable(&kept, &ids).await;
    let entry = kept.chunks.read_journal(&journal).await.expect("resealed too");
    assert_eq!(entry, "an entry");
}
