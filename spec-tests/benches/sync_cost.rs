//! Does the cost of a sync follow what changed, and not the number of rooms that the user is in?
//!
//! `cargo bench -p kith-spec-tests --bench sync_cost` prints CPU time for each request (server and
//! client in one process) and its ratio to the smallest account, then what the first sliding sync of
//! each account costs, which does grow. The database is sled, on disk.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::future::Future;

use kith_spec_tests::{SlidingSync, TestServer, TestUser, cpu_ms};
use serde_json::json;

/// Requests that are measured of each kind.
const REQUESTS: u64 = 500;
/// First syncs that are measured of each account.
const FIRST: u64 = 10;
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
    let mut spent = 0.0;
    for _ in 0..REQUESTS {
        if news {
            friend.send_text(&rooms[0], "news").await;
        }
        let before = cpu_ms();
        let sync = user.sync(Some(since)).await;
        spent += cpu_ms() - before;
        assert_eq!(sync.timeline(&rooms[0]).is_empty(), !news);
        since = sync.next_batch;
    }
    spent / REQUESTS as f64
}

async fn sliding(account: &Account, news: bool) -> f64 {
    let Account { user, friend, rooms } = account;
    let mut connection = room_list(user);
    connection.next().await;
    connection.next().await;
    let mut spent = 0.0;
    for _ in 0..REQUESTS {
        if news {
            friend.send_text(&rooms[0], "news").await;
        }
        let before = cpu_ms();
        let slide = connection.next().await;
        spent += cpu_ms() - before;
        assert_eq!(slide.rooms(), usize::from(news));
    }
    spent / REQUESTS as f64
}

async fn first(account: &Account, times: u64) -> f64 {
    let before = cpu_ms();
    for _ in 0..times {
        let slide = room_list(&account.user).next().await;
        assert_eq!(slide.rooms(), account.rooms.len());
    }
    (cpu_ms() - before) / times as f64
}

/// As matrix-sdk-ui asks, with all rooms at once.
fn room_list(user: &TestUser) -> SlidingSync {
    let mut connection = user.sliding_room_list();
    connection.body["lists"]["all_rooms"]["ranges"] = json!([[0, 1_999]]);
    connection
}
