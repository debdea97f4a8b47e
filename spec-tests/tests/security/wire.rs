//! Whose keys are believed, and where may other servers lead our requests? SECURITY.md, lines 17, 18, 36
//! and 40. Discovery, redirects, SRV records and notaries are tried in `federation/tests/wire`.

use std::{
    io::ErrorKind,
    net::TcpListener,
    time::{SystemTime, UNIX_EPOCH},
};

use kith_spec_tests::{RemoteReply as Reply, RemoteServer, TestServer, event_ids, path};
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

const HOUR: u64 = 60 * 60 * 1000;
const KEYS: &str = "/_matrix/key/v2/server";

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("a moment of our time")
}

fn encoded(key: &Ed25519KeyPair) -> String {
    Base64::<Standard, _>::new(key.public_key()).encode()
}

fn id(key: &Ed25519KeyPair) -> String {
    format!("ed25519:{}", key.version())
}

/// What the peer publishes: this key, and perhaps an old one with the moment of its end.
fn keys(remote: &RemoteServer, key: &Ed25519KeyPair, old: Option<(&Ed25519KeyPair, u64)>) -> Value {
    let mut document = json!({
        "server_name": remote.name(),
        "valid_until_ts": now() + 24 * HOUR,
        "verify_keys": { (id(key)): { "key": encoded(key) } },
        "old_verify_keys": {},
    });
    if let Some((old, expired)) = old {
        document["old_verify_keys"][id(old)] =
            json!({ "key": encoded(old), "expired_ts": expired });
    }
    let mut document: CanonicalJsonObject = serde_json::from_value(document).expect("canonical");
    sign_json(remote.name().as_str(), key, &mut document).expect("signed");
    serde_json::to_value(document).expect("JSON")
}

/// Line 17.
#[tokio::test]
async fn every_server_makes_a_signing_key_of_its_own_and_keeps_it() {
    let mut first = TestServer::durable().await;
    let second = TestServer::start().await;
    let key = async |server: &TestServer| {
        let published = server.anonymous().get(KEYS).await.ok();
        published["verify_keys"].clone()
    };
    let made = key(&first).await;
    assert_eq!(made.as_object().expect("keys").len(), 1);
    assert_ne!(made, key(&second).await);
    first.restart().await;
    assert_eq!(key(&first).await, made);
}

/// Line 17: 32 zeros are a private key that everybody has; whoever signs with it may be anybody.
#[tokio::test]
async fn a_server_whose_key_everybody_has_is_not_believed() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let weak = || {
        let der = [&[48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32][..], &[0; 32]];
        Ed25519KeyPair::from_der(&der.concat(), "weak".to_owned()).expect("a key")
    };
    let document = keys(&remote, &weak(), None);
    remote.answer("GET", KEYS, move |_| Reply::json(200, document.clone()));
    let mut signing = remote.signing(&server);
    signing.pair = Some(weak());
    let path = format!("/_matrix/federation/v1/query/profile?user_id=@a:{}", server.name());
    let answer = remote.request_signed(&server, signing, reqwest::Method::GET, &path, None).await;
    answer.error(401, "M_UNAUTHORIZED");
    assert!(remote.asked().iter().any(|asked| asked.path == KEYS));
}

/// Line 18 (MSC2076).
#[tokio::test]
async fn an_event_signed_by_a_key_that_had_expired_before_is_refused() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let old = kith_spec_tests::new_key("old");
    let document = keys(&remote, remote.key(), Some((&old, now() - HOUR)));
    remote.answer("GET", KEYS, move |_| Reply::json(200, document.clone()));
    let alice = server.register("alice").await;
    let room =
        alice.create_room_from(json!({ "preset": "public_chat", "room_version": "11" })).await;
    remote.join(&server, &room, "rachel").await;

    let message = |body: &str| {
        let (_, mut pdu) = remote.build(
            &room,
            json!({
                "type": "m.room.message", "sender": remote.user("rachel"),
                "content": { "msgtype": "m.text", "body": body },
            }),
        );
        pdu.as_object_mut().expect("a PDU").remove("signatures");
        pdu
    };
    let (bad_id, bad) = remote.sign_pdu_with(&old, &RoomVersionId::V11, message("by the old key"));
    let answer = remote.send(&server, vec![bad], Vec::new()).await.ok();
    assert!(answer["pdus"][&bad_id]["error"].is_string(), "{answer}");

    let mut early = message("when the key was still valid");
    early["origin_server_ts"] = json!(now() - 2 * HOUR);
    let (early_id, early) = remote.sign_pdu_with(&old, &RoomVersionId::V11, early);
    remote.send_pdu(&server, &early_id, &early).await;

    let path = path!("v3/rooms/{}/messages", room);
    let history = alice.get(&format!("{path}?dir=b")).await.ok();
    let ids = event_ids(&history["chunk"]);
    assert!(ids.contains(&early_id) && !ids.contains(&bad_id), "{ids:?}");
}

/// Line 36: a server name that a user, a room or another server gives us may be any address.
#[tokio::test]
async fn a_server_name_does_not_lead_into_our_own_network() {
    let server = TestServer::federating_with(|config| {
        config.outgoing.allowed_ranges = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let inside = TcpListener::bind("127.0.0.2:0").expect("a free port");
    inside.set_nonblocking(true).expect("a socket");
    let port = inside.local_addr().expect("bound").port();
    let alice = server.register("alice").await;
    for name in [
        format!("127.0.0.2:{port}"),
        format!("[::ffff:127.0.0.2]:{port}"),
        format!("[::ffff:7f00:2]:{port}"),
    ] {
        let join = format!("{}?via={}", path!("v3/join/{}", "!room:elsewhere.test"), name);
        let answer = alice.post(&join, json!({})).await;
        assert!(answer.status >= 400, "{name}");
        alice.get(&path!("v3/profile/{}", format!("@a:{name}"))).await;
    }
    let nobody = inside.accept().expect_err("nobody connected");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

/// Line 40.
#[tokio::test]
async fn what_other_servers_answer_is_read_up_to_a_limit() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let mut document = keys(&remote, remote.key(), None);
    document["padding"] = json!("x".repeat(100 * 1024));
    let document = remote.sign(document);
    remote.answer("GET", KEYS, move |_| Reply::json(200, document.clone()));
    let path = format!("/_matrix/federation/v1/query/profile?user_id=@a:{}", server.name());
    remote.get(&server, &path).await.error(401, "M_UNAUTHORIZED");
}
