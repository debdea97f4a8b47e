//! `/keys/upload` and `/keys/query`.

use kith_spec_tests::{Answer, DeviceKeys, TestServer, TestUser, path, random_key};
use serde_json::{Value, json};

async fn upload(user: &TestUser, device_keys: Value) -> Answer {
    user.post("v3/keys/upload", json!({ "device_keys": device_keys })).await
}

async fn query(asking: &TestUser, user: &TestUser) -> Value {
    let body = json!({ "device_keys": { &user.user_id: [] } });
    asking.post("v3/keys/query", body).await.ok()
}

#[tokio::test]
async fn a_device_is_found_as_it_was_uploaded_with_its_display_name() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let path = path!("v3/devices/{}", alice.device_id);
    alice.put(&path, json!({ "display_name": "Telephone" })).await.ok();
    let keys = DeviceKeys::generate(&alice);
    let answer = keys.upload(&alice).await.ok();
    assert_eq!(answer, json!({ "one_time_key_counts": { "signed_curve25519": 0 } }));
    let mut expected = keys.object();
    expected["unsigned"] = json!({ "device_display_name": "Telephone" });
    let found = query(&bob, &alice).await;
    assert_eq!(found["device_keys"][&alice.user_id], json!({ &alice.device_id: expected }));
    assert!(found["failures"].as_object().is_none_or(serde_json::Map::is_empty));
}

#[tokio::test]
async fn devices_are_asked_for_by_name_or_all_at_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (tablet, no_keys) = (alice.log_in_again().await, alice.log_in_again().await);
    for device in [&alice, &tablet] {
        DeviceKeys::generate(device).upload(device).await.ok();
    }
    let names = |found: &Value| -> Vec<String> {
        let devices = found["device_keys"][&alice.user_id].as_object().unwrap();
        devices.keys().cloned().collect()
    };
    let mut both = vec![alice.device_id.clone(), tablet.device_id.clone()];
    both.sort();
    assert_eq!(names(&query(&bob, &alice).await), both);
    let asked = json!({ &alice.user_id: [tablet.device_id, no_keys.device_id, "NOWHERE"] });
    let found = bob.post("v3/keys/query", json!({ "device_keys": asked })).await.ok();
    assert_eq!(names(&found), [tablet.device_id.clone()]);
}

#[tokio::test]
async fn users_that_are_not_here_are_missing_and_other_servers_are_failures() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let asked = json!({ &alice.user_id: [], "@nobody:kith.test": [], "@far:elsewhere.test": [] });
    let found = alice.post("v3/keys/query", json!({ "device_keys": asked })).await.ok();
    assert_eq!(found["device_keys"], json!({ &alice.user_id: {} }));
    assert!(found["failures"]["elsewhere.test"].is_object());
    assert_eq!(found["failures"].as_object().unwrap().len(), 1);
    alice.post("v3/keys/query", json!({})).await.error(400, "M_BAD_JSON");
    let nobody = server.anonymous();
    nobody.post("v3/keys/query", json!({ "device_keys": {} })).await.error(401, "M_MISSING_TOKEN");
    nobody.post("v3/keys/upload", json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn keys_of_another_user_or_device_are_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = alice.log_in_again().await;
    for other in [&bob, &tablet] {
        upload(&alice, DeviceKeys::generate(other).object()).await.error(400, "M_BAD_JSON");
    }
    // The IDs of the keys must name the device too.
    let keys = DeviceKeys::generate(&alice);
    let mut object = keys.unsigned();
    object["keys"]["ed25519:OTHER"] = random_key().into();
    upload(&alice, keys.sign(object)).await.error(400, "M_BAD_JSON");
    assert_eq!(query(&bob, &alice).await["device_keys"][&alice.user_id], json!({}));
}

#[tokio::test]
async fn keys_without_the_devices_own_signature_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (keys, other) = (DeviceKeys::generate(&alice), DeviceKeys::generate(&alice));
    let mut none = keys.object();
    none["signatures"] = json!({});
    let forged = other.ed25519.sign(keys.unsigned(), &alice.user_id, &alice.device_id);
    let mut changed = keys.object();
    changed["algorithms"] = json!(["m.megolm.v1.aes-sha2"]);
    let mut malformed = keys.object();
    let id = format!("ed25519:{}", alice.device_id);
    malformed["signatures"][&alice.user_id][&id] = "no base64 at all".into();
    for bad in [none, forged, changed, malformed] {
        upload(&alice, bad).await.error(400, "M_INVALID_SIGNATURE");
    }
    assert_eq!(query(&alice, &alice).await["device_keys"][&alice.user_id], json!({}));
}

#[tokio::test]
async fn signatures_of_others_and_what_the_device_says_of_unsigned_are_not_kept() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (keys, theirs) = (DeviceKeys::generate(&alice), DeviceKeys::generate(&bob));
    let mut object = theirs.sign(keys.object());
    object = theirs.ed25519.sign(object, &alice.user_id, "OTHER");
    object["unsigned"] = json!({ "device_display_name": "not mine to say" });
    upload(&alice, object).await.ok();
    let found = query(&bob, &alice).await;
    assert_eq!(found["device_keys"][&alice.user_id][&alice.device_id], keys.object());
}

#[tokio::test]
async fn the_identity_keys_of_a_device_never_change() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    keys.upload(&alice).await.ok();
    let others = DeviceKeys::generate(&alice);
    others.upload(&alice).await.error(400, "M_INVALID_PARAM");
    let found = query(&alice, &alice).await;
    assert_eq!(found["device_keys"][&alice.user_id][&alice.device_id], keys.object());
    // What else it says of itself may.
    let mut object = keys.unsigned();
    object["algorithms"] = json!(["m.megolm.v1.aes-sha2"]);
    upload(&alice, keys.sign(object.clone())).await.ok();
    let found = query(&alice, &alice).await;
    assert_eq!(found["device_keys"][&alice.user_id][&alice.device_id], keys.sign(object));
}

#[tokio::test]
async fn a_device_that_is_gone_is_gone_with_its_keys() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = alice.log_in_again().await;
    let keys = DeviceKeys::generate(&tablet);
    let body = json!({
        "device_keys": keys.object(),
        "one_time_keys": keys.one_time_keys("A", 3),
        "fallback_keys": { "signed_curve25519:F": keys.fallback_key() },
    });
    tablet.post("v3/keys/upload", body).await.ok();
    tablet.post("v3/logout", json!({})).await.ok();
    let claim = json!({
        "one_time_keys": { &alice.user_id: { &tablet.device_id: "signed_curve25519" } },
    });
    for round in 0..2 {
        let found = query(&bob, &alice).await;
        assert_eq!(found["device_keys"][&alice.user_id], json!({}), "round {round}");
        let claimed = bob.post("v3/keys/claim", claim.clone()).await.ok();
        assert_eq!(claimed["one_time_keys"], json!({}), "round {round}");
        server.restart().await;
    }
}
