//! Five hundred people in one room, each by a connection or by `/sync`.

use kith_spec_tests::{TestServer, TestUser};
use serde_json::json;

const MEMBERS: usize = 500;
const MESSAGES: usize = 10;

/// What arrives until the last message is there.
async fn follow_sliding(user: TestUser, room: String) -> Vec<String> {
    let mut connection = user.sliding_list(50, json!([]));
    let mut bodies = collect(connection.next().await.timeline(&room).bodies());
    while bodies.last().map(String::as_str) != Some("9") {
        let slide = connection.wait(30_000).await;
        bodies.extend(collect(slide.timeline(&room).bodies()));
    }
    bodies
}

async fn follow_v3(user: TestUser, room: String) -> Vec<String> {
    let filter = json!({
        "presence": { "types": [] },
        "room": { "ephemeral": { "types": [] }, "timeline": { "limit": 50 } },
    });
    let mut bodies = Vec::new();
    let mut since = None;
    while bodies.last().map(String::as_str) != Some("9") {
        let poll = user.syncing(since).with("set_presence", "offline").filter(&filter);
        let sync = poll.timeout(30_000).get().await;
        bodies.extend(collect(sync.timeline(&room).bodies()));
        since = Some(sync.next_batch);
    }
    bodies
}

fn collect(bodies: Vec<&str>) -> Vec<String> {
    bodies.into_iter().map(str::to_owned).collect()
}

/// Everybody gets every event, once and in order, whichever way they look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_receivers_get_every_event_once_and_in_order() {
    let server = TestServer::with(|config| config.presence.enabled = false).await;
    let owner = server.register("owner").await;
    let room = owner.create_public_room().await;
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        let user = server.register(&format!("user{n}")).await;
        user.join(&room).await;
        members.push(user);
    }
    let mut following = Vec::new();
    for (n, user) in members.into_iter().enumerate() {
        let room = room.clone();
        following.push(tokio::spawn(async move {
            if n % 2 == 0 { follow_sliding(user, room).await } else { follow_v3(user, room).await }
        }));
    }
    let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    for body in &expected {
        owner.send_text(&room, body).await;
    }
    for (n, bodies) in following.into_iter().enumerate() {
        assert_eq!(bodies.await.unwrap(), expected, "receiver {n}");
    }
}
