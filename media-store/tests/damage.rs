//! Every flipped bit is found, and healed where there is another copy.

mod support;

use std::{collections::BTreeSet, ops::Range, path::PathBuf, time::Duration};

use kith_media_store::{
    chunks::Error,
    config::Place,
    fsck::Look,
    id::ChunkId,
    scrub::{ScrubBudget, ScrubReport},
};
use kith_store::tables::ChunkDamage;
use support::{Kept, assert_same, chunk, objects, put_used};

const ALL: ScrubBudget = ScrubBudget { chunks: usize::MAX, older_than: Duration::ZERO, rate: None };

async fn mirrored() -> Kept {
    Kept::configured(|folder, config| config.mirror = Some(Place::folder(folder.join("mirror"))))
        .await
}

async fn scrub(kept: &Kept) -> ScrubReport {
    let report = kept.chunks.scrub(&ALL).await.expect("scrubbed");
    assert!(report.finished);
    report
}

/// The same numbers in each run.
fn numbers(count: usize) -> impl Iterator<Item = u64> {
    let mut bytes = vec![0; 8 * count];
    blake3::Hasher::new().update(b"which bits").finalize_xof().fill(&mut bytes);
    let numbers: Vec<u64> =
        bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    numbers.into_iter()
}

/// Flips a bit of what lies in this part of the file.
fn flip((path, part): (PathBuf, Range<usize>), bit: u64) {
    let mut bytes = std::fs::read(&path).expect("readable");
    let bit = bit as usize % (part.len() * 8);
    bytes[part.start + bit / 8] ^= 1 << (bit % 8);
    std::fs::write(path, bytes).expect("written");
}

/// A thousand bits, one after another of a hundred objects: each is found in its round, whichever
/// object and whichever byte of it is hit, and healed from the mirror.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_flipped_bits_are_found_and_healed() {
    let kept = mirrored().await;
    let mut ids = Vec::new();
    for n in 0..100 {
        let len = if n % 2 == 0 { 66_000 + 700 * n as usize } else { 5 + 300 * n as usize };
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n), "a").await);
    }
    let mut random = numbers(2000);
    let (mut found, mut healed) = (0, 0);
    for _ in 0..10 {
        for id in &ids {
            let which = random.next().expect("enough");
            let (mut path, part) = kept.part_of(id).await;
            // Half of the damage is in the mirror.
            if which.is_multiple_of(2) {
                path = kept.mirror().join(path.strip_prefix(kept.folder()).expect("below"));
            }
            flip((path, part), random.next().expect("enough"));
        }
        let report = scrub(&kept).await;
        assert!(report.lost.is_empty(), "{report:?}");
        found += report.healed;
        healed += scrub(&kept).await.checked;
    }
    assert_eq!(found, 1000);
    assert_eq!(healed, 1000, "the second look finds all whole");
    for (n, id) in ids.iter().enumerate() {
        let len = kept.chunks.len(id).await.expect("readable").expect("there");
        let read = kept.chunks.read(id, 0..len).await.expect("healed");
        assert_same(&read, &chunk(len as usize, n as u64));
    }
    let bad = |folder| {
        objects(folder).iter().filter(|path| path.to_string_lossy().contains("/bad/")).count()
    };
    assert_eq!(bad(kept.folder()) + bad(kept.mirror()), 1000, "what was damaged is kept");
}

#[tokio::test]
async fn without_a_mirror_the_damage_is_found_and_the_same_content_heals() {
    let kept = Kept::new().await;
    let mut ids = Vec::new();
    for (n, len) in [100_000, 200_000, 300_000, 1000].into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    flip(kept.part_of(&ids[0]).await, 77);
    std::fs::remove_file(kept.object_of(&ids[1]).await).expect("removed");
    flip(kept.part_of(&ids[3]).await, 8 * 500);
    let lost: BTreeSet<_> = scrub(&kept).await.lost.into_iter().map(|(id, _)| id).collect();
    assert_eq!(lost, BTreeSet::from([ids[0], ids[1], ids[3]]));
    let again = scrub(&kept).await;
    let of =
        |id: &ChunkId| again.lost.iter().find(|(lost, _)| lost == id).map(|(_, damage)| *damage);
    assert_eq!(of(&ids[0]), Some(ChunkDamage::Corrupt), "though its object was set aside");
    assert_eq!(of(&ids[1]), Some(ChunkDamage::Missing));
    for (n, len) in [(0, 100_000), (1, 200_000), (3, 1000)] {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await;
        assert!(matches!(read, Err(Error::Missing(_) | Error::Corrupt(_))), "{read:?}");
        put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "b").await;
    }
    assert_eq!(
        scrub(&kept).await,
        ScrubReport { checked: 4, bytes: 601_000, finished: true, ..Default::default() }
    );
}

/// What stands around a packed chunk can be made anew from the chunk.
#[tokio::test]
async fn a_damaged_record_does_not_lose_its_chunk() {
    let kept = Kept::new().await;
    let id = put_used(&kept.chunks, &kept.store, chunk(1000, 1), "a").await;
    for bit in [3, 8 * 4 + 1, 8 * 8 + 1, 8 * 12 + 1] {
        flip(kept.part_of(&id).await, bit);
        assert_same(&kept.chunks.read(&id, 0..1000).await.expect("there"), &chunk(1000, 1));
        let report = scrub(&kept).await;
        assert_eq!((report.healed, report.lost.len()), (1, 0));
        assert_eq!(scrub(&kept).await.healed, 0);
    }
}

#[tokio::test]
async fn a_reader_gets_the_mirrors_copy_and_the_first_is_healed() {
    let kept = mirrored().await;
    for len in [400_000, 900] {
        let id = put_used(&kept.chunks, &kept.store, chunk(len, 1), "a").await;
        flip(kept.part_of(&id).await, 8 * (len as u64 / 2));
        let range = len as u32 / 3..len as u32 - 5;
        let read = kept.chunks.read(&id, range.clone()).await.expect("in the mirror");
        assert_same(&read, &chunk(len, 1).slice(range.start as usize..range.end as usize));
        kept.chunks.close().await;
        assert_eq!(scrub(&kept).await.healed, 0, "it was healed by the reader");
    }
}

#[tokio::test]
async fn a_mirror_that_comes_later_gets_everything_by_the_next_scrub() {
    let mut kept = Kept::new().await;
    let mut ids = Vec::new();
    for (n, len) in [400_000, 900, 800].into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    kept.config.mirror = Some(Place::folder(kept.mirror()));
    kept.reopen().await.expect("opened");
    assert_eq!(scrub(&kept).await.healed, 3);
    std::fs::remove_dir_all(kept.folder()).expect("removed");
    kept.reopen().await.expect("the keys are in the index");
    for (n, len) in [400_000, 900, 800].into_iter().enumerate() {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await.expect("in the mirror");
        assert_same(&read, &chunk(len, n as u64));
    }
}

#[tokio::test]
async fn fsck_finds_what_is_gone_and_mends_rows() {
    let kept = mirrored().await;
    let mut ids = Vec::new();
    for (n, len) in [100_000, 200_000, 1000].into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    let mut parts = 0;
    let whole = kept.chunks.fsck(Look::Quick, |_| parts += 1).await.expect("looked");
    assert_eq!((whole.chunks, whole.bytes, whole.healed, parts), (3, 301_000, 0, 256));

    let first = kept.object_of(&ids[0]).await;
    let file = std::fs::File::options().write(true).open(&first).expect("there");
    file.set_len(50_000).expect("cut");
    std::fs::remove_file(kept.object_of(&ids[2]).await).expect("removed");
    flip(kept.part_of(&ids[1]).await, 9);
    let mut batch = kith_store::Batch::new();
    let rows = kept.store.scan(&kith_store::tables::CHUNKS_BY_CHECK, kith_store::Scan::all()).await;
    for (key, ()) in rows.expect("readable") {
        batch.delete(&kith_store::tables::CHUNKS_BY_CHECK, &key);
    }
    kept.store.commit(batch).await.expect("committed");

    let quick = kept.chunks.fsck(Look::Quick, |_| {}).await.expect("looked");
    assert!(quick.healed >= 1 && quick.lost.is_empty(), "{quick:?}");
    assert_eq!(quick.rows_mended, 3);
    let full = kept.chunks.fsck(Look::Full, |_| {}).await.expect("looked");
    assert_eq!(
        (full.healed, full.rows_mended),
        (1, 0),
        "the flipped bit, which a listing does not show"
    );
    let mut stale = kith_store::Batch::new();
    stale.put(&kith_store::tables::CHUNKS_BY_CHECK, &(7, ids[0].0), &());
    stale.put(&kith_store::tables::CHUNKS_BY_CHECK, &(7, [1; 32]), &());
    kept.store.commit(stale).await.expect("committed");
    let report = scrub(&kept).await;
    assert_eq!((report.healed, report.checked), (0, 3), "each once");
    for (n, len) in [100_000, 200_000, 1000].into_iter().enumerate() {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await.expect("healed");
        assert_same(&read, &chunk(len, n as u64));
    }
}

#[tokio::test]
async fn the_index_is_made_anew_from_the_datastore() {
    let mut kept = Kept::new().await;
    let lengths = [100_000, 200_000, 10, 3000, 3000, 0];
    let mut ids = Vec::new();
    for (n, len) in lengths.into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    kept.chunks.write_journal("what the files are".into()).await.expect("written");
    kept.chunks.write_journal("and what became of them".into()).await.expect("written");
    let rows = |kept: &Kept| {
        let store = kept.store.clone();
        async move {
            let scan = kith_store::Scan::all();
            let rows = store.scan(&kith_store::tables::CHUNKS, scan).await.expect("readable");
            rows.into_iter().map(|(id, row)| (id, row.0.len, row.0.packed)).collect::<Vec<_>>()
        }
    };
    let before = rows(&kept).await;

    kept.lose_index().await;
    assert!(matches!(kept.chunks.read(&ids[0], 0..1).await, Err(Error::Missing(_))));
    let report = kept.chunks.rebuild(|_| {}).await.expect("rebuilt");
    assert_eq!((report.added, report.malformed), (6, 0));
    assert_eq!(rows(&kept).await, before);
    for (n, len) in lengths.into_iter().enumerate() {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await.expect("there");
        assert_same(&read, &chunk(len, n as u64));
    }
    let mut journals = Vec::new();
    for journal in kept.chunks.journals().await.expect("listed") {
        journals.push(kept.chunks.read_journal(&journal).await.expect("readable"));
    }
    assert_eq!(journals, ["what the files are", "and what became of them"]);
    assert_eq!(scrub(&kept).await.checked, 6);
    assert_eq!(kept.chunks.rebuild(|_| {}).await.expect("again").added, 0);
}
