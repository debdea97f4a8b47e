//! An export is whole or refused, and it leads from each engine to each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; the panic says where")]

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use kith_store::{
    Batch, Change, Database, Engine, Error, Key, Snapshots,
    engine::{self, EngineKind, Write, memory::Memory},
    export::{check, export, import},
    tables::{self, EventRow, RoomHead, Verdict},
};
use ruma::OwnedEventId;

const ROOM: u32 = 3;

/// A team with one room of 40 events, its state, log and timeline, and large rows beside it.
async fn fill(engine: Arc<dyn Engine>) {
    let database = Database::open(engine).unwrap();
    let store = database.team(1).await.unwrap();
    let snapshots = Snapshots::new(store.clone(), [1; 32], 1 << 20);
    let mut head = RoomHead::default();
    for index in 0..40 {
        let mut batch = Batch::new();
        let row = EventRow {
            verdict: Verdict::Accepted,
            position: i64::from(index) + 1,
            apart: false,
            state_before: head.snapshot,
            redacted_by: None,
            pdu: Bytes::from(vec![index as u8; 500]),
        };
        let event_id = OwnedEventId::try_from(format!("$event{index}")).unwrap();
        head.snapshot =
            snapshots.insert(&mut batch, ROOM, head.snapshot, index * 7, index).await.unwrap();
        head.next_event = index + 1;
        head.forward_extremities = vec![index];
        batch.put(&tables::EVENTS, &(ROOM, index), &row);
        batch.put(&tables::EVENT_IDS, &event_id, &(ROOM, index));
        batch.put(&tables::TIMELINE, &(ROOM, i64::from(index) + 1), &index);
        batch.put(&tables::ROOM_HEADS, &ROOM, &head);
        batch.publish(Change::Event { room: ROOM, index });
        store.commit(batch).await.unwrap();
    }
    // More than two blocks.
    let other = database.team(2).await.unwrap();
    for n in 0..40_u8 {
        let mut batch = Batch::new();
        batch.put(&tables::SECRETS, &format!("{n:03}"), &Bytes::from(vec![n; 60_000]));
        other.commit(batch).await.unwrap();
    }
    database.close().await;
}

async fn exported(engine: &dyn Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let summary = export(engine, &mut bytes).await.unwrap();
    assert!(summary.rows > 200 && summary.bytes > 40 * 60_000);
    bytes
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result.unwrap_err() {
        Error::Unusable(reason) => reason,
        other => panic!("not a refusal: {other}"),
    }
}

/// Every row comes over, and the export of the copy is the same byte for byte.
async fn moves(from: EngineKind, to: EngineKind) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = engine::open(from, folders[0].path(), 8 << 20).unwrap();
    fill(Arc::clone(&first)).await;
    let bytes = exported(&*first).await;
    let second = engine::open(to, folders[1].path(), 8 << 20).unwrap();
    let summary = import(&*second, Cursor::new(&bytes)).await.unwrap();
    let report = check(&*second).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.rows, report.bytes), (summary.rows, summary.bytes));
    assert_eq!(report.tables["events"].0, 40);
    assert_eq!(report, check(&*first).await.unwrap());
    assert_eq!(exported(&*second).await, bytes);

    drop(second);
    let second = engine::open(to, folders[1].path(), 8 << 20).unwrap();
    let store = Database::open(second).unwrap().team(1).await.unwrap();
    assert_eq!(store.stream().position(), 40);
    let event = store.get(&tables::EVENTS, &(ROOM, 39)).await.unwrap().unwrap();
    assert_eq!(event.pdu.len(), 500);
}

#[tokio::test]
async fn sled_moves_to_fjall() {
    moves(EngineKind::Sled, EngineKind::Fjall).await;
}

#[tokio::test]
async fn fjall_moves_to_sled() {
    moves(EngineKind::Fjall, EngineKind::Sled).await;
}

#[tokio::test]
async fn an_empty_database_is_exported_too() {
    let mut bytes = Vec::new();
    let summary = export(&Memory::default(), &mut bytes).await.unwrap();
    assert_eq!(summary.rows, 0);
    let copy = Memory::default();
    assert_eq!(import(&copy, Cursor::new(&bytes)).await.unwrap(), summary);
    assert_eq!(check(&copy).await.unwrap().rows, 0);
}

#[tokio::test]
async fn import_refuses_a_database_with_rows() {
    let engine = Arc::new(Memory::default());
    fill(engine.clone()).await;
    let bytes = exported(&*engine).await;
    assert!(refusal(import(&*engine, Cursor::new(&bytes)).await).contains("not empty"));
}

/// Wherever it is cut off, the rest is refused, and so is a database that was made of it.
#[tokio::test]
async fn a_truncated_export_is_refused() {
    let engine = Arc::new(Memory::default());
    fill(engine.clone()).await;
    let bytes = exported(&*engine).await;
    let ends = (0..60).chain(bytes.len() - 60..bytes.len());
    for end in ends.chain((0..bytes.len()).step_by(bytes.len() / 20)) {
        let copy = Arc::new(Memory::default());
        refusal(import(&*copy, Cursor::new(&bytes[..end])).await);
        if end > 14 {
            let report = check(&*copy).await.unwrap();
            assert!(report.problems[0].contains("did not finish"), "{end}");
            let opened = Database::open(copy.clone()).unwrap().team(1).await;
            assert!(refusal(opened.map(|_| ())).contains("did not finish"));
            assert!(refusal(export(&*copy, &mut Vec::new()).await).contains("did not finish"));
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_is_refused() {
    let engine = Arc::new(Memory::default());
    fill(engine.clone()).await;
    let bytes = exported(&*engine).await;
    let places = (0..60).chain(bytes.len() - 60..bytes.len());
    for place in places.chain((0..bytes.len()).step_by(bytes.len() / 50)) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        refusal(import(&Memory::default(), Cursor::new(&flipped)).await);
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(refusal(import(&Memory::default(), Cursor::new(&longer)).await).contains("follows"));
}

/// Each kind of damage is found, and named by team and table.
#[tokio::test]
async fn check_finds_what_is_missing_or_malformed() {
    fn key(table: u8, fields: &impl Key) -> Vec<u8> {
        let mut key = vec![0, 0, 0, 1, table];
        fields.encode(&mut key);
        key
    }
    async fn problem(write: Write) -> String {
        let engine = Arc::new(Memory::default());
        fill(engine.clone()).await;
        assert!(check(&*engine).await.unwrap().is_sound());
        engine.commit(vec![write]).await.unwrap();
        let report = check(&*engine).await.unwrap();
        assert!(!report.is_sound());
        assert_eq!(report.problem_count, report.problems.len() as u64);
        report.problems.join("; ")
    }
    let id = OwnedEventId::try_from("$event5").unwrap();
    let room = ROOM.to_be_bytes().to_vec();
    for (write, expected) in [
        ((key(tables::LOG.id, &7_u64), None), "log, key [00, 00, 00, 00, 00, 00, 00, 08]"),
        ((key(tables::LOG.id, &7_u64), Some(b"{".to_vec())), "table log"),
        ((key(tables::EVENTS.id, &(ROOM, 5_u32)), None), "table timeline"),
        ((key(tables::EVENTS.id, &(ROOM, 5_u32)), Some(vec![9; 40])), "table events"),
        ((key(tables::EVENT_IDS.id, &id), None), "40 events, but 39 event IDs"),
        ((key(tables::ROOM_HEADS.id, &ROOM), None), "the room has 0 events only"),
        ((key(0xee, &1_u8), Some(room)), "unknown table 0xee"),
        ((vec![1, 2], Some(Vec::new())), "too short"),
    ] {
        let found = problem(write).await;
        assert!(found.contains(expected), "{found}");
    }

    // Any node of any state: the one that names it, or the node above it, is reported.
    let engine = Arc::new(Memory::default());
    fill(engine.clone()).await;
    let nodes = engine::Range {
        start: vec![0, 0, 0, 1, tables::SNAPSHOT_NODES.id],
        end: vec![0, 0, 0, 1, tables::SNAPSHOT_NODES.id + 1],
        reverse: false,
        limit: 20,
    };
    for (node, _) in engine.scan(nodes).await.unwrap() {
        let found = problem((node.to_vec(), None)).await;
        assert!(found.contains("missing"), "{found}");
        let found = problem((node.to_vec(), Some(vec![0x77; 9]))).await;
        assert!(found.contains("malformed snapshot node"), "{found}");
    }
}
