//! What nobody uses goes, after its grace and not before; what somebody wants stays.

mod support;

use std::time::Duration;

use kith_media_store::{
    chunks::{Chunks, Error},
    collector::CollectReport,
};
use kith_store::Batch;
use support::{Kept, assert_same, chunk, objects, put_used};

const LONG: usize = 200_000;

/// A store whose collector waits for nothing.
async fn hasty() -> Kept {
    Kept::configured(|_, config| config.grace = Duration::ZERO).await
}

async fn pass(chunks: &Chunks) -> CollectReport {
    let report = chunks.collect(u64::MAX).await.expect("collected");
    assert!(report.finished, "{report:?}");
    report
}

fn chunk_files(kept: &Kept) -> usize {
    let of_chunks = |path: &String| path.contains("/v1/c/") || path.contains("/v1/p/");
    let paths = objects(kept.folder()).into_iter().map(|path| path.to_string_lossy().into_owned());
    paths.filter(of_chunks).count()
}

#[tokio::test]
async fn what_nobody_uses_is_removed_and_the_rest_stays() {
    let kept = hasty().await;
    let mut ids = Vec::new();
    for (n, len) in [LONG, LONG, 1000, 1000].into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    let mut batch = Batch::new();
    for n in [0, 2] {
        kept.chunks.used_by(&mut batch, &ids[n], "b");
        kept.chunks.unused_by(&mut batch, &ids[n], "a");
    }
    for n in [1, 3] {
        kept.chunks.unused_by(&mut batch, &ids[n], "a");
    }
    kept.store.commit(batch).await.expect("committed");

    let report = pass(&kept.chunks).await;
    assert_eq!((report.removed, report.bytes), (2, LONG as u64 + 1000));
    for (n, len) in [LONG, LONG, 1000, 1000].into_iter().enumerate() {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await;
        match n {
            0 | 2 => assert_same(&read.expect("used"), &chunk(len, n as u64)),
            _ => assert!(matches!(read, Err(Error::Missing(_))), "{read:?}"),
        }
    }
    let mut batch = Batch::new();
    kept.chunks.unused_by(&mut batch, &ids[0], "b");
    kept.chunks.unused_by(&mut batch, &ids[2], "b");
    kept.store.commit(batch).await.expect("committed");
    pass(&kept.chunks).await;
    assert_eq!(chunk_files(&kept), 0);
    assert_eq!(pass(&kept.chunks).await.removed, 0);
}

#[tokio::test]
async fn a_chunk_has_its_grace_from_the_moment_it_is_seen_unused() {
    let kept = Kept::configured(|_, config| config.grace = Duration::from_millis(400)).await;
    let id = kept.chunks.put(chunk(LONG, 1)).await.expect("stored").id;
    assert_eq!(pass(&kept.chunks).await.removed, 0, "marked");
    // Used again: the mark goes.
    put_used(&kept.chunks, &kept.store, chunk(LONG, 1), "a").await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(pass(&kept.chunks).await.removed, 0, "used");
    let mut batch = Batch::new();
    kept.chunks.unused_by(&mut batch, &id, "a");
    kept.store.commit(batch).await.expect("committed");
    assert_eq!(pass(&kept.chunks).await.removed, 0, "its grace begins now");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(pass(&kept.chunks).await.removed, 1);
}

#[tokio::test]
async fn what_is_held_stays() {
    let kept = hasty().await;
    let held = [
        kept.chunks.put(chunk(LONG, 1)).await.expect("stored"),
        kept.chunks.put(chunk(1000, 1)).await.expect("stored"),
    ];
    assert_eq!(pass(&kept.chunks).await.removed, 0);
    let again = kept.chunks.hold(&held[0].id).await.expect("readable").expect("there");
    drop(held);
    assert_eq!(pass(&kept.chunks).await.removed, 1);
    drop(again);
    assert_eq!(pass(&kept.chunks).await.removed, 1);
}

/// Many store the same few chunks, use them and let them go while the collector runs all the time:
/// nobody ever finds a chunk missing that he uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_collector_takes_nothing_from_those_who_store_the_same() {
    let kept = hasty().await;
    let user = |n: u64| {
        let (chunks, store) = (kept.chunks.clone(), kept.store.clone());
        tokio::spawn(async move {
            for round in 0..60 {
                let seed = (n + round) % 3;
                let len = if round % 2 == 0 { 70_000 } else { 500 };
                let owner = format!("user {n}");
                let id = put_used(&chunks, &store, chunk(len, seed), &owner).await;
                tokio::task::yield_now().await;
                let read = chunks.read(&id, 0..len as u32).await.expect("used");
                assert_same(&read, &chunk(len, seed));
                let mut batch = Batch::new();
                chunks.unused_by(&mut batch, &id, &owner);
                store.commit(batch).await.expect("committed");
            }
        })
    };
    let users: Vec<_> = (0..6).map(user).collect();
    let mut removed = 0;
    while !users.iter().all(tokio::task::JoinHandle::is_finished) {
        removed += pass(&kept.chunks).await.removed;
    }
    for user in users {
        user.await.expect("found everything");
    }
    assert!(removed > 0, "the collector had nothing to do");
    pass(&kept.chunks).await;
    assert_eq!(chunk_files(&kept), 0);
}

#[tokio::test]
async fn small_and_sparse_packs_are_brought_together() {
    let kept = hasty().await;
    let mut ids = Vec::new();
    for n in 0..30 {
        // One after another, so that each has a pack of its own.
        ids.push(put_used(&kept.chunks, &kept.store, chunk(3000, n), "a").await);
    }
    assert_eq!(chunk_files(&kept), 30);
    assert_eq!(pass(&kept.chunks).await.packs, 30);
    assert_eq!(chunk_files(&kept), 1);
    let mut batch = Batch::new();
    for id in &ids[..20] {
        kept.chunks.unused_by(&mut batch, id, "a");
    }
    kept.store.commit(batch).await.expect("committed");
    assert_eq!(pass(&kept.chunks).await.removed, 20);
    assert_eq!(chunk_files(&kept), 1);
    let left = objects(kept.folder().join("example.org/v1/p"));
    let len = std::fs::metadata(&left[0]).expect("there").len();
    assert!(len < 11 * 3100, "{len} bytes are left of ten chunks of 3,000");
    for (n, id) in ids.iter().enumerate().skip(20) {
        assert_same(&kept.chunks.read(id, 0..3000).await.expect("used"), &chunk(3000, n as u64));
    }
    assert_eq!(pass(&kept.chunks).await.packs, 0, "nothing more to gain");
}

/// Packs move under readers who have looked where a chunk is and have not read it yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_do_not_notice_when_packs_are_brought_together() {
    let kept = hasty().await;
    let id = put_used(&kept.chunks, &kept.store, chunk(1000, 1), "a").await;
    let chunks = kept.chunks.clone();
    let reader = tokio::spawn(async move {
        for _ in 0..2000 {
            assert_same(&chunks.read(&id, 0..1000).await.expect("used"), &chunk(1000, 1));
        }
    });
    let mut n = 2;
    while !reader.is_finished() {
        put_used(&kept.chunks, &kept.store, chunk(1000, n), "a").await;
        n += 1;
        pass(&kept.chunks).await;
    }
    reader.await.expect("found it each time");
}

#[tokio::test]
async fn objects_that_no_row_names_go_after_the_grace() {
    let kept = hasty().await;
    let id = put_used(&kept.chunks, &kept.store, chunk(LONG, 1), "a").await;
    let used = kept.object_of(&id).await;
    // As a crash between the object and its row leaves it.
    let name = "ab".repeat(32);
    let orphan = kept.folder().join(format!("example.org/v1/c/ab/ab/{name}"));
    std::fs::create_dir_all(orphan.parent().expect("a folder")).expect("made");
    std::fs::copy(&used, &orphan).expect("copied");
    let pack = kept.folder().join("example.org/v1/p/0000000000000001.pack");
    std::fs::create_dir_all(pack.parent().expect("a folder")).expect("made");
    std::fs::write(&pack, b"half a pack").expect("written");

    let report = pass(&kept.chunks).await;
    assert_eq!((report.orphans, report.packs, report.removed), (1, 1, 0));
    assert!(used.exists() && !orphan.exists() && !pack.exists());
}

/// A new index does not know the objects of an old one: that is no reason to remove them.
#[tokio::test]
async fn a_new_index_sweeps_away_nothing_of_an_old_one() {
    let mut kept = hasty().await;
    let content = chunk(LONG, 1);
    put_used(&kept.chunks, &kept.store, content, "a").await;
    put_used(&kept.chunks, &kept.store, chunk(1000, 1), "a").await;
    let before = objects(kept.folder());
    let hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    for object in &before {
        let file = std::fs::File::options().write(true).open(object).expect("there");
        file.set_modified(hour_ago).expect("set");
    }
    kept.lose_index().await;
    let report = pass(&kept.chunks).await;
    assert_eq!((report.orphans, report.packs), (0, 0));
    assert_eq!(objects(kept.folder()), before);
}

#[tokio::test]
async fn a_pass_goes_on_where_it_was_cut_off() {
    let mut kept = hasty().await;
    for n in 0..600 {
        kept.chunks.put(chunk(100, n)).await.expect("stored");
    }
    let first = kept.chunks.collect(1).await.expect("a part");
    assert!(!first.finished && first.looked_at < 600, "{first:?}");
    let mut removed = first.removed;
    kept.reopen().await.expect("opened");
    loop {
        let report = kept.chunks.collect(1).await.expect("a part");
        removed += report.removed;
        if report.finished {
            break;
        }
    }
    assert_eq!(removed, 600);
    assert_eq!(chunk_files(&kept), 0);
}
