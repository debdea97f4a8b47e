//! Device keys that are not validated when they come break others later: CVE-2025-61672.

use kith_spec_tests::{DeviceKeys, TestServer, TestUser};
use serde_json::{Value, json};

async fn stored(user: &TestUser) -> Value {
    let body = json!({ "device_keys": { &user.user_id: [] } });
    user.post("v3/keys/query", body).await.ok()["device_keys"][&user.user_id].clone()
}

/// Things that are no user ID, no list of names and no map of keys.
fn nonsense() -> Vec<Value> {
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!([{ "a": deep }]);
    }
    let text = json!("text");
    vec![Value::Null, json!(7), json!(1.5), json!(true), text, json!([1]), json!({ "a": 1 }), deep]
}

#[tokio::test]
async fn device_keys_of_wrong_types_are_refused_whole() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    for field in ["user_id", "device_id", "algorithms", "keys", "signatures"] {
        for value in nonsense() {
            let mut object = keys.unsigned();
            object[field] = value.clone();
            // Signed too, where it can be: it is the type that is wrong.
            if field != "signatures" && serde_json::to_string(&value).unwrap() != "1.5" {
                object = keys.sign(object);
            }
            let body = json!({ "device_keys": object });
            let answer = alice.post("v3/keys/upload", body).await;
            assert_eq!(answer.status, 400, "{field}: {value}\n{answer}");
            assert!(matches!(answer.errcode(), "M_BAD_JSON" | "M_INVALID_SIGNATURE"), "{answer}");
        }
    }
    for key in nonsense() {
        let mut object = keys.unsigned();
        object["keys"][format!("ed25519:{}", alice.device_id)] = key;
        let body = json!({ "device_keys": object });
        assert_eq!(alice.post("v3/keys/upload", body).await.status, 400);
    }
    for whole in [json!(1), json!("text"), json!([]), json!({})] {
        let body = json!({ "device_keys": whole });
        alice.post("v3/keys/upload", body).await.error(400, "M_BAD_JSON");
    }
    assert_eq!(stored(&alice).await, json!({}));
}

#[tokio::test]
async fn device_keys_that_are_too_large_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = DeviceKeys::generate(&alice);
    let upload = async |object: Value| {
        alice.post("v3/keys/upload", json!({ "device_keys": keys.sign(object) })).await
    };
    for size in [20_000, 1_000_000] {
        let mut object = keys.unsigned();
        object["padding"] = "x".repeat(size).into();
        upload(object).await.error(413, "M_TOO_LARGE");
    }
    let mut many = keys.unsigned();
    for n in 0..100 {
        many["keys"][format!("other{n}:{}", alice.device_id)] = "x".into();
    }
    upload(many).await.error(413, "M_TOO_LARGE");
    let mut long = keys.unsigned();
    long["keys"][format!("other:{}", alice.device_id)] = "x".repeat(300).into();
    upload(long).await.error(413, "M_TOO_LARGE");
    let mut algorithms = keys.unsigned();
    algorithms["algorithms"] = vec!["m.x"; 100].into();
    upload(algorithms).await.error(413, "M_TOO_LARGE");
    assert_eq!(stored(&alice).await, json!({}));
    keys.upload(&alice).await.ok();
}

#[tokio::test]
async fn nobody_uploads_keys_in_the_name_of_another_user_or_device() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = alice.log_in_again().await;
    for (user, device) in [
        (&bob.user_id, &bob.device_id),
        (&bob.user_id, &alice.device_id),
        (&alice.user_id, &tablet.device_id),
        (&alice.user_id, &"NOWHERE".to_owned()),
        (&"@alice:elsewhere.test".to_owned(), &alice.device_id),
    ] {
        let object = DeviceKeys::named(user, device).object();
        let body = json!({ "device_keys": object });
        alice.post("v3/keys/upload", body).await.error(400, "M_BAD_JSON");
    }
    assert_eq!(stored(&alice).await, json!({}));
    assert_eq!(stored(&bob).await, json!({}));
}
