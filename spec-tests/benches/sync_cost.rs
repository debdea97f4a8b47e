//! Does the cost of a sync follow what changed, and not the number of rooms that the user is in?
//!
//! `cargo bench -p kith-spec-tests --bench sync_cost` prints CPU time for each request (server and
//! client in one process) and its ratio to the smallest account, then what the first sliding sync of
//! each account costs, which does grow. The database is sled, on disk.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{fs, future::Future};

use kith_spec_tests::{SlidingSync, TestServer, TestUser};
use serde_json::{Value, json};

/// Requests that are measured of each kind.
const REQUESTS: u64 = 500;
/// First syncs that are measured of each account.
const FIRST: u64 = 10;
/// A clock tick of `/proc`, in milliseconds: `USER_HZ` is 100 on every Linux that we run on.
const TICK_MS: f64 = 10.0;
const SIZES: [usize; 3] = [10, 100, 1_000];

struct Account {
    user: TestUser,
    /// Somebody who is in the first room too.
    friend: TestUser,
    rooms: Vec<String>,
}

#[tokio::main]
async fn main() {
    let mut server = TestServer::durable().await;
    let mut accounts = Vec::new();
    for size in SIZES {
        accounts.push(account(&server, size).await);
    }
    println!("{:<44} {:>6} {:>16} {:>7}", "what is asked", "rooms", "CPU ms/request", "ratio");
    type Measure = fn(&Account) -> std::pin::Pin<Box<dyn Future<Output = f64> + '_>>;
    let kinds: [(&str, Measure); 4] = [
        ("/sync, nothing new", |account| Box::pin(v3(account, false))),
        ("/sync, one new message", |account| Box::pin(v3(account, true))),
        ("sliding sync, nothing new", |account| Box::pin(sliding(account, false))),
        ("sliding sync, one new message", |account| Box::pin(sliding(account, true))),
    ];
    for (what, measure) in kinds {
        let mut base = None;
        for account in &accounts {
            let cost = measure(account).await;
            let ratio = cost / *base.get_or_insert(cost);
            println!("{what:<44} {:>6} {cost:>16.3} {ratio:>7.2}", account.rooms.len());
        }
    }
    println!();
    println!("{:<44} {:>6} {:>16}", "first sliding sync", "rooms", "CPU ms");
    for account in &accounts {
        let cost = first(account, FIRST).await;
        println!("{:<44} {:>6} {cost:>16.1}", "all rooms in one answer", account.rooms.len());
    }
    server.restart().await;
    for account in accounts.iter().rev() {
        let cost = first(account, 1).await;
        println!(
            "{:<44} {:>6} {cost:>16.1}",
            "after a restart (the larger first)",
            account.rooms.len()
        );
    }
}

async fn account(server: &TestServer, size: usize) -> Account {
    let user = server.register(&format!("user{size}")).await;
    let friend = server.register(&format!("friend{size}")).await;
    let mut rooms = vec![user.create_room_with(&[&friend]).await];
    while rooms.len() < size {
        // Some have names, some are called by their members.
        let name = (rooms.len() % 2 == 0).then(|| format!("room {}", rooms.len()));
        let room = user.create_room_from(json!({ "preset": "private_chat", "name": name })).await;
        user.send_text(&room, "the last message of the room").await;
        rooms.push(room);
    }
    Account { user, friend, rooms }
}

/// CPU milliseconds for each incremental `/sync`, without what the messages themselves cost.
async fn v3(account: &Account, news: bool) -> f64 {
    let Account { user, friend, rooms } = account;
    let mut since = user.sync(None).await.next_batch;
    let mut ticks = 0;
    for _ in 0..REQUESTS {
        if news {
            friend.send_text(&rooms[0], "news").await;
        }
        let before = cpu_ticks();
        let sync = user.sync(Some(since)).await;
        ticks += cpu_ticks() - before;
        assert_eq!(sync.timeline(&rooms[0]).is_empty(), !news);
        since = sync.next_batch;
    }
    ticks as f64 * TICK_MS / REQUESTS as f64
}

async fn sliding(account: &Account, news: bool) -> f64 {
    let Account { user, friend, rooms } = account;
    let mut connection = room_list(user);
    connection.next().await;
    connection.next().await;
    let mut ticks = 0;
    for _ in 0..REQUESTS {
        if news {
            friend.send_text(&rooms[0], "news").await;
        }
        let before = cpu_ticks();
        let slide = connection.next().await;
        ticks += cpu_ticks() - before;
        assert_eq!(slide.rooms(), usize::from(news));
    }
    ticks as f64 * TICK_MS / REQUESTS as f64
}

async fn first(account: &Account, times: u64) -> f64 {
    let before = cpu_ticks();
    for _ in 0..times {
        let slide = room_list(&account.user).next().await;
        assert_eq!(slide.rooms(), account.rooms.len());
    }
    (cpu_ticks() - before) as f64 * TICK_MS / times as f64
}

/// As matrix-sdk-ui asks, with all rooms at once.
fn room_list(user: &TestUser) -> SlidingSync {
    let state: Vec<Value> = [
        ("m.room.name", ""),
        ("m.room.encryption", ""),
        ("m.room.member", "$LAZY"),
        ("m.room.member", "$ME"),
        ("m.room.topic", ""),
        ("m.room.avatar", ""),
        ("m.room.canonical_alias", ""),
        ("m.room.power_levels", ""),
        ("org.matrix.msc3401.call.member", "*"),
        ("m.room.join_rules", ""),
        ("m.room.tombstone", ""),
        ("m.room.create", ""),
        ("m.room.history_visibility", ""),
        ("io.element.functional_members", ""),
        ("m.space.parent", "*"),
        ("m.space.child", "*"),
        ("org.matrix.msc3672.beacon_info", "*"),
    ]
    .iter()
    .map(|(kind, key)| json!([kind, key]))
    .collect();
    let mut connection = user.sliding_list(1, Value::Array(state));
    connection.body["conn_id"] = "room-list".into();
    connection.body["lists"]["all"]["ranges"] = json!([[0, 1_999]]);
    connection.body["extensions"] = json!({
        "account_data": { "enabled": true },
        "receipts": { "enabled": true, "rooms": ["*"] },
        "typing": { "enabled": true },
    });
    connection
}

/// User and system time of this process so far, in clock ticks.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    // The name of the process, in brackets, may hold spaces: fields are counted after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}
