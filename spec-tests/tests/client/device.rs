//! A user's own devices.

use kith_spec_tests::{Answer, TestServer, TestUser, path};
use serde_json::{Value, json};

fn auth(user: &TestUser, session: &Value) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.user_id },
        "password": user.password,
        "session": session,
    })
}

#[track_caller]
fn session(answer: &Answer) -> Value {
    assert_eq!(answer.status, 401, "{answer}");
    answer["session"].clone()
}

async fn device_ids(user: &TestUser) -> Vec<String> {
    let answer = user.get("v3/devices").await.ok();
    let devices = answer["devices"].as_array().expect("a list").iter();
    let mut ids: Vec<_> =
        devices.map(|device| device["device_id"].as_str().unwrap_or_default().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_user_sees_their_own_devices_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.log_in_again().await;
    let bob = server.register("bob").await;
    let mut expected = [alice.device_id.clone(), other.device_id.clone()];
    expected.sort();
    assert_eq!(device_ids(&alice).await, expected);
    let device = alice.get(&path!("v3/devices/{}", other.device_id)).await.ok();
    assert_eq!(device["device_id"], other.device_id);
    assert!(device["last_seen_ts"].is_u64());
    bob.get(&path!("v3/devices/{}", alice.device_id)).await.error(404, "M_NOT_FOUND");
    alice.get("v3/devices/NOWHERE").await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_device_is_seen_where_its_requests_come_from() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get("v3/account/whoami").await.ok();
    let device = alice.get(&path!("v3/devices/{}", alice.device_id)).await.ok();
    assert_eq!(device["last_seen_ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_device_can_be_renamed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let path = path!("v3/devices/{}", alice.device_id);
    alice.put(&path, json!({ "display_name": "Laptop 💻" })).await.ok();
    assert_eq!(alice.get(&path).await.ok()["display_name"], "Laptop 💻");
    alice.put(&path, json!({})).await.ok();
    assert_eq!(alice.get(&path).await.ok()["display_name"], "Laptop 💻");
    let long = json!({ "display_name": "x".repeat(1025) });
    alice.put(&path, long).await.error(400, "M_INVALID_PARAM");
    alice.put(&path, json!({ "display_name": 7 })).await.error(400, "M_BAD_JSON");
    let name = json!({ "display_name": "mine" });
    bob.put(&path, name.clone()).await.error(404, "M_NOT_FOUND");
    alice.put("v3/devices/NOWHERE", name).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_deleted_device_is_signed_out_at_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.log_in_again().await;
    other.get("v3/account/whoami").await.ok();
    let path = path!("v3/devices/{}", other.device_id);
    let session = session(&alice.delete(&path, json!({})).await);
    other.get("v3/account/whoami").await.ok();
    alice.delete(&path, json!({ "auth": auth(&alice, &session) })).await.ok();
    other.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(device_ids(&alice).await, [alice.device_id.as_str()]);
}

#[tokio::test]
async fn many_devices_can_be_deleted_at_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let (a, b) = (alice.log_in_again().await, alice.log_in_again().await);
    let mut body = json!({ "devices": [a.device_id, b.device_id, "NOWHERE", bob.device_id] });
    let session = session(&alice.post("v3/delete_devices", body.clone()).await);
    body["auth"] = auth(&alice, &session);
    alice.post("v3/delete_devices", body).await.ok();
    a.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    b.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    bob.get("v3/account/whoami").await.ok();
    assert_eq!(device_ids(&alice).await, [alice.device_id.as_str()]);
}

/// What was confirmed for one list of devices is not confirmed for another.
#[tokio::test]
async fn the_list_cannot_be_changed_between_the_stages() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (a, b) = (alice.log_in_again().await, alice.log_in_again().await);
    let asked = alice.post("v3/delete_devices", json!({ "devices": [a.device_id] })).await;
    let auth = auth(&alice, &session(&asked));
    let body = json!({ "devices": [b.device_id], "auth": auth });
    session(&alice.post("v3/delete_devices", body).await);
    b.get("v3/account/whoami").await.ok();
}

#[tokio::test]
async fn malformed_lists_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.post("v3/delete_devices", json!({})).await.error(400, "M_BAD_JSON");
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let answer = alice.post("v3/delete_devices", json!({ "devices": many })).await;
    answer.error(400, "M_INVALID_PARAM");
}
