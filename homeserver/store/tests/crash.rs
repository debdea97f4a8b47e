//! A process that is killed at any moment loses nothing that it acknowledged.
//!
//! The test runs itself as a child that commits from several tasks and prints a line for every
//! commit that was answered; the parent kills it with SIGKILL at a random moment, opens the database
//! and compares. One database goes on across twenty kills, then a fresh one begins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; the panic says where")]
#![allow(clippy::disallowed_methods, reason = "the environment is how the parent tells the child")]
#![allow(clippy::print_stdout, reason = "the child's lines are what it acknowledges")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kith_store::{
    Batch, Change, Database, Scan, StreamPosition, Table,
    engine::{self, EngineKind},
    tables,
};

/// What a commit of the child writes: two rows under one key, of which either or none must be there.
/// The key is the number of the run, of the task and of the commit.
const FIRST: Table<(u32, u32, u32), StreamPosition> = Table::new(0xf0, "crash_first");
const SECOND: Table<(u32, u32, u32), String> = Table::new(0xf1, "crash_second");
/// A row that every commit rewrites, as a room's head.
const HOT: Table<u32, (u32, u32)> = Table::new(0xf2, "crash_hot");

const FOLDER: &str = "KITH_CRASH_TEST_FOLDER";
const ENGINE: &str = "KITH_CRASH_TEST_ENGINE";
const RUN: &str = "KITH_CRASH_TEST_RUN";

const CACHE: u64 = 8 << 20;
const TASKS: u32 = 4;
const RUNS_PER_DATABASE: u32 = 20;

/// By key: the position that the commit was given.
type Commits = BTreeMap<(u32, u32, u32), StreamPosition>;

/// A line of the child: position, task, number.
type Acknowledged = (StreamPosition, u32, u32);

/// The child: commits until it is killed. Without its variables, as in an ordinary test run, there
/// is nothing to do.
#[test]
fn child() {
    let (Ok(folder), Ok(kind), Ok(run)) = (env::var(FOLDER), env::var(ENGINE), env::var(RUN))
    else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(commit_until_killed(
        kind.parse().unwrap(),
        Path::new(&folder),
        run.parse().unwrap(),
    ));
}

async fn commit_until_killed(kind: EngineKind, folder: &Path, run: u32) {
    let database = Database::open(engine::open(kind, folder, CACHE).unwrap()).unwrap();
    let store = database.team(1).await.unwrap();
    println!("\nready");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let key = (run, task, number);
                let mut batch = Batch::new();
                batch.put(&SECOND, &key, &"y".repeat(50 + (number as usize * 37) % 600));
                batch.put(&HOT, &task, &(run, number));
                batch.publish(Change::Event { room: task, index: number });
                batch.at_position(move |position, batch| batch.put(&FIRST, &key, &position));
                let position = store.commit(batch).await.unwrap();
                // One write, so that the parent sees whole lines or a last one without its end.
                let line = format!("{position} {task} {number}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// Runs the child, kills it after `life`, and answers what it acknowledged. Its life begins with the
/// first commits, or in every fifth run with the process, so that opening is cut off as well.
fn run_and_kill(kind: EngineKind, folder: &Path, run: u32, life: Duration) -> Vec<Acknowledged> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ENGINE, kind.name())
        .env(RUN, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "ready\n" && run % 5 != 4 {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the child could not open the database");
    }
    // Read meanwhile: a full pipe would hold the child up.
    let reader = thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in lines.split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            let mut numbers = line.split(' ').map(|number| number.parse::<u64>());
            if let (Some(Ok(position)), Some(Ok(task)), Some(Ok(number))) =
                (numbers.next(), numbers.next(), numbers.next())
            {
                acknowledged.push((position, task as u32, number as u32));
            }
        }
        acknowledged
    });
    thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Opens the database as after a crash and compares it with what it must still have. Answers what it
/// has.
async fn verify(kind: EngineKind, folder: &Path, expected: &Commits) -> Commits {
    let engine = engine::open(kind, folder, CACHE).unwrap();
    let database = Database::open(engine).unwrap();
    let store = database.team(1).await.unwrap();

    let first: Commits = store.scan(&FIRST, Scan::all()).await.unwrap().into_iter().collect();
    for (key, position) in expected {
        assert_eq!(first.get(key), Some(position), "the acknowledged commit {key:?} is lost");
    }
    let second = store.scan(&SECOND, Scan::all()).await.unwrap();
    assert!(first.keys().eq(second.iter().map(|(key, _)| key)), "half a batch is there");

    // One position for each commit: no gap, no duplicate, and each in the log as it was committed.
    let log = store.scan(&tables::LOG, Scan::all()).await.unwrap();
    assert_eq!(log.len(), first.len());
    let mut by_position: Vec<_> = first.iter().map(|(key, position)| (*position, *key)).collect();
    by_position.sort_unstable();
    for (n, ((position, change), (of_row, (_, task, number)))) in
        log.iter().zip(&by_position).enumerate()
    {
        assert_eq!((*position, *of_row), (n as u64 + 1, n as u64 + 1));
        assert_eq!(change.0, Change::Event { room: *task, index: *number });
    }
    assert_eq!(store.stream().position(), log.len() as u64);

    // The hot rows are those of the last commits.
    for (task, (run, number)) in store.scan(&HOT, Scan::all()).await.unwrap() {
        let of_task = |(_, other, _): &&(u32, u32, u32)| *other == task;
        let last = first.keys().rev().find(of_task).unwrap();
        assert_eq!(*last, (run, task, number));
    }
    database.close().await;
    first
}

/// Kills `kills` children. The moments are the same in each run of the test.
fn survives_kills(kind: EngineKind, kills: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let start = Instant::now();
    let mut random = 0x6b69_7468_u64;
    let (mut acknowledged, mut found) = (0, 0);
    let mut folder = tempfile::tempdir().unwrap();
    let mut expected = Commits::new();
    for run in 0..kills {
        if run % RUNS_PER_DATABASE == 0 {
            folder = tempfile::tempdir().unwrap();
            expected = Commits::new();
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let life = Duration::from_millis(10 + (random >> 33) % 141);
        for (position, task, number) in run_and_kill(kind, folder.path(), run, life) {
            let key = (run, task, number);
            assert_eq!(expected.insert(key, position), None, "acknowledged twice");
            acknowledged += 1;
        }
        // What was not acknowledged and is there must stay, too.
        expected = runtime.block_on(verify(kind, folder.path(), &expected));
        if (run + 1) % RUNS_PER_DATABASE == 0 || run + 1 == kills {
            found += expected.len();
        }
    }
    assert!(acknowledged > u64::from(kills), "the children did hardly anything");
    println!(
        "{kind}: {kills} kills in {:.0} s, {acknowledged} commits acknowledged, {found} found, \
         none lost",
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn sled_survives_120_kills() {
    survives_kills(EngineKind::Sled, 120);
}

#[test]
fn fjall_survives_80_kills() {
    survives_kills(EngineKind::Fjall, 80);
}
