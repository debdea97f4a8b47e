//! Does the cost of a send grow with what is there already? It must not: with the length of the room's
//! history, with the number of rooms, with the number of members.
//!
//! `cargo bench -p kith-spec-tests --bench send_cost` prints CPU time for each send (server and client
//! in one process, the client's part being the same in every row) and its ratio to the smallest size.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::fs;

use kith_spec_tests::{TestServer, TestUser};

/// Sends that are measured at each size.
const SENDS: u64 = 1_000;
/// A clock tick of `/proc`, in milliseconds: `USER_HZ` is 100 on every Linux that we run on.
const TICK_MS: f64 = 10.0;

#[tokio::main]
async fn main() {
    println!("{:<28} {:>8} {:>14} {:>7}", "what grows", "size", "CPU ms/send", "ratio");
    history().await;
    rooms().await;
    members().await;
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

/// CPU milliseconds for each send.
async fn measure(user: &TestUser, room: &str) -> f64 {
    let before = cpu_ticks();
    for _ in 0..SENDS {
        user.send_text(room, "What does this message cost?").await;
    }
    (cpu_ticks() - before) as f64 * TICK_MS / SENDS as f64
}

fn report(what: &str, size: u64, cost: f64, base: &mut Option<f64>) {
    let ratio = cost / *base.get_or_insert(cost);
    println!("{what:<28} {size:>8} {cost:>14.3} {ratio:>7.2}");
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
