//! What a stranger may know of somebody's devices: their public keys and what the user calls them, and
//! no more than that.

use std::collections::BTreeSet;

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, TestServer, path};
use serde_json::{Value, json};

#[tokio::test]
async fn a_stranger_sees_of_a_device_its_keys_and_its_name_alone() {
    let server = TestServer::start().await;
    let (alice, stranger) = (server.register("alice").await, server.register("eve").await);
    let hidden = alice.log_in_again().await;
    DeviceKeys::generate(&alice).upload(&alice).await.ok();
    CrossSigningKeys::generate(&alice).upload(&alice).await.ok();
    let body = json!({ "device_keys": { &alice.user_id: [] } });
    let answer = stranger.post("v3/keys/query", body).await;
    for secret in ["127.0.0.1", "last_seen", "user_signing", "access_token", &hidden.device_id] {
        // There may be an empty map of that name, which is no secret.
        let text = answer.text.replace(r#""user_signing_keys":{}"#, "");
        assert!(!text.contains(secret), "`{secret}` in {answer}");
    }
    let device = &answer["device_keys"][&alice.user_id][&alice.device_id];
    let fields: BTreeSet<_> = device.as_object().unwrap().keys().map(String::as_str).collect();
    let known = ["algorithms", "device_id", "keys", "signatures", "unsigned", "user_id"];
    assert!(fields.is_subset(&known.into()), "{fields:?}");
    let body = json!({ "device_keys": { &alice.user_id: [hidden.device_id] } });
    let asked_by_name = stranger.post("v3/keys/query", body).await.ok();
    assert_eq!(asked_by_name["device_keys"][&alice.user_id], json!({}));
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_device_that_exists_from_one_that_does_not() {
    let server = TestServer::start().await;
    let (alice, stranger) = (server.register("alice").await, server.register("eve").await);
    // Without keys: no other endpoint tells of it.
    let (there, not_there) = (&alice.device_id, "NOWHERE");
    let mut answers = Vec::new();
    for device in [there.as_str(), not_there] {
        let get = stranger.get(&path!("v3/devices/{}", device)).await;
        let path = path!("v3/devices/{}", device);
        let put = stranger.put(&path, json!({ "display_name": "x" })).await;
        let claim = json!({ "one_time_keys": { &alice.user_id: { device: "signed_curve25519" } } });
        let claim = stranger.post("v3/keys/claim", claim).await;
        let messages = json!({ "messages": { &alice.user_id: { device: {} } } });
        let path = path!("v3/sendToDevice/m.test/{}", stranger.new_transaction());
        let send = stranger.put(&path, messages).await;
        let named = json!({ "device_keys": { &alice.user_id: [device] } });
        let query = stranger.post("v3/keys/query", named).await;
        let all = [get, put, claim, send, query];
        answers.push(all.map(|answer| (answer.status, answer.text)));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_stranger_does_not_hear_whose_devices_change() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let stranger = server.register("eve").await;
    let public = alice.create_public_room().await;
    alice.create_room_with(&[&bob]).await;
    let since = stranger.sync(None).await.next_batch;
    // Also not for having been invited, or for looking at a public room.
    alice.invite(&public, &stranger).await;
    DeviceKeys::generate(&alice).upload(&alice).await.ok();
    CrossSigningKeys::generate(&alice).upload(&alice).await.ok();
    let tablet = alice.log_in_again().await;
    tablet.post("v3/logout", json!({})).await.ok();
    let sync = stranger.sync(Some(since.clone())).await;
    assert!(sync.changed_devices().is_empty() && sync.left_devices().is_empty(), "{:#}", sync.json);
    let path = format!("v3/keys/changes?from={since}&to={}", sync.next_batch);
    let changes: Value = stranger.get(&path).await.ok();
    assert_eq!(changes, json!({ "changed": [], "left": [] }));
}
