//! Does the cost of a send grow with what is there already? It must not: with the length of the room's
//! history, with the number of rooms, with the number of members, with pushers of people elsewhere. With
//! pushers of those in the room it does, since each of them is told.
//!
//! `cargo bench -p kith-spec-tests --bench send_cost` prints CPU time for each send (server and client
//! in one process, the client's part being the same in every row) and its ratio to the smallest size;
//! `-- pushers` measures that part alone.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use kith_spec_tests::{TestServer, TestUser, cpu_ms};

/// Sends that are measured at each size.
const SENDS: u64 = 1_000;

#[tokio::main]
async fn main() {
    println!("{:<28} {:>8} {:>14} {:>7}", "what grows", "size", "CPU ms/send", "ratio");
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if wants("history") {
        history().await;
    }
    if wants("rooms") {
        rooms().await;
    }
    if wants("members") {
        members().await;
    }
    if wants("pushers") {
        pushers().await;
    }
}

async fn history() {
    let server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let (mut sent, mut base) = (0, None);
    for size in [100, 1_000, 10_000] {
        while sent < size {
            alice.send_text(&room, "filling").await;
            sent += 1;
        }
        report("events in the room", size, measure(&alice, &room).await, &mut base);
        sent += SENDS;
    }
}

async fn rooms() {
    let server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let (mut made, mut base) = (1, None);
    for size in [10, 100, 1_000] {
        while made < size {
            alice.create_room().await;
            made += 1;
        }
        report("rooms of the sender", size, measure(&alice, &room).await, &mut base);
    }
}

async fn members() {
    let server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_public_room().await;
    let (mut joined, mut base) = (1, None);
    for size in [10, 100, 300] {
        while joined < size {
            server.register(&format!("member{joined}")).await.join(&room).await;
            joined += 1;
        }
        report("members of the room", size, measure(&alice, &room).await, &mut base);
    }
}

/// A gateway that is never reached: what is measured is our own work.
async fn pushers() {
    let server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_public_room().await;
    let mut members = Vec::new();
    for n in 0..100 {
        let member = server.register(&format!("member{n}")).await;
        member.join(&room).await;
        members.push(member);
    }
    let (mut set, mut base) = (0, None);
    report("pushers of people elsewhere", 0, measure(&alice, &room).await, &mut base);
    for size in [1, 100] {
        while set < size {
            set_pusher(&server.register(&format!("elsewhere{set}")).await).await;
            set += 1;
        }
        report("pushers of people elsewhere", size, measure(&alice, &room).await, &mut base);
    }
    for (n, member) in members.iter().take(10).enumerate() {
        set_pusher(member).await;
        if [0, 9].contains(&n) {
            let size = n as u64 + 1;
            report("pushers of the room's members", size, measure(&alice, &room).await, &mut base);
        }
    }
}

async fn set_pusher(user: &TestUser) {
    let body = serde_json::json!({
        "kind": "http", "app_id": "bench", "pushkey": user.user_id, "lang": "en",
        "app_display_name": "", "device_display_name": "",
        "data": { "url": "https://localhost:1/_matrix/push/v1/notify" },
    });
    user.post("v3/pushers/set", body).await.ok();
}

/// CPU milliseconds for each send.
async fn measure(user: &TestUser, room: &str) -> f64 {
    let before = cpu_ms();
    for _ in 0..SENDS {
        user.send_text(room, "What does this message cost?").await;
    }
    (cpu_ms() - before) / SENDS as f64
}

fn report(what: &str, size: u64, cost: f64, base: &mut Option<f64>) {
    let ratio = cost / *base.get_or_insert(cost);
    println!("{what:<28} {size:>8} {cost:>14.3} {ratio:>7.2}");
}
