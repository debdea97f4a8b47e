//! One-time and fallback keys: `/keys/upload` and `/keys/claim`.

use std::collections::BTreeSet;

use kith_spec_tests::{Answer, DeviceKeys, TestServer, TestUser};
use serde_json::{Map, Value, json};

async fn upload(user: &TestUser, one_time: Value, fallback: Value) -> Answer {
    let body = json!({ "one_time_keys": one_time, "fallback_keys": fallback });
    user.post("v3/keys/upload", body).await
}

/// The claimed key's ID and object; `None` if there was none.
async fn claim(from: &TestUser, device: &TestUser) -> Option<(String, Value)> {
    claim_of(from, device, "signed_curve25519").await
}

async fn claim_of(from: &TestUser, device: &TestUser, algorithm: &str) -> Option<(String, Value)> {
    let asked = json!({ &device.user_id: { &device.device_id: algorithm } });
    let answer = from.post("v3/keys/claim", json!({ "one_time_keys": asked })).await.ok();
    let keys = answer["one_time_keys"][&device.user_id][&device.device_id].as_object()?.clone();
    assert_eq!(keys.len(), 1, "one key of a device: {keys:?}");
    keys.into_iter().next()
}

fn counted(sync: &kith_spec_tests::Sync) -> u64 {
    sync.json["device_one_time_keys_count"]["signed_curve25519"].as_u64().expect("a count")
}

#[tokio::test]
async fn each_one_time_key_is_given_out_once_in_the_order_of_upload() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    // The second upload sorts before the first.
    let uploads = [keys.one_time_keys("B", 2), keys.one_time_keys("A", 2)];
    for (n, upload_keys) in uploads.iter().enumerate() {
        let answer = upload(&alice, upload_keys.clone(), json!({})).await.ok();
        assert_eq!(answer["one_time_key_counts"]["signed_curve25519"], 2 * (n + 1));
    }
    for uploaded in &uploads {
        let mut given = Map::new();
        for _ in 0..2 {
            given.extend(claim(&bob, &alice).await);
        }
        assert_eq!(Value::from(given), *uploaded);
    }
    assert_eq!(claim(&bob, &alice).await, None);
}

#[tokio::test]
async fn the_fallback_key_is_given_out_when_nothing_else_is_left() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    let fallback = json!({ "signed_curve25519:F": keys.fallback_key() });
    upload(&alice, keys.one_time_keys("A", 1), fallback.clone()).await.ok();
    let unused = |sync: &kith_spec_tests::Sync| -> Value {
        sync.json["device_unused_fallback_key_types"].clone()
    };
    let sync = alice.sync(None).await;
    assert_eq!(unused(&sync), json!(["signed_curve25519"]));
    assert_eq!(claim(&bob, &alice).await.unwrap().0, "signed_curve25519:A0");
    let key = claim(&bob, &alice).await.unwrap();
    assert_eq!(key, ("signed_curve25519:F".to_owned(), fallback["signed_curve25519:F"].clone()));
    assert_eq!(unused(&alice.sync(Some(sync.next_batch)).await), json!([]));
    server.restart().await;
    assert_eq!(claim(&bob, &alice).await.unwrap(), key);
    assert_eq!(unused(&alice.sync(None).await), json!([]));
    // The same key again is still a used one; another is not.
    upload(&alice, json!({}), fallback).await.ok();
    assert_eq!(unused(&alice.sync(None).await), json!([]));
    let newer = json!({ "signed_curve25519:G": keys.fallback_key() });
    upload(&alice, json!({}), newer).await.ok();
    assert_eq!(unused(&alice.sync(None).await), json!(["signed_curve25519"]));
    assert_eq!(claim(&bob, &alice).await.unwrap().0, "signed_curve25519:G");
}

#[tokio::test]
async fn a_thousand_claims_at_once_get_a_hundred_different_keys_and_then_the_fallback() {
    let server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    let fallback = json!({ "signed_curve25519:F": keys.fallback_key() });
    upload(&alice, keys.one_time_keys("A", 100), fallback).await.ok();
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (alice, bob) = (alice.clone(), bob.clone());
        claims.spawn(async move { claim(&bob, &alice).await.expect("there is the fallback").0 });
    }
    let given = claims.join_all().await;
    let fallback = "signed_curve25519:F";
    let once: Vec<_> = given.iter().filter(|id| *id != fallback).collect();
    assert_eq!(once.len(), 100);
    assert_eq!(once.iter().collect::<BTreeSet<_>>().len(), 100, "a key was given out twice");
    assert_eq!(counted(&alice.sync(None).await), 0);
}

#[tokio::test]
async fn several_devices_are_claimed_at_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = alice.log_in_again().await;
    for device in [&alice, &tablet, &bob] {
        let keys = DeviceKeys::generate(device);
        upload(device, keys.one_time_keys("A", 1), json!({})).await.ok();
    }
    let all = "signed_curve25519";
    let body = json!({ "timeout": 10_000, "one_time_keys": {
        &alice.user_id: { &alice.device_id: all, &tablet.device_id: all, "NOWHERE": all },
        &bob.user_id: { &bob.device_id: all },
        "@nobody:kith.test": { "X": all },
        "@far:elsewhere.test": { "X": all },
    }});
    let claimed = bob.post("v3/keys/claim", body).await.ok();
    let devices = |user: &TestUser| -> BTreeSet<String> {
        let devices = claimed["one_time_keys"][&user.user_id].as_object().unwrap();
        devices.keys().cloned().collect()
    };
    assert_eq!(devices(&alice), [alice.device_id.clone(), tablet.device_id.clone()].into());
    assert_eq!(devices(&bob), [bob.device_id.clone()].into());
    assert_eq!(claimed["one_time_keys"].as_object().unwrap().len(), 2);
    assert!(claimed["failures"]["elsewhere.test"].is_object());
}

#[tokio::test]
async fn a_device_hears_at_once_how_many_keys_it_has_left() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let first = alice.sync(None).await;
    assert_eq!(counted(&first), 0);
    let keys = DeviceKeys::generate(&alice);
    upload(&alice, keys.one_time_keys("A", 5), json!({})).await.ok();
    let second = alice.sync(Some(first.next_batch)).await;
    assert_eq!(counted(&second), 5);
    let waiting = alice.syncing(Some(second.next_batch)).timeout(60_000);
    let (third, _) = tokio::join!(waiting.get(), claim(&bob, &alice));
    assert_eq!(counted(&third), 4);
}

#[tokio::test]
async fn a_key_that_was_given_out_is_not_taken_again() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    let uploaded = keys.one_time_keys("A", 2);
    upload(&alice, uploaded.clone(), json!({})).await.ok();
    let first = claim(&bob, &alice).await.unwrap();
    server.restart().await;
    // The answer to the upload was lost, and the client repeats it.
    let answer = upload(&alice, uploaded, json!({})).await.ok();
    assert_eq!(answer["one_time_key_counts"]["signed_curve25519"], 1);
    assert_ne!(claim(&bob, &alice).await.unwrap(), first);
    assert_eq!(claim(&bob, &alice).await, None);
}

#[tokio::test]
async fn another_key_under_the_same_name_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    upload(&alice, keys.one_time_keys("A", 1), json!({})).await.ok();
    let answer = upload(&alice, keys.one_time_keys("A", 1), json!({})).await;
    let error = answer.error(400, "M_INVALID_PARAM");
    // matrix-sdk tells its user by this text.
    let text = error["error"].as_str().unwrap();
    assert!(text.starts_with("One time key signed_curve25519:A0 already exists."), "{text}");
}

#[tokio::test]
async fn an_algorithm_has_keys_of_its_own() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    let mut both = keys.one_time_keys("A", 1);
    both["curve25519:A0"] = "the key itself".into();
    let answer = upload(&alice, both, json!({})).await.ok();
    let counts = json!({ "signed_curve25519": 1, "curve25519": 1 });
    assert_eq!(answer["one_time_key_counts"], counts);
    let key = claim_of(&bob, &alice, "curve25519").await;
    assert_eq!(key, Some(("curve25519:A0".to_owned(), json!("the key itself"))));
    assert_eq!(claim_of(&bob, &alice, "curve25519").await, None);
    assert!(claim(&bob, &alice).await.is_some());
}

#[tokio::test]
async fn what_is_no_key_or_too_much_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    for bad in [json!("text"), json!({}), json!({ "key": 1, "signatures": {} }), Value::Null] {
        let named = json!({ "signed_curve25519:A": bad });
        upload(&alice, named.clone(), json!({})).await.error(400, "M_BAD_JSON");
        upload(&alice, json!({}), named).await.error(400, "M_BAD_JSON");
    }
    upload(&alice, json!({ "nocolon": {} }), json!({})).await.error(400, "M_BAD_JSON");
    let mut large = keys.one_time_key();
    large["text"] = "x".repeat(5_000).into();
    let large = json!({ "signed_curve25519:A": large });
    upload(&alice, large, json!({})).await.error(413, "M_TOO_LARGE");
    let key = keys.one_time_key();
    let many: Map<_, _> =
        (0..1_001).map(|n| (format!("signed_curve25519:{n}"), key.clone())).collect();
    upload(&alice, many.into(), json!({})).await.error(400, "M_INVALID_PARAM");
    let two = json!({
        "signed_curve25519:A": keys.fallback_key(), "signed_curve25519:B": keys.fallback_key(),
    });
    upload(&alice, json!({}), two).await.error(400, "M_INVALID_PARAM");
    assert_eq!(counted(&alice.sync(None).await), 0);
    let nobody = server.anonymous();
    let answer = nobody.post("v3/keys/claim", json!({ "one_time_keys": {} })).await;
    answer.error(401, "M_MISSING_TOKEN");
    alice.post("v3/keys/claim", json!({})).await.error(400, "M_BAD_JSON");
}
