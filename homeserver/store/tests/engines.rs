//! What every engine must do, run on each of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; the panic says where")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use kith_store::{
    Batch, Change, Database, Error, Scan, Store, StreamPosition, Table,
    engine::{self, EngineKind},
    tables,
};
use tempfile::TempDir;

const PAIRS: Table<(u32, String), String> = Table::new(0xf0, "test_pairs");
const NUMBERS: Table<u64, u64> = Table::new(0xf1, "test_numbers");
const NEIGHBOUR: Table<u64, u64> = Table::new(0xf2, "test_neighbour");

const CACHE: u64 = 8 << 20;

/// A folder and the engine to open in it.
struct Place {
    kind: EngineKind,
    folder: TempDir,
}

impl Place {
    fn new(kind: EngineKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kind, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Arc<Database> {
        Database::open(engine::open(self.kind, self.path(), CACHE).unwrap()).unwrap()
    }
}

/// Runs each test on each engine.
macro_rules! on_every_engine {
    ($($(#[$doc:meta])* async fn $name:ident($place:ident: Place) $body:block)*) => {
        $($(#[$doc])* async fn $name($place: Place) $body)*
        on_every_engine!(@engine memory Memory: $($name)*);
        on_every_engine!(@engine sled Sled: $($name)*);
        on_every_engine!(@engine fjall Fjall: $($name)*);
    };
    (@engine $module:ident $kind:ident: $($name:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(Place::new(EngineKind::$kind)).await;
                }
            )*
        }
    };
}

fn profile(user: &str) -> Change {
    let user = user.try_into().unwrap();
    Change::Profile { user }
}

/// Commits one number, so that it is given a position.
async fn publish(store: &Store, number: u64) -> StreamPosition {
    let mut batch = Batch::new();
    batch.put(&NUMBERS, &number, &number);
    batch.publish(profile("@a:b.c"));
    store.commit(batch).await.unwrap()
}

async fn pairs(store: &Store, scan: Scan) -> Vec<(u32, String)> {
    let rows = store.scan(&PAIRS, scan).await.unwrap();
    rows.into_iter().map(|(key, _)| key).collect()
}

on_every_engine! {
    async fn rows_are_written_replaced_and_deleted(place: Place) {
        let store = place.open().team(1).await.unwrap();
        let key = (1, "a\0b".to_owned());
        assert_eq!(store.get(&PAIRS, &key).await.unwrap(), None);
        for value in ["first", "", "third"] {
            let mut batch = Batch::new();
            batch.put(&PAIRS, &key, &value.to_owned());
            assert_eq!(store.get_in(&batch, &PAIRS, &key).await.unwrap().unwrap(), value);
            store.commit(batch).await.unwrap();
            assert_eq!(store.get(&PAIRS, &key).await.unwrap().unwrap(), value);
        }
        let mut batch = Batch::new();
        batch.delete(&PAIRS, &key);
        assert_eq!(store.get_in(&batch, &PAIRS, &key).await.unwrap(), None);
        assert!(store.contains(&PAIRS, &key).await.unwrap());
        store.commit(batch).await.unwrap();
        assert!(!store.contains(&PAIRS, &key).await.unwrap());
    }

    async fn scans_stay_within_their_bounds(place: Place) {
        let store = place.open().team(1).await.unwrap();
        let key = |n: u32, text: &str| (n, text.to_owned());
        let all = [
            key(0, "z"), key(1, ""), key(1, "a"), key(1, "a\0"), key(1, "ab"), key(1, "b"),
            key(2, "a"), key(u32::MAX, "\u{10ffff}"),
        ];
        let mut batch = Batch::new();
        for key in all.iter().rev() {
            batch.put(&PAIRS, key, &String::new());
        }
        // Rows of the tables beside it must not appear.
        batch.put(&Table::<u64, u64>::new(0xef, "below"), &u64::MAX, &0);
        batch.put(&NUMBERS, &0, &0);
        store.commit(batch).await.unwrap();

        let of_one = &all[1..6];
        assert_eq!(pairs(&store, Scan::all()).await, all);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32)).await, of_one);
        assert_eq!(pairs(&store, Scan::prefix(&3_u32)).await, []);
        assert_eq!(pairs(&store, Scan::prefix(&u32::MAX)).await, all[7..]);
        assert_eq!(pairs(&store, Scan::all().after(&all[2])).await, all[3..]);
        assert_eq!(pairs(&store, Scan::all().after(&1_u32)).await, all[6..]);
        assert_eq!(pairs(&store, Scan::all().before(&all[3])).await, all[..3]);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32).before(&all[6])).await, of_one);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32).after(&all[0])).await, of_one);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32).after(&all[6])).await, []);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32).before(&all[0])).await, []);
        assert_eq!(pairs(&store, Scan::all().after(&all[4]).before(&all[2])).await, []);
        assert_eq!(pairs(&store, Scan::all().limit(0)).await, []);
        assert_eq!(pairs(&store, Scan::prefix(&1_u32).limit(2)).await, of_one[..2]);

        let backwards = |rows: &[(u32, String)]| rows.iter().rev().cloned().collect::<Vec<_>>();
        assert_eq!(pairs(&store, Scan::all().reverse()).await, backwards(&all));
        assert_eq!(
            pairs(&store, Scan::prefix(&1_u32).reverse().limit(2)).await,
            backwards(&of_one[3..])
        );
        assert_eq!(
            pairs(&store, Scan::prefix(&1_u32).reverse().before(&all[4]).after(&all[1])).await,
            backwards(&all[2..4])
        );
    }

    async fn a_batch_is_written_whole_or_not_at_all(place: Place) {
        let store = place.open().team(1).await.unwrap();
        let mut batch = Batch::new();
        batch.put(&NUMBERS, &1, &1);
        batch.put(&NEIGHBOUR, &1, &1);
        batch.publish(profile("@a:b.c"));
        batch.expect(&NUMBERS, &7, Some(&7));
        assert!(matches!(store.commit(batch).await, Err(Error::Conflict)));
        assert_eq!(store.get(&NUMBERS, &1).await.unwrap(), None);
        assert_eq!(store.get(&NEIGHBOUR, &1).await.unwrap(), None);
        assert_eq!(store.stream().position(), 0);
        assert_eq!(publish(&store, 7).await, 1, "a refused batch takes no position");

        let mut batch = Batch::new();
        batch.put(&NUMBERS, &7, &8);
        batch.expect(&NUMBERS, &7, Some(&7));
        batch.expect(&NUMBERS, &1, None);
        store.commit(batch).await.unwrap();
        let mut batch = Batch::new();
        batch.put(&NUMBERS, &1, &1);
        batch.expect(&NUMBERS, &7, None);
        assert!(matches!(store.commit(batch).await, Err(Error::Conflict)));
    }

    /// 100 tasks take the same row one after the other: exactly one of those who saw the same
    /// value gets it, also when all of them share a flush.
    async fn expectations_hold_within_one_group(place: Place) {
        let store = place.open().team(1).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let store = store.clone();
            tasks.spawn(async move {
                loop {
                    let seen = store.get(&NUMBERS, &1).await.unwrap();
                    let mut batch = Batch::new();
                    batch.expect(&NUMBERS, &1, seen.as_ref());
                    batch.put(&NUMBERS, &1, &(seen.unwrap_or(0) + 1));
                    match store.commit(batch).await {
                        Ok(_) => return,
                        Err(error) => assert!(matches!(error, Error::Conflict)),
                    }
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(store.get(&NUMBERS, &1).await.unwrap(), Some(100));
    }

    async fn positions_are_contiguous_and_published_in_order(place: Place) {
        const TASKS: u64 = 20;
        const EACH: u64 = 15;
        let store = place.open().team(1).await.unwrap();
        let watcher = tokio::spawn({
            let store = store.clone();
            async move {
                let mut positions = store.stream().subscribe();
                let mut seen = 0;
                while seen < TASKS * EACH {
                    positions.changed().await.unwrap();
                    let now = *positions.borrow_and_update();
                    assert!(now > seen, "positions only grow");
                    for position in seen + 1..=now {
                        let row = store.get(&tables::LOG, &position).await.unwrap();
                        assert!(row.is_some(), "{position} is published before it is written");
                    }
                    let commits = store.stream().since(seen).unwrap();
                    let news = commits.iter().map(|commit| commit.position);
                    assert!(news.eq(seen + 1..seen + 1 + commits.len() as u64));
                    seen = now;
                }
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let store = store.clone();
            tasks.spawn(async move {
                let mut positions = Vec::new();
                for n in 0..EACH {
                    positions.push(publish(&store, task * EACH + n).await);
                    assert!(store.stream().position() >= positions[positions.len() - 1]);
                }
                assert!(positions.is_sorted());
                positions
            });
        }
        let mut positions = tasks.join_all().await.concat();
        positions.sort_unstable();
        assert!(positions.into_iter().eq(1..=TASKS * EACH));
        watcher.await.unwrap();
    }

    async fn the_stream_answers_what_came_since(place: Place) {
        let database = place.open();
        let store = database.team(1).await.unwrap();
        assert!(store.stream().since(0).unwrap().is_empty());
        for number in 1..=3 {
            publish(&store, number).await;
        }
        // A commit without a change takes no position.
        let mut batch = Batch::new();
        batch.put(&NUMBERS, &9, &9);
        assert_eq!(store.commit(batch).await.unwrap(), 3);

        let since = |position| {
            let commits = store.stream().since(position).unwrap();
            commits.iter().map(|commit| commit.position).collect::<Vec<_>>()
        };
        assert_eq!(since(0), [1, 2, 3]);
        assert_eq!(since(2), [3]);
        assert!(since(3).is_empty());
        assert!(since(99).is_empty());
        let newest = &store.stream().since(2).unwrap()[0];
        assert_eq!(*newest.change, profile("@a:b.c"));
    }

    async fn teams_do_not_see_each_other(place: Place) {
        let database = place.open();
        let (one, two) = (database.team(1).await.unwrap(), database.team(2).await.unwrap());
        publish(&one, 1).await;
        publish(&one, 2).await;
        assert_eq!(two.get(&NUMBERS, &1).await.unwrap(), None);
        assert_eq!(two.scan(&NUMBERS, Scan::all()).await.unwrap(), []);
        assert_eq!(two.scan(&NUMBERS, Scan::all().reverse()).await.unwrap(), []);
        assert_eq!(two.stream().position(), 0);
        assert_eq!(publish(&two, 1).await, 1, "each team counts for itself");
        let mut batch = Batch::new();
        batch.delete(&NUMBERS, &1);
        batch.expect(&NUMBERS, &2, None);
        two.commit(batch).await.unwrap();
        assert_eq!(one.get(&NUMBERS, &1).await.unwrap(), Some(1));
    }

    /// The changes of one batch take consecutive positions; deferred rows know the first.
    async fn deferred_rows_know_their_position(place: Place) {
        let store = place.open().team(1).await.unwrap();
        publish(&store, 1).await;
        let users = ["@a:b.c", "@d:e.f", "@g:h.i"];
        let mut batch = Batch::new();
        for (n, user) in users.into_iter().enumerate() {
            assert_eq!(batch.publish(profile(user)), n as u64);
        }
        batch.at_position(|position, batch| batch.put(&NUMBERS, &5, &position));
        assert_eq!(store.commit(batch).await.unwrap(), 4);
        assert_eq!(store.get(&NUMBERS, &5).await.unwrap(), Some(2));
        let log = store.scan(&tables::LOG, Scan::all().after(&1_u64)).await.unwrap();
        let expected = (2..).zip(users).map(|(position, user)| (position, profile(user)));
        assert!(log.into_iter().map(|(position, row)| (position, row.0)).eq(expected));
        assert_eq!(store.stream().since(1).unwrap().len(), 3);
    }

    /// Thousands of rows, replaced and deleted at random, are those of a map.
    async fn many_rows_are_those_of_a_map(place: Place) {
        let store = place.open().team(1).await.unwrap();
        let mut model = BTreeMap::new();
        let mut random = 1_u64;
        for round in 0..60 {
            let mut batch = Batch::new();
            for _ in 0..100 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let key = (random >> 52) as u32;
                let text = "x".repeat(key as usize % 40);
                if random >> 20 & 3 == 0 {
                    batch.delete(&PAIRS, &(key, text.clone()));
                    model.remove(&(key, text));
                } else {
                    let value = format!("{round} {}", "y".repeat((random >> 30) as usize % 300));
                    batch.put(&PAIRS, &(key, text.clone()), &value);
                    model.insert((key, text), value);
                }
            }
            store.commit(batch).await.unwrap();
        }
        let mut rows = store.scan(&PAIRS, Scan::all()).await.unwrap();
        assert!(rows.iter().map(|(key, value)| (key, value)).eq(&model));
        let backwards = store.scan(&PAIRS, Scan::all().reverse()).await.unwrap();
        rows.reverse();
        assert_eq!(rows, backwards);
    }

    async fn a_closed_database_refuses_writes(place: Place) {
        let database = place.open();
        let store = database.team(1).await.unwrap();
        publish(&store, 1).await;
        database.close().await;
        let mut batch = Batch::new();
        batch.put(&NUMBERS, &2, &2);
        assert!(matches!(store.commit(batch).await, Err(Error::Closed)));
        assert_eq!(store.get(&NUMBERS, &1).await.unwrap(), Some(1));
        database.close().await;
    }
}

/// Rows, positions and the way on from there survive closing, in one process and many times.
async fn reopening_keeps_everything(kind: EngineKind) {
    let place = Place::new(kind);
    for round in 1..=5 {
        let database = place.open();
        let store = database.team(1).await.unwrap();
        assert_eq!(store.stream().position(), (round - 1) * 10);
        let commits = (1..=10).map(|n| publish(&store, round * 100 + n));
        for commit in commits {
            commit.await;
        }
        assert!(
            store.stream().since(0).is_none() || round == 1,
            "memory holds only what was committed since the start"
        );
        database.close().await;
    }
    let database = place.open();
    let store = database.team(1).await.unwrap();
    let rows = store.scan(&NUMBERS, Scan::all()).await.unwrap();
    let expected = (1..=5).flat_map(|round| (1..=10).map(move |n| round * 100 + n));
    assert!(rows.into_iter().map(|(key, _)| key).eq(expected));
    let log = store.scan(&tables::LOG, Scan::all()).await.unwrap();
    assert!(log.into_iter().map(|(position, _)| position).eq(1..=50));
    assert!(database.engine().size_on_disk() > 0);
}

/// What stands in the way of opening is said in words, with the folder's name.
fn refusal(kind: EngineKind, path: &Path) -> String {
    match engine::open(kind, path, CACHE) {
        Err(Error::Unusable(reason)) => {
            assert!(reason.contains(&*path.to_string_lossy()), "{reason}");
            reason
        }
        Err(other) => panic!("not a refusal: {other}"),
        Ok(_) => panic!("{kind} opens {}", path.display()),
    }
}

async fn unusable_folders_are_refused(kind: EngineKind, other: EngineKind) {
    let place = Place::new(kind);
    let database = place.open();
    assert!(refusal(kind, place.path()).contains("in use by another process"));
    drop(database);
    drop(place.open());
    assert!(refusal(other, place.path()).contains(&format!("belongs to the engine \"{kind}\"")));

    let marker = place.path().join("kith-db.toml");
    std::fs::write(&marker, format!("engine = \"{kind}\"\nformat = 99\n")).unwrap();
    assert!(refusal(kind, place.path()).contains("format \"99\""));
    std::fs::write(&marker, "nonsense").unwrap();
    assert!(refusal(kind, place.path()).contains("format \"\""));

    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(refusal(kind, &file).contains("cannot be created"));
    // A folder of /proc is not writable even for root.
    assert!(refusal(kind, Path::new("/proc/self/kith")).contains("cannot be created"));
    assert!(refusal(kind, Path::new("/proc/self/fd")).contains("is not writable"));

    let strange = tempfile::tempdir().unwrap();
    std::fs::write(strange.path().join("thesis.tex"), "").unwrap();
    assert!(refusal(kind, strange.path()).contains("thesis.tex"));
}

mod on_disk {
    use super::*;

    #[tokio::test]
    async fn reopening_keeps_everything_sled() {
        reopening_keeps_everything(EngineKind::Sled).await;
    }

    #[tokio::test]
    async fn reopening_keeps_everything_fjall() {
        reopening_keeps_everything(EngineKind::Fjall).await;
    }

    #[tokio::test]
    async fn unusable_folders_are_refused_sled() {
        unusable_folders_are_refused(EngineKind::Sled, EngineKind::Fjall).await;
    }

    #[tokio::test]
    async fn unusable_folders_are_refused_fjall() {
        unusable_folders_are_refused(EngineKind::Fjall, EngineKind::Sled).await;
    }
}

#[test]
fn engines_are_known_by_their_names() {
    for kind in EngineKind::ALL {
        assert_eq!(kind.to_string().parse::<EngineKind>().unwrap(), kind);
        let json = serde_json::to_value(kind).unwrap();
        assert_eq!(json, kind.name());
    }
    assert!("rocksdb".parse::<EngineKind>().is_err());
}
