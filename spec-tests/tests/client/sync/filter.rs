//! Filters, stored and inline.

use kith_spec_tests::{Sync, TestServer, path};
use serde_json::{Value, json};

#[tokio::test]
async fn a_filter_is_stored_for_its_user() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let filter = json!({ "room": { "timeline": { "limit": 1, "types": ["m.room.message"] } } });
    let path = path!("v3/user/{}/filter", alice.user_id);
    let id = alice.post(&path, filter.clone()).await.text_at("filter_id");
    assert!(!id.starts_with('{'), "{id}");
    let stored = path!("v3/user/{}/filter/{}", alice.user_id, id);
    let read = alice.get(&stored).await.ok();
    assert_eq!(read["room"]["timeline"], filter["room"]["timeline"], "{read:#}");
    bob.get(&stored).await.error(403, "M_FORBIDDEN");
    bob.post(&path, filter).await.error(403, "M_FORBIDDEN");
    alice.get(&path!("v3/user/{}/filter/{}", alice.user_id, "x")).await.error(404, "M_NOT_FOUND");
    let wrong = json!({ "room": { "timeline": { "limit": "many" } } });
    alice.post(&path, wrong).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn stored_and_inline_filters_do_the_same() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let hidden = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    alice.send_text(&room, "hello").await;
    alice.send(&room, "org.example.other", json!({})).await;
    alice.send_text(&hidden, "hidden").await;
    let filter = json!({
        "room": { "not_rooms": [hidden], "timeline": { "types": ["m.room.message"] } },
        "account_data": { "types": [] },
        "presence": { "types": [] },
    });
    let id = bob.create_filter(filter.clone()).await;
    for filter in [filter.to_string(), id] {
        let sync = bob.syncing(Some(since.clone())).filter(filter).get().await;
        assert_eq!(sync.timeline(&room).bodies(), ["hello"], "{:#}", sync.json);
        assert_eq!(sync.timeline(&room).types().len(), 1);
        assert!(sync.joined(&hidden).is_null(), "{:#}", sync.json);
    }
}

/// Each part of the answer has its part of the filter.
#[tokio::test]
async fn every_part_of_a_filter_works() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = bob.send_text(&room, "from bob").await;
    alice.send_text(&room, "from alice").await;
    let read = path!("v3/rooms/{}/receipt/m.read/{}", room, event_id);
    alice.post(&read, json!({})).await.ok();
    for name in ["org.example.a", "org.example.b"] {
        let global = path!("v3/user/{}/account_data/{}", alice.user_id, name);
        alice.put(&global, json!({ "n": 1 })).await.ok();
        let of_room = path!("v3/user/{}/rooms/{}/account_data/{}", alice.user_id, room, name);
        alice.put(&of_room, json!({ "n": 1 })).await.ok();
    }
    let sync = async |filter: Value| alice.syncing(None).filter(filter).get().await;
    let a = json!({ "types": ["org.example.a"] });
    let not_a = json!({ "types": ["org.example.*"], "not_types": ["*.a"] });
    let types = |sync: &Sync| -> Vec<String> {
        sync.account_data().types().into_iter().map(str::to_owned).collect()
    };
    assert_eq!(types(&sync(json!({ "account_data": a })).await), ["org.example.a"]);
    assert_eq!(types(&sync(json!({ "account_data": not_a })).await), ["org.example.b"]);
    let filtered = sync(json!({ "room": { "account_data": a } })).await;
    assert_eq!(filtered.room_account_data(&room).types(), ["org.example.a"]);
    let filtered = sync(json!({ "room": { "ephemeral": { "types": [] } } })).await;
    assert!(filtered.ephemeral(&room).is_empty());
    assert!(!sync(json!({})).await.ephemeral(&room).is_empty());
    let filtered = sync(json!({ "room": { "timeline": { "senders": [bob.user_id] } } })).await;
    assert!(filtered.timeline(&room).iter().all(|event| event["sender"] == bob.user_id.as_str()));
    assert_eq!(filtered.timeline(&room).bodies(), ["from bob"]);
    let state =
        json!({ "room": { "timeline": { "limit": 1 }, "state": { "types": ["m.room.create"] } } });
    let filtered = sync(state).await;
    assert_eq!(filtered.state(&room).types(), ["m.room.create"], "{:#}", filtered.json);
    let filtered = sync(json!({ "room": { "rooms": [] } })).await;
    assert!(filtered.joined(&room).is_null(), "{:#}", filtered.json);
}

/// The server may send more than that.
#[tokio::test]
async fn the_event_fields_that_are_asked_for_are_there() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    alice.send_text(&room, "hello").await;
    let filter = json!({
        "event_fields": ["type", "content.body"],
        "room": { "timeline": { "types": ["m.room.message"] } },
    });
    let sync = alice.syncing(None).filter(filter).get().await;
    let event = sync.timeline(&room).iter().next().unwrap();
    assert_eq!(event["type"], "m.room.message");
    assert_eq!(event["content"]["body"], "hello");
}

/// A bot that wants messages alone still learns what the room is like.
#[tokio::test]
async fn state_that_the_timeline_filter_hides_is_in_the_state() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    alice.send_text(&room, "1").await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "new" })).await;
    alice.send_text(&room, "2").await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let sync = alice.syncing(None).filter(filter).get().await;
    assert_eq!(sync.timeline(&room).bodies(), ["1", "2"]);
    let topic = sync.state(&room).with_state_key("m.room.topic", "");
    assert_eq!(topic.expect("the topic")["content"]["topic"], "new");
}

#[tokio::test]
async fn state_and_presence_come_from_the_rooms_and_users_that_are_asked_for() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let (one, other) = (alice.create_room_with(&[&bob]).await, alice.create_room().await);
    let _third = alice.create_room_with(&[&carol]).await;
    for user in [&bob, &carol] {
        let path = path!("v3/presence/{}/status", user.user_id);
        user.put(&path, json!({ "presence": "online" })).await.ok();
    }
    let filter = json!({
        "presence": { "senders": [bob.user_id] },
        "room": { "timeline": { "limit": 1 }, "state": { "rooms": [one] } },
    });
    let sync = alice.syncing(None).filter(filter).get().await;
    assert!(!sync.state(&one).is_empty() && sync.state(&other).is_empty(), "{:#}", sync.json);
    let senders: Vec<_> = sync.presence().iter().map(|event| event["sender"].clone()).collect();
    assert_eq!(senders, [json!(bob.user_id)]);
    let filter = json!({ "room": { "timeline": { "limit": 1 }, "state": { "not_rooms": [one] } } });
    let sync = alice.syncing(None).filter(filter).get().await;
    assert!(sync.state(&one).is_empty() && !sync.state(&other).is_empty(), "{:#}", sync.json);
}
