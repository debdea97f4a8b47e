//! Whatever happens to an upload, the bytes that were acknowledged are the file's first.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use kith_media_store::{Append, Error, MediaStore, Meta, Mxc, chunks::Chunks, config::Config};
use kith_store::{Database, Store, engine::memory::Memory};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::harness::{CHUNK, broken_off, content, hex, pieces, policy, sha256};

const LENGTH: usize = 7 * CHUNK as usize + 123;

#[derive(Debug, Clone)]
enum Step {
    /// At the right offset.
    Append(usize),
    /// The sender goes away after these bytes.
    BreakOff(usize),
    /// At an offset that is this far from the right one.
    Elsewhere(i64),
    /// The process ends while these bytes are on their way.
    Kill(usize),
    /// Another request comes while these bytes are on their way.
    Supersede(usize),
    Begin,
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || 0..(3 * CHUNK as usize);
    let step = prop_oneof![
        4 => length().prop_map(Step::Append),
        3 => length().prop_map(Step::BreakOff),
        1 => (-2000_i64..2000).prop_map(Step::Elsewhere),
        3 => length().prop_map(Step::Kill),
        2 => length().prop_map(Step::Supersede),
        1 => Just(Step::Begin),
        1 => Just(Step::Cancel),
    ];
    proptest::collection::vec(step, 1..12)
}

/// What survives a life.
struct World {
    store: Store,
    chunks: Chunks,
    clock: Arc<AtomicU64>,
    file: Vec<u8>,
}

struct Life {
    runtime: Runtime,
    media: MediaStore,
}

impl World {
    fn live(&self) -> Life {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = "kith.test".try_into().expect("a server name");
        let media =
            MediaStore::new(server, self.chunks.clone(), self.store.clone(), policy(&self.clock));
        Life { runtime, media }
    }

    /// At most this many bytes of the file from there on.
    fn bytes(&self, from: usize, length: usize) -> Vec<u8> {
        self.file[from..(from + length).min(LENGTH)].to_vec()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_bytes_are_there_after_anything(steps in steps(), seed in 0..1000_u64) {
        let keeper = Runtime::new().expect("a runtime");
        let (store, chunks) = keeper.block_on(async {
            let database = Database::open(Arc::new(Memory::default())).expect("memory opens");
            let store = database.team(1).await.expect("a team's rows");
            let chunks = Chunks::open(&Config::memory(), store.clone()).await.expect("chunks");
            (store, chunks)
        });
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let world = World { store, chunks, clock, file: content(seed, LENGTH) };
        go_through(&world, &steps);
    }
}

fn go_through(world: &World, steps: &[Step]) {
    let alice = ruma::OwnedUserId::try_from("@alice:kith.test").expect("a user ID");
    let mut life = world.live();
    let reserve = |life: &Life| -> Mxc {
        let reserved = life.media.reserve(&alice, Meta::default(), None);
        life.runtime.block_on(reserved).expect("reserved").mxc
    };
    let size = |life: &Life, mxc: &Mxc| -> usize {
        let status = life.runtime.block_on(life.media.status(mxc, &alice)).expect("there");
        status.row.size as usize
    };
    let mut mxc = reserve(&life);
    let mut acknowledged = 0;
    for step in steps {
        let at = size(&life, &mxc);
        assert!(at >= acknowledged, "{acknowledged} were acknowledged, {at} are there: {step:?}");
        let request = Append { offset: at as u64, ..Append::default() };
        let (media, of, who) = (life.media.clone(), mxc.clone(), alice.clone());
        match step {
            Step::Append(length) => {
                let body = pieces(&world.bytes(at, *length), 170);
                let done = life.runtime.block_on(media.append(&mxc, &alice, request, body));
                acknowledged = done.expect("appended").row.size as usize;
                assert_eq!(acknowledged, (at + length).min(LENGTH));
            }
            Step::BreakOff(length) => {
                let body = broken_off(&world.bytes(at, *length), 170);
                let done = life.runtime.block_on(media.append(&mxc, &alice, request, body));
                assert!(matches!(done, Err(Error::BrokenOff(_))), "{done:?}");
            }
            Step::Elsewhere(by) => {
                let offset = (at as u64).saturating_add_signed(*by);
                let request = Append { offset, ..Append::default() };
                let body = pieces(b"", 1);
                let done = life.runtime.block_on(media.append(&mxc, &alice, request, body));
                assert_eq!(done.is_ok(), offset == at as u64);
            }
            Step::Kill(length) => {
                let body = pieces(&world.bytes(at, *length), 170).chain(stream::pending());
                let task = async move { media.append(&of, &who, request, body).await };
                life.runtime.spawn(task);
                std::thread::sleep(Duration::from_micros((length % 7) as u64 * 300));
                // What was handed to the database before is written, and nothing after.
                life.runtime.shutdown_timeout(Duration::from_secs(10));
                life = world.live();
                life.runtime.block_on(world.store.settled()).expect("written");
            }
            Step::Supersede(length) => {
                let body = pieces(&world.bytes(at, *length), 170).chain(stream::pending());
                let task = async move { media.append(&of, &who, request, body).await };
                let older = life.runtime.spawn(task);
                std::thread::sleep(Duration::from_micros((length % 7) as u64 * 300));
                acknowledged = size(&life, &mxc);
                older.abort();
            }
            Step::Begin => {
                let request = Append { restart: true, ..Append::default() };
                let body = pieces(&world.bytes(0, 1500), 170);
                let done = life.runtime.block_on(media.append(&mxc, &alice, request, body));
                acknowledged = done.expect("begun").row.size as usize;
                assert_eq!(acknowledged, 1500);
            }
            Step::Cancel => {
                life.runtime.block_on(media.cancel(&mxc, &alice)).expect("cancelled");
                mxc = reserve(&life);
                acknowledged = 0;
            }
        }
        let at = size(&life, &mxc);
        let there = life.media.read(&mxc, 0..at as u64).try_collect::<Vec<_>>();
        let there = life.runtime.block_on(there).expect("readable").concat();
        assert!(there == world.file[..at], "other bytes than were sent after {step:?}");
    }
    let at = size(&life, &mxc);
    assert!(at >= acknowledged);
    let request = Append { offset: at as u64, complete: true, ..Append::default() };
    let body = pieces(&world.file[at..], 170);
    let done = life.runtime.block_on(life.media.append(&mxc, &alice, request, body));
    assert_eq!(done.expect("whole").row.sha256, hex(sha256(&world.file)));
    let usage = life.runtime.block_on(life.media.usage_of(&alice)).expect("counted");
    assert_eq!((usage.bytes, usage.files, usage.pending), (LENGTH as u64, 1, 0));
    life.runtime.shutdown_background();
}
