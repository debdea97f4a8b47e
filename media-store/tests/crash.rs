//! A process is killed in the middle of its uploads, a hundred times: what it had said is stored is
//! there, whole, and what it had not said leaves nothing behind.
//!
//! The test starts itself again as the process to be killed: with an engine on the disk, four uploads
//! at a time, chunks of all sizes, a collector and a scrub at work. Each upload whose use was committed
//! is told on standard output, and only then.

#![allow(clippy::print_stdout, reason = "how the child tells what it stored")]

mod support;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use kith_media_store::{
    chunks::Chunks,
    config::{Config, MasterKey, Place},
    fsck::Look,
    id::ChunkId,
    scrub::ScrubBudget,
};
use kith_store::{Database, Scan, Store, engine, engine::EngineKind, tables::CHUNK_USES};
use support::{assert_same, chunk, objects, put_used};

const KILLS: u64 = 100;
const FOLDER: &str = "KITH_TEST_CRASH_FOLDER";
const ROUND: &str = "KITH_TEST_CRASH_ROUND";

async fn open(folder: &Path) -> (std::sync::Arc<Database>, Store, Chunks) {
    let engine = engine::open(EngineKind::Sled, &folder.join("index"), 8 << 20).expect("opened");
    let database = Database::open(engine).expect("a runtime");
    let store = database.team(1).await.expect("a team");
    let mut config = Config::new(
        Place::folder(folder.join("media")),
        "team",
        MasterKey::File(folder.join("media.key")),
    );
    config.grace = Duration::ZERO;
    let chunks = Chunks::open(&config, store.clone()).await.expect("opened");
    (database, store, chunks)
}

/// Not the same in two rounds, except for every fourth, which all share.
fn content(round: u64, n: u64) -> bytes::Bytes {
    let seed = if n.is_multiple_of(4) { n } else { round << 32 | n };
    let lengths = [100, 5000, 70_000, 300_000, 1_200_000];
    chunk(lengths[(n % 5) as usize], seed)
}

/// What the process does that is killed.
#[test]
fn child() {
    #[allow(clippy::disallowed_methods, reason = "how the test tells its child what to do")]
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else {
        return;
    };
    let round: u64 = round.parse().expect("a number");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    runtime.expect("a runtime").block_on(async move {
        let (_database, store, chunks) = open(Path::new(&folder)).await;
        println!("ready");
        for worker in 0..4 {
            let (chunks, store) = (chunks.clone(), store.clone());
            tokio::spawn(async move {
                let mut n = worker;
                loop {
                    let owner = format!("{round} {n}");
                    let id = put_used(&chunks, &store, content(round, n), &owner).await;
                    println!("stored {round} {n} {id}");
                    n += 4;
                }
            });
        }
        loop {
            chunks.collect(300).await.expect("collected");
            let budget = ScrubBudget { chunks: 5, older_than: Duration::ZERO, rate: None };
            assert_eq!(chunks.scrub(&budget).await.expect("scrubbed").lost, []);
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut stored: HashMap<(u64, u64), ChunkId> = HashMap::new();
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = output.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("ready")), "round {round} cannot open the store");
        let killer = std::thread::spawn(move || {
            // From at once to somewhere in the middle of many.
            std::thread::sleep(Duration::from_millis(3 + round * 37 % 211));
            child.kill().expect("killed");
            child.wait().expect("gone")
        });
        for line in lines {
            // The last line may be half of one.
            let words: Vec<&str> = line.split(' ').collect();
            if let ["stored", round, n, id] = words[..]
                && let Ok(id) = id.parse()
            {
                stored.insert((round.parse().expect("ours"), n.parse().expect("ours")), id);
            }
        }
        killer.join().expect("joined");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(all_is_there(folder.path(), &stored));
}

async fn all_is_there(folder: &Path, stored: &HashMap<(u64, u64), ChunkId>) {
    assert!(stored.len() > 100, "only {} uploads came through", stored.len());
    let (_database, store, chunks) = open(folder).await;
    for ((round, n), id) in stored {
        let expected = content(*round, *n);
        let read = chunks.read(id, 0..expected.len() as u32).await;
        assert_same(&read.expect("acknowledged"), &expected);
    }
    // The first ends the pass that was cut off; the second is a whole one.
    for _ in 0..2 {
        while !chunks.collect(10_000).await.expect("collected").finished {}
    }
    // What is left is what somebody uses, no more.
    let uses = store.scan(&CHUNK_USES, Scan::all()).await.expect("readable");
    let used: std::collections::BTreeSet<ChunkId> =
        uses.into_iter().map(|((id, _), ())| ChunkId(id)).collect();
    let report = chunks.fsck(Look::Full, |_| {}).await.expect("looked");
    assert_eq!((report.lost.len(), report.orphans, report.rows_mended), (0, 0, 0), "{report:?}");
    assert_eq!(report.chunks, used.len() as u64);
    let files = objects(folder.join("media/team/v1"));
    assert!(!files.iter().any(|path| path.to_string_lossy().contains("v1/tmp/")), "{files:?}");
    println!("{} uploads acknowledged in {KILLS} lives, {} chunks", stored.len(), used.len());
}
