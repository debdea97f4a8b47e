//! `/keys/device_signing/upload`.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, TestServer, TestUser, random_key};
use serde_json::{Value, json};

const PATH: &str = "v3/keys/device_signing/upload";

async fn query(asking: &TestUser, user: &TestUser) -> Value {
    let body = json!({ "device_keys": { &user.user_id: [] } });
    asking.post("v3/keys/query", body).await.ok()
}

fn auth(user: &TestUser, session: &Value) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.user_id },
        "password": user.password,
        "session": session,
    })
}

#[tokio::test]
async fn the_first_keys_need_no_password_and_neither_do_the_same_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigningKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    keys.upload(&alice).await.ok();
    alice.post(PATH, json!({ "master_key": keys.master_key() })).await.ok();
    alice.post(PATH, json!({ "self_signing_key": keys.self_signing_key() })).await.ok();
}

#[tokio::test]
async fn other_keys_need_the_password() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigningKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    let others = CrossSigningKeys::generate(&alice);
    let answer = others.upload(&alice).await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(query(&alice, &alice).await["master_keys"][&alice.user_id], keys.master_key());
    let mut body = others.object();
    body["auth"] = auth(&alice, &answer["session"]);
    // What was confirmed is these keys and no others.
    let mut swapped = CrossSigningKeys::generate(&alice).object();
    swapped["auth"] = body["auth"].clone();
    assert_eq!(alice.post(PATH, swapped).await.status, 401);
    alice.post(PATH, body).await.ok();
    let found = query(&alice, &alice).await;
    assert_eq!(found["master_keys"][&alice.user_id], others.master_key());
    assert_eq!(found["self_signing_keys"][&alice.user_id], others.self_signing_key());
}

#[tokio::test]
async fn a_new_self_signing_key_needs_the_password_too() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigningKeys::generate(&alice);
    alice.post(PATH, json!({ "master_key": keys.master_key() })).await.ok();
    let body = json!({ "self_signing_key": keys.self_signing_key() });
    assert_eq!(alice.post(PATH, body).await.status, 401);
}

#[tokio::test]
async fn others_see_the_master_and_self_signing_key_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = CrossSigningKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    let own = query(&alice, &alice).await;
    assert_eq!(own["user_signing_keys"], json!({ &alice.user_id: keys.user_signing_key() }));
    let seen = query(&bob, &alice).await;
    assert_eq!(seen["master_keys"], json!({ &alice.user_id: keys.master_key() }));
    assert_eq!(seen["self_signing_keys"], json!({ &alice.user_id: keys.self_signing_key() }));
    assert!(seen["user_signing_keys"].get(&alice.user_id).is_none(), "{seen:#}");
}

#[tokio::test]
async fn keys_that_the_master_key_did_not_sign_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (keys, other) = (CrossSigningKeys::generate(&alice), CrossSigningKeys::generate(&alice));
    for field in ["self_signing_key", "user_signing_key"] {
        let alone = json!({ field: keys.object()[field] });
        alice.post(PATH, alone).await.error(400, "M_MISSING_PARAM");
        let mut unsigned = keys.object();
        unsigned[field].as_object_mut().unwrap().remove("signatures");
        alice.post(PATH, unsigned).await.error(400, "M_INVALID_SIGNATURE");
        let mut of_other = keys.object();
        of_other[field] = other.object()[field].clone();
        alice.post(PATH, of_other).await.error(400, "M_INVALID_SIGNATURE");
    }
    assert!(query(&alice, &alice).await["master_keys"].get(&alice.user_id).is_none());
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = CrossSigningKeys::generate(&alice);
    let public = &keys.master.public;
    let master = |change: &dyn Fn(&mut Value)| {
        let mut master = keys.master_key();
        change(&mut master);
        json!({ "master_key": master })
    };
    let bad = [
        json!({ "master_key": CrossSigningKeys::generate(&bob).master_key() }),
        json!({ "master_key": "text" }),
        master(&|key| key["usage"] = json!(["self_signing"])),
        master(&|key| key["usage"] = json!([])),
        master(&|key| key["keys"] = json!({})),
        master(&|key| key["keys"] = json!({ format!("ed25519:{public}"): random_key() })),
        master(&|key| key["keys"] = json!({ "ed25519:short": "short" })),
        master(&|key| key["keys"][format!("ed25519:{}", random_key())] = random_key().into()),
    ];
    for body in bad {
        alice.post(PATH, body).await.error(400, "M_BAD_JSON");
    }
    let large = master(&|key| key["text"] = "x".repeat(20_000).into());
    alice.post(PATH, large).await.error(413, "M_TOO_LARGE");
    let nobody = server.anonymous();
    nobody.post(PATH, keys.object()).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_public_key_that_is_a_devices_name_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let keys = CrossSigningKeys::generate(&alice);
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
        "device_id": keys.self_signing.public,
    });
    let answer = server.anonymous().post("v3/login", body).await;
    let device = alice.signed_in(&answer, &alice.password);
    keys.upload(&alice).await.error(403, "M_FORBIDDEN");
    device.post("v3/logout", json!({})).await.ok();
    keys.upload(&alice).await.ok();
    // Nor the other way round.
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
        "device_id": keys.master.public,
    });
    let answer = server.anonymous().post("v3/login", body).await;
    let device = alice.signed_in(&answer, &alice.password);
    DeviceKeys::generate(&device).upload(&device).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_new_master_key_leaves_nothing_that_the_old_one_signed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    CrossSigningKeys::generate(&alice).upload(&alice).await.ok();
    let keys = CrossSigningKeys::generate(&alice);
    let mut body = json!({ "master_key": keys.master_key() });
    let session = alice.post(PATH, body.clone()).await["session"].clone();
    body["auth"] = auth(&alice, &session);
    alice.post(PATH, body).await.ok();
    let found = query(&alice, &alice).await;
    assert_eq!(found["master_keys"][&alice.user_id], keys.master_key());
    for gone in ["self_signing_keys", "user_signing_keys"] {
        assert!(found[gone].get(&alice.user_id).is_none(), "{found:#}");
    }
}
