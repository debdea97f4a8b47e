//! `user/keys/query`, `user/keys/claim`.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, RemoteServer, TestServer, TestUser};
use serde_json::json;

async fn scene() -> (TestServer, TestUser, DeviceKeys, RemoteServer) {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    (server, alice, keys, RemoteServer::start().await)
}

#[tokio::test]
async fn the_keys_of_users_are_told_without_what_they_call_their_devices() {
    let (server, alice, keys, remote) = scene().await;
    let cross_signing = CrossSigningKeys::generate(&alice);
    cross_signing.upload(&alice).await.ok();
    let user = alice.user_id.as_str();
    let body = json!({ "device_keys": { user: [], remote.user("bob"): [] } });
    let told = remote.post(&server, "v1/user/keys/query", body).await.ok();
    let device = &told["device_keys"][user][&alice.device_id];
    assert_eq!(device["keys"], keys.object()["keys"]);
    assert!(device.get("unsigned").is_none(), "{device}");
    assert_eq!(told["master_keys"][user]["user_id"], user);
    assert_eq!(told["self_signing_keys"][user]["user_id"], user);
    assert!(told.get("user_signing_keys").is_none());
    assert_eq!(told["device_keys"].as_object().map(|users| users.len()), Some(1));

    let body = json!({ "device_keys": { user: ["OTHER"] } });
    let told = remote.post(&server, "v1/user/keys/query", body).await.ok();
    assert_eq!(told["device_keys"][user], json!({}));
    let body = json!({ "device_keys": [] });
    remote.post(&server, "v1/user/keys/query", body).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn each_one_time_key_is_given_out_once() {
    let (server, alice, keys, remote) = scene().await;
    let body = json!({ "one_time_keys": { "signed_curve25519:A": keys.one_time_key() } });
    alice.post("v3/keys/upload", body).await.ok();
    let body = json!({
        "one_time_keys": { &alice.user_id: { &alice.device_id: "signed_curve25519" } },
    });
    let claim = async || remote.post(&server, "v1/user/keys/claim", body.clone()).await.ok();
    let first = claim().await;
    let device = &first["one_time_keys"][&alice.user_id][&alice.device_id];
    assert!(device["signed_curve25519:A"]["key"].is_string(), "{first}");
    assert_eq!(claim().await["one_time_keys"], json!({}));
    remote.post(&server, "v1/user/keys/claim", json!({})).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn one_request_asks_for_a_thousand_users_at_most() {
    let (server, _, _, remote) = scene().await;
    let users = (0..1_001).map(|n| (format!("@u{n}:{}", server.name()), json!([])));
    let body = json!({ "device_keys": serde_json::Map::from_iter(users) });
    let answer = remote.post(&server, "v1/user/keys/query", body).await;
    answer.error(400, "M_INVALID_PARAM");
}
