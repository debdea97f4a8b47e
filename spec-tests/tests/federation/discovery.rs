//! Which keys does the server publish, for whom does it answer as a notary, and what is it?

use kith_spec_tests::{RemoteServer, TestServer, path};
use serde_json::{Value, json};

#[tokio::test]
async fn the_server_says_what_it_is() {
    let server = TestServer::federating().await;
    let version = server.anonymous().get("/_matrix/federation/v1/version").await.ok();
    assert_eq!(version["server"]["name"], "Kith");
    assert!(version["server"]["version"].is_string());
}

#[tokio::test]
async fn a_notary_signs_the_keys_of_another_server() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    let path = path!("/_matrix/key/v2/query/{}", remote.name());
    let answer = server.anonymous().get(&path).await.ok();
    let keys = &answer["server_keys"][0];
    assert_eq!(keys["server_name"], remote.name().as_str());
    assert!(keys["verify_keys"]["ed25519:peer1"]["key"].is_string());
    assert!(keys["signatures"][remote.name().as_str()].is_object());
    assert!(keys["signatures"][server.name()].is_object());

    // Also when it is gone.
    remote.stop().await;
    let body = json!({ "server_keys": { remote.name().as_str(): { "ed25519:peer1": {} } } });
    let answer = server.anonymous().post("/_matrix/key/v2/query", body).await.ok();
    assert_eq!(answer["server_keys"][0]["server_name"], remote.name().as_str());
}

#[tokio::test]
async fn a_notary_has_nothing_of_servers_that_it_cannot_reach() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    remote.stop().await;
    let path = path!("/_matrix/key/v2/query/{}", remote.name());
    let answer = server.anonymous().get(&path).await.ok();
    assert_eq!(answer["server_keys"], json!([]));
    let answer =
        server.anonymous().post("/_matrix/key/v2/query", json!({ "server_keys": {} })).await;
    assert_eq!(answer.ok()["server_keys"], json!([]));
    let many = (0..101).map(|n| (format!("s{n}.example"), json!({})));
    let body = json!({ "server_keys": Value::Object(many.collect()) });
    let answer = server.anonymous().post("/_matrix/key/v2/query", body).await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_notary_believes_no_keys_that_are_not_signed_by_their_server() {
    let server = TestServer::federating().await;
    let (remote, other) = (RemoteServer::start().await, RemoteServer::start().await);
    let name = remote.name().to_string();
    let forged = other.sign(json!({
        "server_name": name, "verify_keys": {}, "old_verify_keys": {},
        "valid_until_ts": 4_000_000_000_000_u64,
    }));
    remote.answer("GET", "/_matrix/key/v2/server", move |_| forged.clone());
    let path = path!("/_matrix/key/v2/query/{}", name);
    let answer = server.anonymous().get(&path).await.ok();
    assert_eq!(answer["server_keys"], json!([]));
}
