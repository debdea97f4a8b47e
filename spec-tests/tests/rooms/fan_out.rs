//! Many people in one room.

use kith_spec_tests::{Sync, TestServer, TestUser};
use serde_json::json;

const MEMBERS: usize = 100;
const SENDERS: usize = 4;
const MESSAGES: usize = 25;

/// The bodies that arrive in a user's long polls, until the last message of every sender is there.
async fn follow(user: TestUser, room: String, since: String) -> Vec<String> {
    let mut since = since;
    let mut bodies: Vec<String> = Vec::new();
    let last: Vec<String> =
        (0..SENDERS).map(|sender| format!("{sender} {}", MESSAGES - 1)).collect();
    let filter = json!({
        "presence": { "types": [] },
        "room": { "ephemeral": { "types": [] }, "timeline": { "limit": 100 } },
    });
    while !last.iter().all(|body| bodies.contains(body)) {
        let poll =
            user.syncing(Some(since.clone())).with("set_presence", "offline").filter(&filter);
        let sync: Sync = poll.timeout(30_000).get().await;
        let timeline = &sync.joined(&room)["timeline"];
        assert_ne!(timeline["limited"], true, "no gap of 100 messages is possible here");
        let new = sync.timeline(&room).bodies().into_iter().map(str::to_owned);
        let before = bodies.len();
        bodies.extend(new);
        assert!(bodies.len() > before || sync.next_batch == since, "woken for nothing");
        since = sync.next_batch;
    }
    bodies
}

/// While four people talk at once, a hundred hear everything, once, and in the same order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_receives_every_event_once_and_in_order() {
    let server = TestServer::start().await;
    let owner = server.register("owner").await;
    let room = owner.create_public_room().await;
    let mut members = vec![owner];
    for n in 1..MEMBERS {
        let user = server.register(&format!("user{n}")).await;
        user.join(&room).await;
        members.push(user);
    }
    let mut polls = Vec::new();
    for user in &members {
        let since = user.sync(None).await.next_batch;
        polls.push(tokio::spawn(follow(user.clone(), room.clone(), since)));
    }
    let mut sending = Vec::new();
    for (sender, user) in members.iter().take(SENDERS).cloned().enumerate() {
        let room = room.clone();
        sending.push(tokio::spawn(async move {
            for n in 0..MESSAGES {
                user.send_text(&room, &format!("{sender} {n}")).await;
            }
        }));
    }
    for task in sending {
        task.await.expect("every message is accepted");
    }
    let mut received = Vec::new();
    for poll in polls {
        received.push(poll.await.expect("every member follows"));
    }
    let first = &received[0];
    assert_eq!(first.len(), SENDERS * MESSAGES, "each once: {first:?}");
    for sender in 0..SENDERS {
        let prefix = format!("{sender} ");
        let theirs: Vec<_> = first.iter().filter(|body| body.starts_with(&prefix)).collect();
        let sent: Vec<_> = (0..MESSAGES).map(|n| format!("{sender} {n}")).collect();
        assert_eq!(theirs, sent.iter().collect::<Vec<_>>(), "each sender's in order");
    }
    for (n, bodies) in received.iter().enumerate() {
        assert_eq!(bodies, first, "user {n} saw another order");
    }
}
