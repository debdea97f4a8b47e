//! Who is typing.

use kith_spec_tests::{Sync, TestServer, path};
use serde_json::{Value, json};

fn typing(sync: &Sync, room: &str) -> Option<Value> {
    sync.ephemeral(room).last("m.typing").map(|event| event["content"]["user_ids"].clone())
}

#[tokio::test]
async fn typing_begins_and_ends() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let path = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    let start = json!({ "typing": true, "timeout": 30_000 });
    assert_eq!(alice.put(&path, start).await.ok(), json!({}));
    let sync = bob.sync_until(since, |sync| typing(sync, &room).is_some()).await;
    assert_eq!(typing(&sync, &room), Some(json!([alice.user_id])));
    alice.put(&path, json!({ "typing": false })).await.ok();
    let sync = bob.sync_until(sync.next_batch, |sync| typing(sync, &room).is_some()).await;
    assert_eq!(typing(&sync, &room), Some(json!([])));
}

#[tokio::test]
async fn typing_ends_by_itself() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let path = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    alice.put(&path, json!({ "typing": true, "timeout": 100 })).await.ok();
    bob.sync_until(since, |sync| typing(sync, &room) == Some(json!([]))).await;
}

/// Who is gone has stopped typing.
#[tokio::test]
async fn typing_ends_with_membership() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    // Longer than this test waits.
    alice.put(&path, json!({ "typing": true, "timeout": 120_000 })).await.ok();
    let since = bob.sync(None).await.next_batch;
    alice.leave(&room).await;
    bob.sync_until(since, |sync| typing(sync, &room) == Some(json!([]))).await;
}

#[tokio::test]
async fn nobody_types_for_others_or_from_outside() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    let body = json!({ "typing": true, "timeout": 1000 });
    let others = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    bob.put(&others, body.clone()).await.error(403, "M_FORBIDDEN");
    let own = path!("v3/rooms/{}/typing/{}", room, bob.user_id);
    bob.put(&own, body).await.error(403, "M_FORBIDDEN");
    let own = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    alice.put(&own, json!({})).await.error(400, "M_BAD_JSON");
    alice.put(&own, json!({ "typing": true })).await.ok();
}
