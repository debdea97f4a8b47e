//! What clients keep on the server for their user.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn account_data_is_kept_and_replaced() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = path!("v3/user/{}/account_data/{}", alice.user_id, "com.example.settings");
    alice.get(&path).await.error(404, "M_NOT_FOUND");
    for content in [json!({ "theme": "dark" }), json!({}), json!({ "n": [1, { "deep": null }] })] {
        alice.put(&path, content.clone()).await.ok();
        assert_eq!(alice.get(&path).await.ok(), content);
    }
}

#[tokio::test]
async fn account_data_reaches_the_next_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let since = alice.sync(None).await.next_batch;
    let path = path!("v3/user/{}/account_data/{}", alice.user_id, "m.direct");
    let content = json!({ "@bob:kith.test": ["!a:kith.test"] });
    alice.put(&path, content.clone()).await.ok();
    let sync = alice.sync(Some(since)).await;
    assert_eq!(sync.account_data().last("m.direct").expect("it is there")["content"], content);
}

#[tokio::test]
async fn account_data_survives_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let path = path!("v3/user/{}/account_data/{}", alice.user_id, "com.example.settings");
    alice.put(&path, json!({ "theme": "dark" })).await.ok();
    server.restart().await;
    assert_eq!(alice.get(&path).await.ok(), json!({ "theme": "dark" }));
}

#[tokio::test]
async fn a_rooms_account_data_are_apart_from_the_others() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (a, b) = (alice.create_room().await, alice.create_room().await);
    let in_room = |room: &str| {
        path!("v3/user/{}/rooms/{}/account_data/{}", alice.user_id, room, "com.example.x")
    };
    alice.put(&in_room(&a), json!({ "in": "a" })).await.ok();
    assert_eq!(alice.get(&in_room(&a)).await.ok(), json!({ "in": "a" }));
    alice.get(&in_room(&b)).await.error(404, "M_NOT_FOUND");
    let global = path!("v3/user/{}/account_data/{}", alice.user_id, "com.example.x");
    alice.get(&global).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn nobody_reads_or_writes_another_users_data() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room().await;
    let paths = [
        path!("v3/user/{}/account_data/{}", alice.user_id, "com.example.x"),
        path!("v3/user/{}/rooms/{}/account_data/{}", alice.user_id, room, "com.example.x"),
    ];
    for path in paths {
        bob.get(&path).await.error(403, "M_FORBIDDEN");
        bob.put(&path, json!({})).await.error(403, "M_FORBIDDEN");
        server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
    }
}

/// A room that somebody else has is told from none at all by nobody.
#[tokio::test]
async fn rooms_one_has_nothing_to_do_with_hold_no_data() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room().await;
    let mut answers = Vec::new();
    for room in [room.as_str(), "!nowhere:kith.test"] {
        let path = path!("v3/user/{}/rooms/{}/account_data/{}", bob.user_id, room, "a.b");
        bob.get(&path).await.error(404, "M_NOT_FOUND");
        answers.push(bob.put(&path, json!({})).await.error(404, "M_NOT_FOUND"));
    }
    assert_eq!(answers[0], answers[1]);
    let path = path!("v3/user/{}/rooms/{}/account_data/{}", bob.user_id, "room", "a.b");
    bob.put(&path, json!({})).await.error(400, "M_INVALID_PARAM");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#server-behaviour-12)
#[tokio::test]
async fn what_the_server_controls_cannot_be_set() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    for kind in ["m.push_rules", "m.fully_read"] {
        let global = path!("v3/user/{}/account_data/{}", alice.user_id, kind);
        alice.put(&global, json!({})).await.error(405, "M_BAD_JSON");
        let in_room = path!("v3/user/{}/rooms/{}/account_data/{}", alice.user_id, room, kind);
        alice.put(&in_room, json!({})).await.error(405, "M_BAD_JSON");
    }
    let rules = path!("v3/user/{}/account_data/{}", alice.user_id, "m.push_rules");
    assert!(alice.get(&rules).await.ok()["global"]["override"].is_array());
}

#[tokio::test]
async fn what_is_no_object_or_too_large_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = path!("v3/user/{}/account_data/{}", alice.user_id, "com.example.x");
    for body in [json!([]), json!("text"), json!(7), json!(null)] {
        alice.put(&path, body).await.error(400, "M_BAD_JSON");
    }
    for body in ["{", "{\"a\":}", "\0"] {
        let method = "PUT".parse().expect("a method");
        let body = Some(body.as_bytes().to_vec());
        alice.request(method, &path, body).await.error(400, "M_NOT_JSON");
    }
    let large = json!({ "x": "x".repeat(256 * 1024) });
    alice.put(&path, large).await.error(413, "M_TOO_LARGE");
    let long = path!("v3/user/{}/account_data/{}", alice.user_id, "x".repeat(256));
    alice.put(&long, json!({})).await.error(400, "M_INVALID_PARAM");
}
