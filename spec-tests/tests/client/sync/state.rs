//! State, timelines, and what lies between them.

use kith_spec_tests::{Events, TestServer};
use serde_json::{Value, json};

fn timeline_limit(limit: u32) -> Value {
    json!({ "room": { "timeline": { "limit": limit } } })
}

/// Applied one after the other, `state` and `timeline` give the room's state.
#[tokio::test]
async fn state_and_timeline_of_a_first_sync_make_up_the_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "old" })).await;
    for n in 0..5 {
        alice.send_text(&room, &n.to_string()).await;
    }
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "new" })).await;
    for limit in [1, 2, 100] {
        let sync = bob.syncing(None).filter(timeline_limit(limit)).get().await;
        let mut state = std::collections::BTreeMap::new();
        for event in sync.state(&room).iter().chain(sync.timeline(&room).iter()) {
            if let Some(key) = event["state_key"].as_str() {
                state
                    .insert((event["type"].to_string(), key.to_owned()), event["event_id"].clone());
            }
        }
        let whole = bob.full_state(&room).await;
        let whole = whole.as_array().unwrap();
        assert_eq!(state.len(), whole.len(), "{:#}", sync.json);
        for event in whole {
            let key = (event["type"].to_string(), event["state_key"].as_str().unwrap().to_owned());
            assert_eq!(state[&key], event["event_id"], "limit {limit}: {event:#}");
        }
        // What the timeline shows the state before it does not anticipate.
        let before = sync.state(&room).with_state_key("m.room.topic", "");
        if limit == 1 {
            assert_eq!(before.unwrap()["content"]["topic"], "old");
        }
        let length = sync.timeline(&room).event_ids().len();
        assert!(length <= limit as usize, "{limit}: {:#}", sync.json);
        let limited = sync.joined(&room)["timeline"]["limited"].as_bool().unwrap_or(false);
        assert_eq!(limited, limit < 100, "{:#}", sync.json);
        assert!(sync.joined(&room)["timeline"]["prev_batch"].is_string() || limit == 100);
    }
}

#[tokio::test]
async fn a_gap_carries_the_state_that_changed_in_it() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "in the gap" })).await;
    alice.invite(&room, &carol).await;
    for n in 0..5 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let sync = bob.syncing(Some(since)).filter(timeline_limit(2)).get().await;
    assert_eq!(sync.joined(&room)["timeline"]["limited"], true);
    assert_eq!(sync.timeline(&room).bodies(), ["3", "4"]);
    let mut types = sync.state(&room).types();
    types.sort_unstable();
    assert_eq!(types, ["m.room.member", "m.room.topic"], "{:#}", sync.json);
    assert!(sync.state(&room).with_state_key("m.room.member", &carol.user_id).is_some());
}

/// What changed and is in the timeline itself is not repeated before it.
#[tokio::test]
async fn changes_in_the_timeline_are_not_in_the_state() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "x" })).await;
    let sync = bob.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).types(), ["m.room.topic"]);
    assert!(sync.state(&room).is_empty(), "{:#}", sync.json);
    let event = sync.timeline(&room).last("m.room.topic").unwrap();
    let previous = event["event_id"].clone();
    let since = sync.next_batch;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "y" })).await;
    let sync = bob.sync(Some(since)).await;
    let event = sync.timeline(&room).last("m.room.topic").unwrap();
    assert_eq!(event["unsigned"]["prev_content"], json!({ "topic": "x" }), "{event:#}");
    assert_eq!(event["unsigned"]["replaces_state"], previous, "{event:#}");
}

#[tokio::test]
async fn state_after_is_the_state_at_the_end_of_the_timeline() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let first = bob.syncing(None).with("use_state_after", true).get().await;
    let joined = first.joined(&room);
    assert!(joined.get("state").is_none(), "{joined:#}");
    let after = Events(&joined["state_after"]["events"]);
    let whole = bob.full_state(&room).await;
    assert_eq!(after.event_ids().len(), whole.as_array().unwrap().len(), "{joined:#}");

    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "x" })).await;
    alice.send_text(&room, "hello").await;
    let sync = bob.syncing(Some(first.next_batch)).with("use_state_after", true).get().await;
    let joined = sync.joined(&room);
    assert!(joined.get("state").is_none(), "{joined:#}");
    assert_eq!(Events(&joined["state_after"]["events"]).types(), ["m.room.topic"]);
    assert_eq!(sync.timeline(&room).types(), ["m.room.topic", "m.room.message"]);

    alice.send_text(&room, "hello").await;
    let sync = bob.syncing(Some(sync.next_batch)).with("use_state_after", true).get().await;
    let after = &sync.joined(&room)["state_after"];
    assert!(after.is_object(), "required, even if it is empty: {:#}", sync.json);
    assert!(Events(&after["events"]).is_empty(), "{after:#}");
}

#[tokio::test]
async fn full_state_is_everything_with_a_timeline_since() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let quiet = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let event_id = alice.send_text(&room, "hello").await;
    let request = bob.syncing(Some(since)).with("full_state", true).timeout(30_000);
    let sync = request.get().await;
    assert_eq!(sync.timeline(&room).event_ids(), [event_id]);
    for room in [&room, &quiet] {
        let whole = bob.full_state(room).await.as_array().unwrap().len();
        assert_eq!(sync.state(room).event_ids().len(), whole, "{:#}", sync.json);
    }
}

#[tokio::test]
async fn a_room_joined_since_comes_with_all_its_state() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "x" })).await;
    for n in 0..30 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let since = bob.sync(None).await.next_batch;
    bob.join(&room).await;
    let sync = bob.sync(Some(since)).await;
    assert!(sync.state(&room).with_state_key("m.room.topic", "").is_some(), "{:#}", sync.json);
    assert!(sync.state(&room).with_state_key("m.room.create", "").is_some());
    let own = sync.timeline(&room).with_state_key("m.room.member", &bob.user_id);
    assert_eq!(own.unwrap()["content"]["membership"], "join");
}

#[tokio::test]
async fn a_user_who_left_and_came_back_gets_the_state_again() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    bob.join(&room).await;
    let since = bob.sync(None).await.next_batch;
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "meanwhile" })).await;
    bob.join(&room).await;
    let sync = bob.sync(Some(since)).await;
    let topic = sync.state(&room).with_state_key("m.room.topic", "");
    let topic = topic.or(sync.timeline(&room).with_state_key("m.room.topic", ""));
    assert_eq!(topic.expect("it changed meanwhile")["content"]["topic"], "meanwhile");
    assert!(!sync.joined(&room).is_null() && sync.left(&room).is_null(), "{:#}", sync.json);
}

#[tokio::test]
async fn state_after_is_there_whatever_is_new() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "1").await;
    let since = alice.syncing(None).with("use_state_after", true).get().await.next_batch;
    let path = kith_spec_tests::path!("v3/rooms/{}/receipt/m.read/{}", room, event_id);
    bob.post(&path, json!({})).await.ok();
    let sync = alice.syncing(Some(since)).with("use_state_after", true).get().await;
    assert!(!sync.ephemeral(&room).is_empty(), "{:#}", sync.json);
    assert!(sync.joined(&room)["state_after"].is_object(), "{:#}", sync.json);
    assert!(sync.joined(&room).get("state").is_none(), "{:#}", sync.json);
    // It is no news by itself.
    let sync = alice.syncing(Some(sync.next_batch)).with("use_state_after", true).get().await;
    assert!(sync.joined(&room).is_null(), "{:#}", sync.json);
}
