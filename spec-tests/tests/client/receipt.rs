//! What has been read, and by whom.

use kith_spec_tests::{Sync, TestServer, TestUser, path};
use serde_json::{Value, json};

async fn read(user: &TestUser, room: &str, kind: &str, event_id: &str, body: Value) {
    let path = path!("v3/rooms/{}/receipt/{}/{}", room, kind, event_id);
    assert_eq!(user.post(&path, body).await.ok(), json!({}));
}

/// The receipt that a sync shows for an event, kind and user.
fn receipt<'a>(
    sync: &'a Sync,
    room: &str,
    event_id: &str,
    kind: &str,
    user: &TestUser,
) -> &'a Value {
    match sync.ephemeral(room).last("m.receipt") {
        Some(event) => &event["content"][event_id][kind][&user.user_id],
        None => &Value::Null,
    }
}

#[tokio::test]
async fn a_public_receipt_is_seen_by_everybody_in_the_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "hello").await;
    let since = alice.sync(None).await.next_batch;
    read(&bob, &room, "m.read", &event_id, json!({})).await;
    let sync = alice.sync_until(since, |sync| !sync.ephemeral(&room).is_empty()).await;
    let seen = receipt(&sync, &room, &event_id, "m.read", &bob);
    assert!(seen["ts"].is_u64(), "{:#}", sync.json);
    assert!(seen.get("thread_id").is_none(), "{seen:#}");
    // A first sync shows it, too; a following one not again.
    let sync = alice.sync(None).await;
    assert!(receipt(&sync, &room, &event_id, "m.read", &bob)["ts"].is_u64());
    assert!(alice.sync(Some(sync.next_batch)).await.ephemeral(&room).is_empty());
}

#[tokio::test]
async fn a_private_receipt_is_seen_by_its_owner_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "hello").await;
    let since = bob.sync(None).await.next_batch;
    read(&bob, &room, "m.read.private", &event_id, json!({})).await;
    let sync = bob.sync_until(since, |sync| !sync.ephemeral(&room).is_empty()).await;
    assert!(receipt(&sync, &room, &event_id, "m.read.private", &bob)["ts"].is_u64());
    let sync = alice.sync(None).await;
    assert!(!sync.json.to_string().contains("m.read.private"), "{:#}", sync.json);
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#threaded-read-receipts)
#[tokio::test]
async fn receipts_of_threads_stand_beside_each_other() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = json!({ "msgtype": "m.text", "body": "in it", "m.relates_to": relation });
    let reply = alice.send(&room, "m.room.message", reply).await;
    read(&bob, &room, "m.read", &reply, json!({ "thread_id": root })).await;
    read(&bob, &room, "m.read", &root, json!({ "thread_id": "main" })).await;
    let sync = alice.sync(None).await;
    assert_eq!(receipt(&sync, &room, &reply, "m.read", &bob)["thread_id"], root.as_str());
    assert_eq!(receipt(&sync, &room, &root, "m.read", &bob)["thread_id"], "main");
    let path = path!("v3/rooms/{}/receipt/m.read/{}", room, reply);
    for wrong in [json!({ "thread_id": "" }), json!({ "thread_id": 1 })] {
        let answer = bob.post(&path, wrong).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    let path = path!("v3/rooms/{}/receipt/m.fully_read/{}", room, reply);
    bob.post(&path, json!({ "thread_id": "main" })).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_newer_receipt_replaces_the_older() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let first = alice.send_text(&room, "1").await;
    let second = alice.send_text(&room, "2").await;
    read(&bob, &room, "m.read", &first, json!({})).await;
    read(&bob, &room, "m.read", &second, json!({})).await;
    let sync = alice.sync(None).await;
    assert!(receipt(&sync, &room, &first, "m.read", &bob).is_null(), "{:#}", sync.json);
    assert!(receipt(&sync, &room, &second, "m.read", &bob)["ts"].is_u64());
}

#[tokio::test]
async fn receipts_need_a_member_and_a_known_kind() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let event_id = alice.send_text(&room, "hello").await;
    let path = path!("v3/rooms/{}/receipt/m.read/{}", room, event_id);
    eve.post(&path, json!({})).await.error(403, "M_FORBIDDEN");
    let path = path!("v3/rooms/{}/receipt/org.example.read/{}", room, event_id);
    let answer = alice.post(&path, json!({})).await;
    assert_eq!(answer.status, 400, "{answer}");
}

#[tokio::test]
async fn reading_lowers_the_unread_count() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let unread = async || {
        let sync = bob.sync(None).await;
        let counts = &sync.joined(&room)["unread_notifications"];
        (counts["notification_count"].as_u64(), counts["highlight_count"].as_u64())
    };
    assert_eq!(unread().await, (Some(0), Some(0)));
    let first = alice.send_text(&room, "hello").await;
    let mention = json!({ "user_ids": [bob.user_id] });
    let message = json!({ "msgtype": "m.text", "body": "Bob!", "m.mentions": mention });
    let second = alice.send(&room, "m.room.message", message).await;
    assert_eq!(unread().await, (Some(2), Some(1)));
    read(&bob, &room, "m.read", &first, json!({})).await;
    assert_eq!(unread().await, (Some(1), Some(1)));
    read(&bob, &room, "m.read.private", &second, json!({})).await;
    assert_eq!(unread().await, (Some(0), Some(0)));
    // One's own messages are read by whoever writes them.
    bob.send_text(&room, "I'm here").await;
    assert_eq!(unread().await, (Some(0), Some(0)));
}

/// Many clients know unthreaded receipts alone.
#[tokio::test]
async fn of_two_receipts_on_one_event_the_unthreaded_is_told() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "1").await;
    read(&bob, &room, "m.read", &event_id, json!({})).await;
    read(&bob, &room, "m.read", &event_id, json!({ "thread_id": "main" })).await;
    let sync = alice.sync(None).await;
    let receipt = sync.ephemeral(&room).last("m.receipt").expect("a receipt");
    let receipt = &receipt["content"][&event_id]["m.read"][&bob.user_id];
    assert!(receipt.is_object() && receipt.get("thread_id").is_none(), "{receipt}");
}
