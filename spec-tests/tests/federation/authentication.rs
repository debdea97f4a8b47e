//! Whose requests does the server answer? Those that are signed as the specification says.

use kith_homeserver::config::FederationPolicy;
use kith_spec_tests::{RemoteServer, TestServer, path};
use reqwest::Method;

const QUESTION: &str = "v1/query/profile";

/// A server, a peer and a question of the peer to it that has an answer.
async fn scene() -> (TestServer, RemoteServer, String) {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let question = path!("v1/query/profile?user_id={}", alice.user_id);
    (server, RemoteServer::start().await, question)
}

#[tokio::test]
async fn a_signed_request_is_answered() {
    let (server, remote, question) = scene().await;
    remote.get(&server, &question).await.ok();
    let signing = kith_spec_tests::Signing { destination: None, ..remote.signing(&server) };
    let answer = remote.request_signed(&server, signing, Method::GET, &question, None).await;
    // Servers of before v1.3 do not name whom they ask.
    answer.ok();
}

#[tokio::test]
async fn a_request_without_a_signature_is_unauthorized() {
    let (server, remote, question) = scene().await;
    for authorization in [
        None,
        Some(""),
        Some("Bearer abc"),
        Some("X-Matrix"),
        Some("X-Matrix origin=\"127.0.0.1:1\""),
        Some("X-Matrix origin=\"127.0.0.1:1\",key=\"ed25519:a\",sig=\"!!\""),
        Some("X-Matrix origin=\"no server\",key=\"ed25519:a\",sig=\"YWJj\""),
    ] {
        let answer =
            remote.send_raw(&server, Method::GET, &question, Vec::new(), authorization).await;
        answer.error(401, "M_UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_wrong_signature_is_unauthorized() {
    let (server, remote, question) = scene().await;
    let wrong_key = remote.signing(&server).with_wrong_key();
    let answer = remote.request_signed(&server, wrong_key, Method::GET, &question, None).await;
    answer.error(401, "M_UNAUTHORIZED");
    let another = RemoteServer::start().await;
    let as_another = remote.signing(&server).from(another.name().as_str());
    let answer = remote.request_signed(&server, as_another, Method::GET, &question, None).await;
    answer.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn a_request_for_another_server_is_unauthorized() {
    let (server, remote, question) = scene().await;
    let elsewhere = remote.signing(&server).to("elsewhere.example");
    let answer = remote.request_signed(&server, elsewhere, Method::GET, &question, None).await;
    answer.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn a_server_that_publishes_no_keys_is_unauthorized() {
    let (server, remote, question) = scene().await;
    remote.stop().await;
    remote.get(&server, &question).await.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn the_body_and_the_address_are_part_of_what_is_signed() {
    let (server, remote, _) = scene().await;
    let body = serde_json::json!({ "device_keys": {} });
    remote.post(&server, "v1/user/keys/query", body.clone()).await.ok();
    // The signature of one request on another.
    let signed = remote.authorization(&server, Method::POST, "v1/user/keys/query", Some(&body));
    for (path, body) in [
        ("v1/user/keys/query", b"{\"device_keys\":{},\"more\":1}".to_vec()),
        ("v1/user/keys/query?a=b", body_of(&body)),
        ("v1/user/keys/claim", body_of(&body)),
    ] {
        let answer = remote.send_raw(&server, Method::POST, path, body, Some(&signed)).await;
        answer.error(401, "M_UNAUTHORIZED");
    }
}

fn body_of(body: &serde_json::Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[tokio::test]
async fn a_closed_team_says_so() {
    let server =
        TestServer::federating_with(|config| config.federation.policy = FederationPolicy::Closed)
            .await;
    let remote = RemoteServer::start().await;
    let answer = remote.get(&server, &format!("{QUESTION}?user_id=@a:b")).await;
    let error = answer.error(403, "M_FORBIDDEN");
    let error = error["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("does not federate"), "{error}");
    assert!(remote.asked().is_empty(), "nobody asks for the keys of a server that is refused");
}

#[tokio::test]
async fn a_team_with_a_list_speaks_with_those_on_it() {
    let (friend, stranger) = (RemoteServer::start().await, RemoteServer::start().await);
    let name = friend.name().to_owned();
    let server = TestServer::federating_with(|config| {
        config.federation.policy = FederationPolicy::Allow(vec![name.clone()]);
    })
    .await;
    friend.get(&server, "v1/publicRooms").await.ok();
    stranger.get(&server, "v1/publicRooms").await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn one_server_is_limited_and_others_are_not() {
    let server = TestServer::federating_with(|config| {
        config.rate_limits.enabled = true;
        config.rate_limits.federation =
            kith_homeserver::config::RateLimit::On { per_second: 0.001, burst: 3 };
    })
    .await;
    let (busy, quiet) = (RemoteServer::start().await, RemoteServer::start().await);
    for _ in 0..3 {
        busy.get(&server, "v1/publicRooms").await.ok();
    }
    let refused = busy.get(&server, "v1/publicRooms").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.error(429, "M_LIMIT_EXCEEDED");
    quiet.get(&server, "v1/publicRooms").await.ok();
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let (server, remote, _) = scene().await;
    let body = serde_json::json!({ "device_keys": {}, "x": "x".repeat(14 * 1024 * 1024) });
    remote.post(&server, "v1/user/keys/query", body).await.error(413, "M_TOO_LARGE");
}
