#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Database, engine::memory::Memory};

const ROOM: RoomNumber = 7;

async fn snapshots() -> Snapshots {
    let database = Database::open(Arc::new(Memory::default())).expect("memory opens");
    let store = database.team(1).await.expect("memory reads");
    Snapshots::new(store, [9; 32], 1 << 20)
}

async fn commit(snapshots: &Snapshots, batch: Batch) {
    snapshots.store.commit(batch).await.expect("memory writes");
}

fn node_bytes(batch: &Batch) -> usize {
    // Four bytes of every key are the team's.
    let row = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
        4 + key.len() + value.as_ref().map_or(0, Vec::len)
    };
    batch.writes.iter().map(row).sum()
}

/// Keys of every magnitude, so that every height occurs and keys meet.
fn keys() -> impl Strategy<Value = StateKeyIndex> {
    prop_oneof![0..8_u32, 0..40_u32, 0..2_000_u32, 30_000..40_000_u32, any::<u32>(), Just(u32::MAX)]
}

fn entries(most: usize) -> impl Strategy<Value = Vec<(StateKeyIndex, EventIndex)>> {
    prop::collection::vec((keys(), any::<u32>()), 0..most)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts")
        .block_on(future)
}

fn model_difference(
    from: &BTreeMap<StateKeyIndex, EventIndex>,
    to: &BTreeMap<StateKeyIndex, EventIndex>,
) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).copied().collect();
    let at = |key| Difference { key, from: from.get(&key).copied(), to: to.get(&key).copied() };
    keys.into_iter().map(at).filter(|difference| difference.from != difference.to).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A snapshot answers like a map; the order of insertion and the way of building do not matter.
    #[test]
    fn snapshot_is_a_map(entries in entries(80), asked in prop::collection::vec(keys(), 8)) {
        block_on(async {
            let snapshots = snapshots().await;
            let model: BTreeMap<_, _> = entries.iter().copied().collect();

            let mut batch = Batch::new();
            let mut forwards = EMPTY;
            for (key, event) in &entries {
                forwards = snapshots.insert(&mut batch, ROOM, forwards, *key, *event).await.unwrap();
            }
            for key in &asked {
                let found = snapshots.get_in(&batch, ROOM, forwards, *key).await.unwrap();
                assert_eq!(found, model.get(key).copied());
            }
            commit(&snapshots, batch).await;

            let mut backwards = EMPTY;
            for (key, event) in model.iter().rev() {
                let mut batch = Batch::new();
                backwards = snapshots.insert(&mut batch, ROOM, backwards, *key, *event).await.unwrap();
                commit(&snapshots, batch).await;
            }
            let mut batch = Batch::new();
            let at_once = snapshots.from_entries(&mut batch, ROOM, entries.clone()).await.unwrap();
            assert!(batch.is_empty(), "every node is there already");
            assert_eq!(forwards, backwards);
            assert_eq!(forwards, at_once);

            let expected: Vec<_> = model.iter().map(|(key, event)| (*key, *event)).collect();
            assert_eq!(snapshots.entries(ROOM, at_once).await.unwrap(), expected);
            for key in asked.into_iter().chain(model.keys().copied()) {
                let found = snapshots.get(ROOM, at_once, key).await.unwrap();
                assert_eq!(found, model.get(&key).copied());
            }
        });
    }

    /// The difference of two snapshots is that of the maps, whatever their heights.
    #[test]
    fn difference_is_that_of_the_maps(
        shared in entries(60),
        from in entries(12),
        to in entries(12),
    ) {
        block_on(async {
            let snapshots = snapshots().await;
            let mut ids = Vec::new();
            let mut models = Vec::new();
            for own in [from, to] {
                let model: BTreeMap<_, _> = shared.iter().copied().chain(own).collect();
                let mut batch = Batch::new();
                ids.push(snapshots.from_entries(&mut batch, ROOM, model.clone()).await.unwrap());
                commit(&snapshots, batch).await;
                models.push(model);
            }
            let found = snapshots.difference(ROOM, ids[0], ids[1]).await.unwrap();
            assert_eq!(found, model_difference(&models[0], &models[1]));
        });
    }

    /// No stored bytes make a node panic.
    #[test]
    fn any_bytes_are_a_node_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(node) = Node::parse(bytes.into()) {
            assert_eq!(node.entries().iter().map(|(slot, _)| node.get(*slot)).collect::<Vec<_>>(),
                node.entries().iter().map(|(_, value)| Some(*value)).collect::<Vec<_>>());
        }
    }
}

/// One state change in a room of 100,000 members writes about 1 KB at most, and finding it again
/// reads only the nodes on its way.
#[tokio::test]
async fn change_in_a_large_room_is_small() {
    let snapshots = snapshots().await;
    let mut batch = Batch::new();
    let members = (0..100_000).map(|key| (key, key * 3));
    let before = snapshots.from_entries(&mut batch, ROOM, members).await.unwrap();
    commit(&snapshots, batch).await;

    let mut batch = Batch::new();
    let after = snapshots.insert(&mut batch, ROOM, before, 77_777, 400_000).await.unwrap();
    assert_eq!(batch.writes.len(), 4);
    assert!(node_bytes(&batch) < 1024, "{} bytes", node_bytes(&batch));
    commit(&snapshots, batch).await;

    let fresh = Snapshots::new(snapshots.store.clone(), [9; 32], 1 << 20);
    let found = fresh.difference(ROOM, before, after).await.unwrap();
    let expected = Difference { key: 77_777, from: Some(233_331), to: Some(400_000) };
    assert_eq!(found, [expected]);
    assert_eq!(fresh.cache.len(), 8, "two ways of four nodes");
}

/// Setting a key to what it is changes nothing and writes nothing.
#[tokio::test]
async fn unchanged_state_is_the_same_snapshot() {
    let snapshots = snapshots().await;
    let mut batch = Batch::new();
    let before = snapshots.from_entries(&mut batch, ROOM, [(3, 1), (70, 2)]).await.unwrap();
    commit(&snapshots, batch).await;
    let mut batch = Batch::new();
    assert_eq!(snapshots.insert(&mut batch, ROOM, before, 70, 2).await.unwrap(), before);
    assert!(batch.is_empty());
}

/// A missing node is an error that names it, not an absent key.
#[tokio::test]
async fn missing_node_is_an_error() {
    let snapshots = snapshots().await;
    let error = snapshots.get(ROOM, 0xabc, 1).await.unwrap_err();
    assert!(error.to_string().contains("0000000000000abc"), "{error}");
}

/// Handlers run on many threads: what they await must be able to move.
#[tokio::test]
async fn futures_can_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let snapshots = snapshots().await;
    let mut batch = Batch::new();
    is_send(snapshots.insert(&mut batch, ROOM, EMPTY, 1, 1)).await.unwrap();
    is_send(snapshots.get_in(&batch, ROOM, EMPTY, 1)).await.unwrap();
    is_send(snapshots.from_entries(&mut batch, ROOM, [(1, 1)])).await.unwrap();
    is_send(snapshots.difference(ROOM, EMPTY, EMPTY)).await.unwrap();
}
