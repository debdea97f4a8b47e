//! When a third of all operations fail, and when the disk is full: clear errors, never wrong bytes, and
//! nothing that was acknowledged is lost.

#[path = "support/faulty.rs"]
mod faulty;
mod support;

use std::{path::Path, process::Command, time::Duration};

use bytes::Bytes;
use faulty::Faulty;
use futures_util::{StreamExt as _, stream};
use kith_media_store::{
    chunks::{Chunks, Error},
    config::{Config, MasterKey, Place},
    fsck::Look,
    id::ChunkId,
};
use opendal::{Operator, layers::ChaosLayer, services};
use support::{Kept, assert_same, chunk, objects, put_used, store};

/// Puts 120 chunks, reads all of them that were acknowledged, collects, and does it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_third_of_failing_operations_no_wrong_byte_comes() {
    let faulty = Faulty::new(30);
    let memory = || Operator::new(services::Memory::default()).expect("memory");
    let (first, mirror) = (memory(), memory());
    // Nearest to the service, below the store's own layers.
    let place = |operator: &Operator| {
        Place::Operator(operator.clone().layer(ChaosLayer::new(0.3)).layer(faulty.clone()))
    };
    let mut config = Config::new(place(&first), "team", MasterKey::Given([7; 32]));
    config.mirror = Some(place(&mirror));
    config.grace = Duration::ZERO;
    let (_database, store) = store().await;
    let chunks = Chunks::open(&config, store.clone()).await.expect("nothing is read yet");
    faulty.begin(1);
    let content = |n: u64| chunk([700, 5000, 70_000, 200_000][(n % 4) as usize], n / 2);
    let mut stored: Vec<(u64, ChunkId)> = Vec::new();
    let (mut failed, mut unread) = (0, 0);
    for round in 0..2 {
        let puts = stream::iter(round * 60..round * 60 + 60).map(|n| {
            let (chunks, store) = (&chunks, &store);
            async move { (n, try_put_used(chunks, store, content(n)).await) }
        });
        let done: Vec<_> = puts.buffer_unordered(32).collect().await;
        for (n, put) in done {
            match put {
                Ok(id) => stored.push((n, id)),
                Err(Error::Datastore(_)) => failed += 1,
                Err(error) => panic!("not a clear error: {error}"),
            }
        }
        let _ = chunks.collect(u64::MAX).await;
        let reads = stream::iter(&stored).map(|(n, id)| {
            let chunks = &chunks;
            async move { (*n, chunks.read(id, 0..content(*n).len() as u32).await) }
        });
        let read: Vec<_> = reads.buffer_unordered(32).collect().await;
        for (n, read) in read {
            match read {
                Ok(bytes) => assert_same(&bytes, &content(n)),
                Err(Error::Datastore(_)) => unread += 1,
                Err(error) => panic!("{n} is there: {error}"),
            }
        }
    }
    assert!(failed > 0, "the chaos was too tame");
    assert!(stored.len() > 40, "the retries are too few: {failed} failed, {unread} unread");

    // When it is over, everything that was acknowledged is there.
    chunks.close().await;
    config.datastore = Place::Operator(first);
    config.mirror = Some(Place::Operator(mirror));
    let chunks = Chunks::open(&config, store.clone()).await.expect("opened");
    for (n, id) in &stored {
        let read = chunks.read(id, 0..content(*n).len() as u32).await;
        assert_same(&read.expect("acknowledged"), &content(*n));
    }
    let report = chunks.fsck(Look::Full, |_| {}).await.expect("looked");
    assert_eq!(report.lost, Vec::<String>::new());
    println!("{failed} of 120 puts failed, {unread} reads, {} chunks were healed", report.healed);
}

async fn try_put_used(
    chunks: &Chunks,
    store: &kith_store::Store,
    content: Bytes,
) -> Result<ChunkId, Error> {
    let held = chunks.put(content).await?;
    let mut batch = kith_store::Batch::new();
    chunks.used_by(&mut batch, &held.id, "a");
    store.commit(batch).await?;
    Ok(held.id)
}

const DISK: &str = "KITH_TEST_FULL_DISK";

/// What runs where the folder of this variable is a disk of 8 MiB.
#[tokio::test]
async fn on_a_small_disk() {
    #[allow(clippy::disallowed_methods, reason = "how the test tells its child what to do")]
    let Ok(disk) = std::env::var(DISK) else {
        return;
    };
    let kept = Kept::configured(|_, config| {
        config.datastore = Place::folder(Path::new(&disk));
        config.grace = Duration::ZERO;
    })
    .await;
    let (mut stored, mut n) = (Vec::new(), 0);
    let long = loop {
        match kept.chunks.put(chunk(1 << 20, n)).await {
            Ok(held) => stored.push((held, n, 1 << 20)),
            Err(error) => break error,
        }
        n += 1;
    };
    assert!(matches!(long, Error::Full), "{long:?}");
    assert!((5..8).contains(&n), "{n} MiB on a disk of 8");
    let short = loop {
        n += 1;
        match kept.chunks.put(chunk(60_000, n)).await {
            Ok(held) => stored.push((held, n, 60_000)),
            Err(error) => break error,
        }
    };
    assert!(matches!(short, Error::Full), "{short:?}");
    for (held, n, len) in &stored {
        assert_same(
            &kept.chunks.read(&held.id, 0..*len).await.expect("there"),
            &chunk(*len as usize, *n),
        );
    }
    let half = |path: &&std::path::PathBuf| path.to_string_lossy().contains("v1/tmp/");
    assert_eq!(objects(&disk).iter().find(half), None, "what failed takes no space");
    // Space comes back when something goes, and then everything works again.
    drop(stored);
    kept.chunks.collect(u64::MAX).await.expect("collected");
    let id = put_used(&kept.chunks, &kept.store, chunk(4 << 20, 1), "a").await;
    assert_same(&kept.chunks.read(&id, 0..4 << 20).await.expect("there"), &chunk(4 << 20, 1));
    println!("the disk was full");
}

#[test]
fn a_full_disk_is_said_to_be_full_and_damages_nothing() {
    let disk = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("this program");
    let mount =
        r#"mount -t tmpfs -o size=8m none "$1" && exec "$2" --exact on_a_small_disk --nocapture"#;
    let mounts = |options: &str| {
        let script = r#"mount -t tmpfs none "$1""#;
        let tried = Command::new("unshare")
            .args([options, "sh", "-c", script, "sh"])
            .arg(disk.path())
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(options) = ["-Urm", "-m"].into_iter().find(|options| mounts(options)) else {
        eprintln!("SKIPPED: nothing can be mounted here, so that no disk is full");
        return;
    };
    let output = Command::new("unshare")
        .args([options, "sh", "-c", mount, "sh"])
        .args([disk.path(), &program])
        .env(DISK, disk.path())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("the disk was full"), "{said}");
}
