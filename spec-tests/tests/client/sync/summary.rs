//! Counts and heroes, with which clients name a room that has no name.

use kith_spec_tests::TestServer;
use serde_json::{Value, json};

fn heroes(summary: &Value) -> Vec<&str> {
    let heroes = summary["m.heroes"].as_array();
    let mut heroes: Vec<_> = heroes.into_iter().flatten().filter_map(Value::as_str).collect();
    heroes.sort_unstable();
    heroes
}

#[tokio::test]
async fn a_nameless_room_has_heroes() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob]).await;
    alice.invite(&room, &carol).await;
    let sync = alice.sync(None).await;
    let summary = &sync.joined(&room)["summary"];
    assert_eq!(summary["m.joined_member_count"], 2, "{summary:#}");
    assert_eq!(summary["m.invited_member_count"], 1, "{summary:#}");
    assert_eq!(heroes(summary), [&bob.user_id, &carol.user_id], "never oneself: {summary:#}");

    carol.join(&room).await;
    let sync = alice.sync(Some(sync.next_batch)).await;
    let summary = &sync.joined(&room)["summary"];
    assert_eq!(summary["m.joined_member_count"], 3, "{summary:#}");
    assert_eq!(summary["m.invited_member_count"], 0, "{summary:#}");
}

#[tokio::test]
async fn those_who_left_are_heroes_of_an_abandoned_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    bob.leave(&room).await;
    let sync = alice.sync(None).await;
    let summary = &sync.joined(&room)["summary"];
    assert_eq!(summary["m.joined_member_count"], 1, "{summary:#}");
    assert_eq!(heroes(summary), [&bob.user_id], "{summary:#}");
}

#[tokio::test]
async fn five_heroes_are_enough() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_public_room().await;
    for n in 0..7 {
        server.register(&format!("user{n}")).await.join(&room).await;
    }
    let sync = alice.sync(None).await;
    let summary = &sync.joined(&room)["summary"];
    assert_eq!(summary["m.joined_member_count"], 8, "{summary:#}");
    let first: Vec<_> = (0..5).map(|n| format!("@user{n}:kith.test")).collect();
    assert_eq!(heroes(summary), first, "the first five: {summary:#}");
}

#[tokio::test]
async fn the_summary_of_an_unchanged_room_stays_away() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    alice.send(&room, "m.room.message", json!({ "msgtype": "m.text", "body": "x" })).await;
    let sync = bob.sync(Some(since)).await;
    // It may be repeated, but then it must be right.
    let summary = &sync.joined(&room)["summary"];
    assert!(summary["m.joined_member_count"].as_u64().is_none_or(|n| n == 2), "{summary:#}");
}

#[tokio::test]
async fn the_summary_follows_members_and_names_that_the_filter_hides() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let body = json!({ "preset": "public_chat", "name": "Named" });
    let room = alice.create_room_from(body).await;
    bob.join(&room).await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let since = alice.syncing(None).filter(&filter).get().await.next_batch;
    carol.join(&room).await;
    let sync = alice.syncing(Some(since)).filter(&filter).get().await;
    assert_eq!(sync.joined(&room)["summary"]["m.joined_member_count"], 3, "{:#}", sync.json);
    alice.set_state(&room, "m.room.name", "", json!({})).await;
    let sync = alice.syncing(Some(sync.next_batch)).filter(&filter).get().await;
    assert_eq!(heroes(&sync.joined(&room)["summary"]), [&bob.user_id, &carol.user_id]);
}
