//! Account data, receipts and typing.

use kith_spec_tests::{Slide, SlidingSync, TestServer, TestUser, path};
use serde_json::{Value, json};

/// A connection with all rooms and one extension.
fn with(user: &TestUser, name: &str, config: Value) -> SlidingSync {
    let mut connection = user.sliding_list(1, json!([]));
    connection.body["extensions"] = json!({ name: config });
    connection
}

async fn receipt(user: &TestUser, room: &str, kind: &str, event_id: &str) {
    let path = path!("v3/rooms/{}/receipt/{}/{}", room, kind, event_id);
    user.post(&path, json!({})).await.ok();
}

async fn type_in(user: &TestUser, room: &str, typing: bool) {
    let path = path!("v3/rooms/{}/typing/{}", room, user.user_id);
    user.put(&path, json!({ "typing": typing, "timeout": 60_000 })).await.ok();
}

/// Types of the events of a room's or the global account data.
fn types(events: &Value) -> Vec<&str> {
    kith_spec_tests::Events(events).types()
}

#[tokio::test]
async fn account_data_comes_whole_and_then_as_it_changes() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let global = path!("v3/user/{}/account_data/org.test", alice.user_id);
    alice.put(&global, json!({ "n": 1 })).await.ok();
    let tag = path!("v3/user/{}/rooms/{}/tags/u.test", alice.user_id, room);
    alice.put(&tag, json!({})).await.ok();
    let mut connection = with(&alice, "account_data", json!({ "enabled": true }));
    let slide = connection.next().await;
    let data = slide.extension("account_data");
    let mut found = types(&data["global"]);
    found.sort_unstable();
    assert_eq!(found, ["m.push_rules", "org.test"]);
    assert_eq!(types(&data["rooms"][&room]), ["m.tag"]);
    assert!(connection.next().await.is_empty());
    // A change alone wakes whoever waits.
    let mut waiting = connection.clone();
    let woken = tokio::spawn(async move { (waiting.wait(50_000).await, waiting) });
    alice.put(&global, json!({ "n": 2 })).await.ok();
    let (slide, mut connection) = woken.await.unwrap();
    assert_eq!(slide.extension("account_data")["global"][0]["content"]["n"], 2);
    assert_eq!(slide.rooms(), 0);
    alice.delete(&tag, json!({})).await.ok();
    let slide = connection.wait(5_000).await;
    assert_eq!(types(&slide.extension("account_data")["rooms"][&room]), ["m.tag"]);
    assert!(slide.extension("account_data")["global"].is_null());
}

#[tokio::test]
async fn receipts_come_with_their_events_and_then_as_they_move() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    let old = alice.send_text(&room, "old").await;
    let new = alice.send_text(&room, "new").await;
    receipt(&bob, &room, "m.read", &new).await;
    receipt(&carol, &room, "m.read", &old).await;
    receipt(&carol, &room, "m.read.private", &new).await;
    receipt(&alice, &room, "m.read", &old).await;
    let mut connection = with(&alice, "receipts", json!({ "enabled": true }));
    let content = |slide: &Slide| slide.extension("receipts")["rooms"][&room]["content"].clone();
    let first = content(&connection.next().await);
    // Of others what is about events that are shown, of oneself everything, of nobody what is private.
    assert!(first[&new]["m.read"][&bob.user_id]["ts"].is_u64());
    assert!(first[&old]["m.read"][&alice.user_id].is_object());
    assert!(first[&old]["m.read"][&carol.user_id].is_null());
    assert!(!first.to_string().contains("m.read.private"));
    assert!(connection.next().await.is_empty());
    receipt(&carol, &room, "m.read", &new).await;
    let slide = connection.wait(5_000).await;
    assert_eq!(content(&slide)[&new]["m.read"].as_object().unwrap().len(), 1);
    assert!(content(&slide)[&new]["m.read"][&carol.user_id].is_object());
    assert_eq!(slide.rooms(), 0);
    receipt(&alice, &room, "m.read.private", &new).await;
    let slide = connection.wait(5_000).await;
    assert!(content(&slide)[&new]["m.read.private"][&alice.user_id].is_object());
}

/// What the user reads on one device is read on the others: the counts change.
#[tokio::test]
async fn an_own_receipt_changes_the_unread_counts() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    let event_id = bob.send_text(&room, "unread").await;
    assert_eq!(connection.wait(5_000).await.room(&room)["notification_count"], 1);
    receipt(&alice, &room, "m.read", &event_id).await;
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.room(&room)["notification_count"], 0);
    assert!(slide.timeline(&room).is_empty());
}

#[tokio::test]
async fn typing_comes_when_it_starts_and_when_it_stops() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = with(&alice, "typing", json!({ "enabled": true }));
    assert!(connection.next().await.extension("typing").is_null());
    type_in(&bob, &room, true).await;
    let slide = connection.wait(5_000).await;
    let event = &slide.extension("typing")["rooms"][&room];
    assert_eq!(event["type"], "m.typing");
    assert_eq!(event["content"]["user_ids"], json!([bob.user_id]));
    // A client that begins while somebody types is told so.
    let slide = with(&alice, "typing", json!({ "enabled": true })).next().await;
    assert_eq!(
        slide.extension("typing")["rooms"][&room]["content"]["user_ids"],
        json!([bob.user_id])
    );
    let mut connection = with(&alice, "typing", json!({ "enabled": true }));
    connection.next().await;
    type_in(&bob, &room, false).await;
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.extension("typing")["rooms"][&room]["content"]["user_ids"], json!([]));
}

/// An extension is asked for some lists or some rooms.
#[tokio::test]
async fn extensions_are_for_the_lists_and_rooms_that_they_name() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let listed = alice.create_room_with(&[&bob]).await;
    let subscribed = alice.create_room_with(&[&bob]).await;
    let both = alice.create_room_with(&[&bob]).await;
    let rooms = [&listed, &subscribed, &both];
    for room in rooms {
        type_in(&bob, room, true).await;
    }
    let tag = |room: &str| path!("v3/user/{}/rooms/{}/tags/m.favourite", alice.user_id, room);
    for room in [&listed, &both] {
        alice.put(&tag(room), json!({})).await.ok();
    }
    let room = json!({ "timeline_limit": 0, "required_state": [] });
    let body = json!({
        "lists": { "l": {
            "ranges": [[0, 9]], "timeline_limit": 0, "required_state": [],
            "filters": { "tags": ["m.favourite"] },
        } },
        "room_subscriptions": { &subscribed: room, &both: room },
    });
    let cases = [
        (json!({ "enabled": true }), vec![0, 1, 2]),
        (json!({ "enabled": true, "lists": ["*"], "rooms": ["*"] }), vec![0, 1, 2]),
        (json!({ "enabled": true, "lists": ["l"], "rooms": [] }), vec![0, 2]),
        (json!({ "enabled": true, "lists": ["other"], "rooms": ["*"] }), vec![1, 2]),
        (json!({ "enabled": true, "lists": [], "rooms": [subscribed] }), vec![1]),
        (json!({ "enabled": true, "lists": [], "rooms": [] }), vec![]),
        (json!({ "enabled": false }), vec![]),
    ];
    for (config, expected) in cases {
        let mut connection = alice.sliding(body.clone());
        connection.body["extensions"] = json!({ "typing": config });
        let slide = connection.next().await;
        let typing = &slide.extension("typing")["rooms"];
        let told: Vec<_> = (0..3).filter(|n| typing[rooms[*n]].is_object()).collect();
        assert_eq!(told, expected, "{config}");
    }
}

/// An extension that is asked for later tells of the rooms that the client has.
#[tokio::test]
async fn an_extension_that_is_asked_for_later_begins_with_everything() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let tag = path!("v3/user/{}/rooms/{}/tags/u.test", alice.user_id, room);
    alice.put(&tag, json!({})).await.ok();
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    connection.body["extensions"] = json!({ "account_data": { "enabled": true } });
    let slide = connection.next().await;
    assert_eq!(types(&slide.extension("account_data")["rooms"][&room]), ["m.tag"]);
    assert_eq!(slide.rooms(), 0);
}
