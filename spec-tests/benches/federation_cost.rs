//! How long is a message on its way from a user of one Kith to a user of another, and do servers that are
//! down make that longer? The median is to be below 10 ms on loopback.
//!
//! `cargo bench -p kith-spec-tests --bench federation_cost` prints the time from the sending request to the
//! `/sync` that tells of it, over real TLS, both servers on disk and in one process with both clients, and the CPU
//! time that the process took for each message; then the same with other servers in the room that do not answer.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::time::Instant;

use kith_spec_tests::{RemoteServer, TestServer, TestUser, cpu_ms, path};
use serde_json::json;

/// Messages that are measured, after some that are not.
const MESSAGES: usize = 300;
const FIRST: usize = 20;
/// How many servers are down.
const DOWN: usize = 20;

#[tokio::main]
async fn main() {
    let (near, far) = (durable().await, durable().await);
    let (alice, bob) = (near.register("alice").await, far.register("bob").await);
    let room = alice.create_room_from(json!({ "preset": "public_chat" })).await;
    let path = format!("{}?via={}", path!("v3/join/{}", room), near.name());
    bob.post(&path, json!({})).await.ok();
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>16}",
        "servers down", "p50 ms", "p95 ms", "max ms", "CPU ms a message"
    );
    report("none", &alice, &bob, &room).await;
    for n in 0..DOWN {
        let remote = RemoteServer::start().await;
        remote.join(&near, &room, &format!("user{n}")).await;
        remote.stop().await;
    }
    report(&DOWN.to_string(), &alice, &bob, &room).await;
}

async fn durable() -> TestServer {
    TestServer::federating_with(|config| {
        config.storage.engine = kith_homeserver::config::EngineKind::Sled;
    })
    .await
}

async fn report(down: &str, alice: &TestUser, bob: &TestUser, room: &str) {
    let mut since = bob.sync(None).await.next_batch;
    let (mut times, mut before) = (Vec::with_capacity(MESSAGES), 0.0);
    for n in 0..FIRST + MESSAGES {
        if n == FIRST {
            times.clear();
            before = cpu_ms();
        }
        let begun = Instant::now();
        let sent = async { alice.send_text(room, "across").await };
        let told = bob.sync_until(since, |sync| !sync.timeline(room).is_empty());
        let (_, told) = tokio::join!(sent, told);
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        since = told.next_batch;
    }
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let cpu = (cpu_ms() - before) / MESSAGES as f64;
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{down:<24} {:>8.2} {:>8.2} {:>8.2} {cpu:>16.2}", at(50), at(95), at(100));
}
