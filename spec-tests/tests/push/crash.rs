//! A server that is killed while it pushes.

use std::{collections::BTreeSet, time::Duration};

use kith_spec_tests::{KithProcess, PushGateway, ReachedServer, Reply};

use super::set_pusher;

const LOOPBACK: [(&str, &str); 1] = [("OUTGOING__ALLOWED_RANGES", r#"["127.0.0.0/8"]"#)];
const ROUNDS: u64 = 6;
const MESSAGES: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_acknowledged_is_pushed_after_all() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut gateway = PushGateway::start().await;
    let mut kith = KithProcess::start(folder.path(), &LOOPBACK).await;
    let server = ReachedServer::at(kith.address);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    set_pusher(&bob, &gateway).await;
    for round in 0..ROUNDS {
        // In every other round the gateway is down, so that the queue is what survives.
        gateway.reply(if round % 2 == 0 { Reply::Accept } else { Reply::Status(503) });
        let mut missing = BTreeSet::new();
        for n in 0..MESSAGES {
            missing.insert(alice.send_text(&room, &format!("{round} {n}")).await);
        }
        // Not a wait for something: the moment is what is tested.
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        kith.kill().await;
        gateway.reply(Reply::Accept);
        if round % 2 == 1 {
            gateway.rest();
        }
        kith = KithProcess::start(folder.path(), &LOOPBACK).await;
        server.moved_to(kith.address);
        while !missing.is_empty() {
            let push = gateway.next_event().await;
            missing.remove(push["event_id"].as_str().expect("an ID"));
        }
    }
}
