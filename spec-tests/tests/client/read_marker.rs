//! How far the user has read.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn the_read_marker_is_the_users_own_room_account_data() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let first = alice.send_text(&room, "1").await;
    let second = alice.send_text(&room, "2").await;
    let since = bob.sync(None).await.next_batch;
    let markers = path!("v3/rooms/{}/read_markers", room);
    let body = json!({ "m.fully_read": first, "m.read": second, "m.read.private": second });
    assert_eq!(bob.post(&markers, body).await.ok(), json!({}));
    let fully_read = |sync: &kith_spec_tests::Sync| {
        let event = sync.room_account_data(&room).last("m.fully_read");
        event.map(|event| event["content"]["event_id"].clone())
    };
    let sync = bob.sync_until(since, |sync| fully_read(sync).is_some()).await;
    assert_eq!(fully_read(&sync), Some(json!(first)));
    let receipts = sync.ephemeral(&room).last("m.receipt").expect("the receipt was set, too");
    assert!(receipts["content"][&second]["m.read"][&bob.user_id].is_object(), "{receipts:#}");
    // Nobody else sees it.
    assert!(!alice.sync(None).await.json.to_string().contains("m.fully_read"));

    let path = path!("v3/rooms/{}/receipt/m.fully_read/{}", room, second);
    bob.post(&path, json!({})).await.ok();
    let data = path!("v3/user/{}/rooms/{}/account_data/m.fully_read", bob.user_id, room);
    assert_eq!(bob.get(&data).await.ok(), json!({ "event_id": second }));
}

#[tokio::test]
async fn the_read_marker_cannot_be_set_as_account_data() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let data = path!("v3/user/{}/rooms/{}/account_data/m.fully_read", alice.user_id, room);
    alice.put(&data, json!({ "event_id": "$x" })).await.error(405, "M_BAD_JSON");
    let eve = server.register("eve").await;
    let markers = path!("v3/rooms/{}/read_markers", room);
    eve.post(&markers, json!({ "m.fully_read": "$x" })).await.error(403, "M_FORBIDDEN");
    alice.post(&markers, json!({})).await.ok();
}

#[tokio::test]
async fn the_read_marker_stays_in_its_room_and_does_not_move_back() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, other) = (alice.create_room().await, alice.create_room().await);
    let first = alice.send_text(&room, "1").await;
    let second = alice.send_text(&room, "2").await;
    let elsewhere = alice.send_text(&other, "3").await;
    let markers = path!("v3/rooms/{}/read_markers", room);
    let data = path!("v3/user/{}/rooms/{}/account_data/m.fully_read", alice.user_id, room);
    alice.post(&markers, json!({ "m.fully_read": second })).await.ok();
    let refused = alice.post(&markers, json!({ "m.fully_read": elsewhere })).await;
    refused.error(400, "M_INVALID_PARAM");
    alice.post(&markers, json!({ "m.fully_read": first })).await.ok();
    assert_eq!(alice.get(&data).await.ok(), json!({ "event_id": second }));
}
