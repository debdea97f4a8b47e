//! `/keys/signatures/upload`.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, TestServer, TestUser};
use serde_json::{Value, json};

const PATH: &str = "v3/keys/signatures/upload";

async fn query(asking: &TestUser, user: &TestUser) -> Value {
    let body = json!({ "device_keys": { &user.user_id: [] } });
    asking.post("v3/keys/query", body).await.ok()
}

/// A user with one device and cross-signing keys.
async fn user(server: &TestServer, name: &str) -> (TestUser, DeviceKeys, CrossSigningKeys) {
    let user = server.register(name).await;
    let device = DeviceKeys::generate(&user);
    device.upload(&user).await.ok();
    let keys = CrossSigningKeys::generate(&user);
    keys.upload(&user).await.ok();
    (user, device, keys)
}

/// Uploads one signed object; the error that it fails with, or `Null`.
async fn sign(signer: &TestUser, of: &TestUser, name: &str, object: Value) -> Value {
    let answer = signer.post(PATH, json!({ &of.user_id: { name: object } })).await.ok();
    answer["failures"][&of.user_id][name]["errcode"].clone()
}

#[tokio::test]
async fn a_device_signed_by_the_self_signing_key_is_seen_so_by_all() {
    let server = TestServer::start().await;
    let (alice, device, keys) = user(&server, "alice").await;
    let bob = server.register("bob").await;
    let signed = keys.sign_device(&device);
    assert_eq!(sign(&alice, &alice, &alice.device_id, signed).await, Value::Null);
    let expected =
        keys.self_signing.sign(device.object(), &alice.user_id, &keys.self_signing.public);
    let seen = query(&bob, &alice).await;
    assert_eq!(seen["device_keys"][&alice.user_id][&alice.device_id], expected);
    // The device's uploading its keys again does not lose it.
    device.upload(&alice).await.ok();
    let seen = query(&bob, &alice).await;
    assert_eq!(seen["device_keys"][&alice.user_id][&alice.device_id], expected);
}

#[tokio::test]
async fn a_master_key_signed_by_a_device_is_seen_so_by_all() {
    let server = TestServer::start().await;
    let (alice, device, keys) = user(&server, "alice").await;
    let bob = server.register("bob").await;
    let signed = device.sign(keys.master_key());
    assert_eq!(sign(&alice, &alice, &keys.master.public, signed.clone()).await, Value::Null);
    assert_eq!(query(&bob, &alice).await["master_keys"][&alice.user_id], signed);
}

#[tokio::test]
async fn what_somebody_says_of_others_is_for_their_own_eyes() {
    let server = TestServer::start().await;
    let (alice, _, keys) = user(&server, "alice").await;
    let (bob, _, theirs) = user(&server, "bob").await;
    let signed = keys.sign_master(&theirs);
    assert_eq!(sign(&alice, &bob, &theirs.master.public, signed.clone()).await, Value::Null);
    assert_eq!(query(&alice, &bob).await["master_keys"][&bob.user_id], signed);
    let carol = server.register("carol").await;
    for other in [&bob, &carol] {
        let seen = query(other, &bob).await["master_keys"][&bob.user_id].clone();
        assert!(seen["signatures"].get(&alice.user_id).is_none(), "{seen:#}");
    }
}

#[tokio::test]
async fn each_object_is_judged_by_itself() {
    let server = TestServer::start().await;
    let (alice, device, keys) = user(&server, "alice").await;
    let tablet = alice.log_in_again().await;
    let other = DeviceKeys::generate(&tablet);
    other.upload(&tablet).await.ok();
    let forged = device.ed25519.sign(other.unsigned(), &alice.user_id, &keys.self_signing.public);
    let body = json!({ &alice.user_id: {
        &alice.device_id: keys.sign_device(&device), &tablet.device_id: forged,
    }});
    let answer = alice.post(PATH, body).await.ok();
    let failures = answer["failures"][&alice.user_id].as_object().unwrap();
    assert_eq!(failures.keys().collect::<Vec<_>>(), [&tablet.device_id]);
    assert_eq!(failures[&tablet.device_id]["errcode"], "M_INVALID_SIGNATURE");
    let seen = query(&alice, &alice).await["device_keys"][&alice.user_id].clone();
    let signatures = |device: &TestUser| {
        seen[&device.device_id]["signatures"][&alice.user_id].as_object().unwrap().len()
    };
    assert_eq!((signatures(&alice), signatures(&tablet)), (2, 1));
}

#[tokio::test]
async fn what_is_not_there_or_not_the_same_is_refused() {
    let server = TestServer::start().await;
    let (alice, device, keys) = user(&server, "alice").await;
    let (bob, bobs_device, theirs) = user(&server, "bob").await;
    let signed = keys.sign_device(&device);
    assert_eq!(sign(&alice, &alice, "NOWHERE", signed.clone()).await, "M_NOT_FOUND");
    let mut changed = device.unsigned();
    changed["algorithms"] = json!([]);
    let key = &keys.self_signing;
    let changed = key.sign(changed, &alice.user_id, &key.public);
    assert_eq!(sign(&alice, &alice, &alice.device_id, changed).await, "M_INVALID_PARAM");
    // Nobody signs another's device.
    let of_bob = keys.sign_device(&bobs_device);
    assert_eq!(sign(&alice, &bob, &bob.device_id, of_bob).await, "M_NOT_FOUND");
    let old = CrossSigningKeys::generate(&bob);
    let of_old = keys.sign_master(&old);
    assert_eq!(sign(&alice, &bob, &old.master.public, of_old).await, "M_NOT_FOUND");
    let mut other_usage = theirs.master_key();
    other_usage["usage"] = json!(["master", "self_signing"]);
    let key = &keys.user_signing;
    let other_usage = key.sign(other_usage, &alice.user_id, &key.public);
    let name = &theirs.master.public;
    assert_eq!(sign(&alice, &bob, name, other_usage).await, "M_INVALID_PARAM");
    let body = json!({ "@far:elsewhere.test": { "X": signed } });
    let answer = alice.post(PATH, body).await.ok();
    assert_eq!(answer["failures"]["@far:elsewhere.test"]["X"]["errcode"], "M_NOT_FOUND");
    server.anonymous().post(PATH, json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_signature_of_an_old_user_signing_key_is_not_shown() {
    let server = TestServer::start().await;
    let (alice, _, keys) = user(&server, "alice").await;
    let (bob, _, theirs) = user(&server, "bob").await;
    let signed = keys.sign_master(&theirs);
    assert_eq!(sign(&alice, &bob, &theirs.master.public, signed).await, Value::Null);
    let newer = CrossSigningKeys::generate(&alice);
    let mut body = newer.object();
    let session = newer.upload(&alice).await["session"].clone();
    body["auth"] = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
        "session": session,
    });
    alice.post("v3/keys/device_signing/upload", body).await.ok();
    assert_eq!(query(&alice, &bob).await["master_keys"][&bob.user_id], theirs.master_key());
}
