//! How long does it take to join a large room over federation? Joining one of 10,000 members is to take
//! less than 5 seconds.
//!
//! `cargo bench -p kith-spec-tests --bench join_cost` prints wall time and the memory that the process
//! took at most (server, peer and client are in it) for a join through a peer, which answers from memory,
//! and for a join of one Kith through another. `-- 1000` measures that size alone.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{fs, time::Instant};

use kith_spec_tests::{RemoteServer, TestServer, TestUser, path};
use ruma::RoomVersionId;
use serde_json::json;

const VERSION: RoomVersionId = RoomVersionId::V11;

#[tokio::main]
async fn main() {
    println!("{:<28} {:>8} {:>10} {:>10}", "joining through", "members", "seconds", "peak MiB");
    let wanted: Vec<usize> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    let sizes = if wanted.is_empty() { vec![100, 1_000, 10_000] } else { wanted };
    for size in sizes {
        join(size).await;
    }
}

async fn join(size: usize) {
    let remote = RemoteServer::start().await;
    let room = fill(&remote, size);
    let (near, far) = (durable().await, durable().await);
    let (alice, bob) = (near.register("alice").await, far.register("bob").await);
    measure("a peer", size, &alice, &room, remote.name().as_str()).await;
    measure("Kith", size, &bob, &room, near.name()).await;
    let members = bob.get(&path!("v3/rooms/{}/joined_members", room)).await.ok();
    let joined = members["joined"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(joined, size + 3, "everybody is there");
}

async fn durable() -> TestServer {
    TestServer::federating_with(|config| {
        config.storage.engine = kith_homeserver::config::EngineKind::Sled;
    })
    .await
}

/// A room of the peer with so many members beside its creator.
fn fill(remote: &RemoteServer, size: usize) -> String {
    let room = remote.create_room(&VERSION, "rachel");
    let copy = remote.room(&room);
    let auth = ["m.room.create", "m.room.power_levels", "m.room.join_rules"];
    let auth: Vec<String> =
        auth.iter().map(|kind| copy.state[&((*kind).to_owned(), String::new())].clone()).collect();
    let mut last = copy.extremities;
    for n in 0..size {
        let user = remote.user(&format!("member{n}"));
        let (id, pdu) = remote.sign_pdu(
            &VERSION,
            json!({
                "type": "m.room.member",
                "sender": user,
                "state_key": user,
                "room_id": room,
                "content": { "membership": "join", "displayname": format!("Member {n}") },
                "origin_server_ts": 1_700_000_000_000_u64 + n as u64,
                "depth": 10 + n,
                "auth_events": auth,
                "prev_events": last,
            }),
        );
        last = vec![id.clone()];
        remote.with_room(&room, |room| {
            room.keep(pdu);
            room.state.insert(("m.room.member".to_owned(), user), id.clone());
            room.extremities = vec![id];
        });
    }
    room
}

async fn measure(through: &str, size: usize, user: &TestUser, room: &str, via: &str) {
    let begun = Instant::now();
    let path = format!("{}?via={via}", path!("v3/join/{}", room));
    user.post(&path, json!({})).await.ok();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{through:<28} {size:>8} {seconds:>10.2} {:>10}", peak_mib());
}

/// The most memory that the process ever had, in MiB.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
