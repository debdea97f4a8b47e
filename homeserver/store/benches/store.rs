//! sled and fjall side by side: commits of many writers, a state change in a large room, and the
//! difference of two states.
//!
//! `cargo bench -p kith-store`; a name narrows it: `cargo bench -p kith-store -- commits/sled`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says where")]
#![allow(clippy::print_stdout, reason = "bytes are printed beside the times")]

use std::{
    hint::black_box,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kith_store::{
    Batch, Change, Database, Engine, Result, Snapshots, Store,
    engine::{self, EngineKind, Range, Write},
    tables::{self, EventRow, RelationRow, RoomHead, Verdict},
};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedUserId};
use tokio::runtime::Runtime;

const ENGINES: [EngineKind; 2] = [EngineKind::Sled, EngineKind::Fjall];
const CACHE: u64 = 64 << 20;
const MEMBERS: u32 = 100_000;

/// An engine that counts the bytes of keys and values given to it.
struct Counting {
    inner: Arc<dyn Engine>,
    written: AtomicU64,
}

#[async_trait::async_trait]
impl Engine for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(key).await
    }
    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>> {
        self.inner.scan(range).await
    }
    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let bytes = |(key, value): &Write| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
        self.written.fetch_add(writes.iter().map(bytes).sum(), Relaxed);
        self.inner.commit(writes).await
    }
    fn size_on_disk(&self) -> u64 {
        self.inner.size_on_disk()
    }
}

fn open(kind: EngineKind, path: &Path) -> (Arc<Database>, Arc<Counting>) {
    let inner = engine::open(kind, path, CACHE).unwrap();
    let engine = Arc::new(Counting { inner, written: AtomicU64::new(0) });
    (Database::open(engine.clone()).unwrap(), engine)
}

/// Eight small rows, as those of a message: about 600 bytes of ours.
async fn commit_event(store: &Store, room: u32, index: u32) {
    let sender = OwnedUserId::try_from(format!("@user{room}:example.org")).unwrap();
    let event_id =
        OwnedEventId::try_from(format!("${:043x}", u128::from(index).wrapping_mul(0x9e37_79b9)))
            .unwrap();
    let row = EventRow {
        verdict: Verdict::Accepted,
        apart: false,
        position: 0,
        state_before: 1,
        redacted_by: None,
        pdu: Bytes::from(vec![index as u8; 360]),
    };
    let head =
        RoomHead { next_event: index + 1, forward_extremities: vec![index], ..RoomHead::default() };
    let device = OwnedDeviceId::from("ABCDEFGHIJ");
    let mut batch = Batch::new();
    batch.put(&tables::EVENT_IDS, &event_id, &(room, index));
    batch.put(&tables::ROOM_HEADS, &room, &head);
    batch.put(&tables::TRANSACTION_IDS, &(sender.clone(), device, index.to_string()), &event_id);
    let relation = RelationRow { rel_type: "m.thread".to_owned(), child: None };
    batch.put(&tables::RELATIONS, &(room, index / 2, index), &relation);
    batch.put(&tables::REGISTRATION_TOKEN_USES, &sender.to_string(), &u64::from(index));
    batch.publish(Change::Event { room, index });
    batch.at_position(move |position, batch| {
        let position = position.cast_signed();
        batch.put(&tables::EVENTS, &(room, index), &EventRow { position, ..row });
        batch.put(&tables::TIMELINE, &(room, position), &index);
    });
    store.commit(batch).await.unwrap();
}

fn commits(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("commits");
    group.throughput(Throughput::Elements(1));
    for kind in ENGINES {
        for writers in [1, 16, 256] {
            let folder = tempfile::tempdir().unwrap();
            let (database, engine) = runtime.block_on(async { open(kind, folder.path()) });
            let store = runtime.block_on(database.team(1)).unwrap();
            let next = Arc::new(AtomicU32::new(0));
            group.bench_function(BenchmarkId::new(kind.name(), writers), |b| {
                // The time of `rounds` commits, shared among the writers.
                b.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let last = next.load(Relaxed) + rounds as u32;
                        let start = Instant::now();
                        let mut tasks = tokio::task::JoinSet::new();
                        for writer in 0..writers {
                            let (store, next) = (store.clone(), Arc::clone(&next));
                            tasks.spawn(async move {
                                loop {
                                    let index = next.fetch_add(1, Relaxed);
                                    if index >= last {
                                        return;
                                    }
                                    commit_event(&store, writer % 20, index).await;
                                }
                            });
                        }
                        tasks.join_all().await;
                        let time = start.elapsed();
                        next.store(last, Relaxed);
                        time
                    })
                });
            });
            let events = u64::from(next.load(Relaxed)).max(1);
            println!(
                "commits/{kind}/{writers}: {events} events, {} bytes of ours each, {} on disk each",
                engine.written.load(Relaxed) / events,
                engine.size_on_disk() / events,
            );
            runtime.block_on(database.close());
        }
    }
    group.finish();
}

/// A room with 100,000 members; answers its snapshots and its state.
async fn large_room(database: &Database) -> (Store, Snapshots, u64) {
    let store = database.team(1).await.unwrap();
    let snapshots = Snapshots::new(store.clone(), [7; 32], CACHE);
    let mut batch = Batch::new();
    let members = (0..MEMBERS).map(|key| (key, key));
    let state = snapshots.from_entries(&mut batch, 1, members).await.unwrap();
    store.commit(batch).await.unwrap();
    (store, snapshots, state)
}

fn state(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("state of 100,000 members");
    for kind in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let (database, engine) = runtime.block_on(async { open(kind, folder.path()) });
        let (store, snapshots, first) = runtime.block_on(large_room(&database));

        let before = engine.written.load(Relaxed);
        let changes = AtomicU32::new(0);
        let newest = AtomicU64::new(first);
        group.bench_function(BenchmarkId::new("durable change", kind), |b| {
            b.to_async(&runtime).iter(async || {
                let n = changes.fetch_add(1, Relaxed);
                let key = n.wrapping_mul(0x9e37_79b9) % MEMBERS;
                let mut batch = Batch::new();
                let state = newest.load(Relaxed);
                let state = snapshots.insert(&mut batch, 1, state, key, MEMBERS + n).await.unwrap();
                store.commit(batch).await.unwrap();
                newest.store(state, Relaxed);
            });
        });
        let count = u64::from(changes.load(Relaxed)).max(1);
        println!(
            "durable change/{kind}: {count} changes, {} bytes each",
            (engine.written.load(Relaxed) - before) / count
        );

        group.bench_function(BenchmarkId::new("read one entry", kind), |b| {
            let mut key = 0_u32;
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        key = key.wrapping_add(0x9e37_79b9);
                        black_box(snapshots.get(1, first, key % MEMBERS).await.unwrap());
                    }
                    start.elapsed()
                })
            });
        });

        // The same state with one, and with a thousand entries changed.
        for changed in [1, 1_000] {
            let other = runtime.block_on(async {
                let mut batch = Batch::new();
                let mut state = first;
                for n in 0..changed {
                    let key = n * 97 % MEMBERS;
                    state = snapshots.insert(&mut batch, 1, state, key, 7).await.unwrap();
                }
                store.commit(batch).await.unwrap();
                state
            });
            let id = BenchmarkId::new(format!("difference of {changed}"), kind);
            group.bench_function(id, |b| {
                b.to_async(&runtime)
                    .iter(async || black_box(snapshots.difference(1, first, other).await.unwrap()));
            });
        }
        runtime.block_on(database.close());
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots();
    targets = commits, state
}
criterion_main!(benches);
