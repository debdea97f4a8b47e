//! Whose signatures are believed, and at what cost.

use std::sync::Arc;

use futures_util::future::join_all;
use http::header;
use kith_federation::{
    key_ring::{KeyRing, KeyStore, Verified, VerifyError},
    remotes::Remotes,
};
use parking_lot::Mutex;
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, RoomVersionId, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, hash_and_sign_event, sign_json},
};
use serde_json::{Value, json};

use crate::support::{MemoryStore, Peer, json, options, own_name, remotes};

const DAY: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn ring(remotes: Remotes) -> KeyRing {
    KeyRing::new(remotes, Arc::new(MemoryStore::default()), Vec::new())
}

pub(crate) fn now() -> u64 {
    u64::from(MilliSecondsSinceUnixEpoch::now().0)
}

pub(crate) fn key(version: &str) -> Ed25519KeyPair {
    let key = Ed25519KeyPair::generate();
    Ed25519KeyPair::from_der(&key, version.to_owned()).expect("a key")
}

pub(crate) fn canonical(value: Value) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("canonical JSON")
}

fn encoded(key: &Ed25519KeyPair) -> String {
    Base64::<Standard>::new(key.public_key().to_vec()).encode()
}

/// The keys that a server publishes.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) current: Vec<Arc<Ed25519KeyPair>>,
    /// With the moment at which they expired.
    pub(crate) old: Vec<(Arc<Ed25519KeyPair>, u64)>,
    pub(crate) valid_until: u64,
}

impl Keys {
    pub(crate) fn of(key: &Arc<Ed25519KeyPair>) -> Self {
        Self { current: vec![Arc::clone(key)], old: Vec::new(), valid_until: now() + DAY }
    }

    pub(crate) fn document(&self, name: &ServerName) -> Value {
        let id = |key: &Ed25519KeyPair| format!("ed25519:{}", key.version());
        let mut document = json!({
            "server_name": name,
            "verify_keys": {},
            "old_verify_keys": {},
            "valid_until_ts": self.valid_until,
        });
        for key in &self.current {
            document["verify_keys"][id(key)] = json!({ "key": encoded(key) });
        }
        for (key, expired) in &self.old {
            document["old_verify_keys"][id(key)] =
                json!({ "key": encoded(key), "expired_ts": expired });
        }
        let mut document = canonical(document);
        for key in &self.current {
            sign_json(name.as_str(), &**key, &mut document).expect("signed");
        }
        serde_json::to_value(document).expect("JSON")
    }
}

/// A server that publishes keys, which may change.
pub(crate) struct Publisher {
    pub(crate) peer: Peer,
    pub(crate) keys: Arc<Mutex<Keys>>,
}

impl Publisher {
    pub(crate) async fn start(keys: Keys) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let published = Arc::clone(&keys);
        let peer = Peer::start(&["127.0.0.1"], move |asked| {
            let name: &ServerName = asked.host.as_str().try_into().expect("a name");
            json(200, &published.lock().document(name))
        })
        .await;
        Self { peer, keys }
    }

    pub(crate) fn name(&self) -> OwnedServerName {
        self.peer.name()
    }
}

pub(crate) fn rules() -> RoomVersionRules {
    RoomVersionId::V11.rules().expect("a known version")
}

pub(crate) fn event(server: &ServerName, made: u64) -> Value {
    json!({
        "type": "m.room.message",
        "room_id": "!room:own.test",
        "sender": format!("@a:{server}"),
        "origin_server_ts": made,
        "depth": 5,
        "prev_events": [],
        "auth_events": [],
        "content": { "body": "hello" },
    })
}

pub(crate) fn signed(
    server: &ServerName,
    key: &Ed25519KeyPair,
    event: Value,
) -> CanonicalJsonObject {
    let mut event = canonical(event);
    hash_and_sign_event(server.as_str(), key, &mut event, &rules().redaction).expect("signed");
    event
}

#[tokio::test]
async fn an_event_is_believed_if_its_server_signed_it() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let ring = ring(remotes(options()));
    let good = signed(&server.name(), &key, event(&server.name(), now()));
    assert_eq!(ring.verify_event(&good, &rules()).await.expect("signed"), Verified::All);

    let mut changed = good.clone();
    changed.insert("content".to_owned(), canonical(json!({ "body": "bye" })).into());
    let verified = ring.verify_event(&changed, &rules()).await.expect("redacted it is the same");
    assert_eq!(verified, Verified::SignaturesOnly);

    let mut moved = good.clone();
    moved.insert("room_id".to_owned(), "!other:own.test".into());
    let error = ring.verify_event(&moved, &rules()).await.expect_err("another event");
    assert!(matches!(error, VerifyError::BadSignature(_)), "{error}");

    let forged = signed(&server.name(), &self::key("1"), event(&server.name(), now()));
    let error = ring.verify_event(&forged, &rules()).await.expect_err("another key");
    assert!(matches!(error, VerifyError::BadSignature(_)), "{error}");

    let mut unsigned = good.clone();
    unsigned.insert("signatures".to_owned(), canonical(json!({})).into());
    let error = ring.verify_event(&unsigned, &rules()).await.expect_err("not signed");
    assert!(matches!(error, VerifyError::Unsigned(_)), "{error}");

    // Signed by a server that is not the sender's.
    let other = signed(own_name(), &key, event(&server.name(), now()));
    let error = ring.verify_event(&other, &rules()).await.expect_err("not signed by the sender's");
    assert!(matches!(error, VerifyError::Unsigned(_)), "{error}");
    assert_eq!(server.peer.asked().len(), 1);
}

#[tokio::test]
async fn what_is_no_event_is_malformed() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let ring = ring(remotes(options()));
    for (field, value) in [
        ("sender", json!(5)),
        ("sender", json!("nobody")),
        ("type", json!(null)),
        ("content", json!([])),
        ("origin_server_ts", json!("now")),
        ("signatures", json!("x")),
        ("hashes", json!({})),
    ] {
        let mut event = signed(&server.name(), &key, event(&server.name(), now()));
        event.insert(field.to_owned(), serde_json::from_value(value.clone()).expect("canonical"));
        let error = ring.verify_event(&event, &rules()).await.expect_err("refused");
        assert!(!matches!(error, VerifyError::KeysUnavailable { .. }), "{field} {value}: {error}");
    }
}

/// MSC2076.
#[tokio::test]
async fn an_event_by_a_key_that_expired_before_it_was_made_is_refused() {
    let (old, new) = (Arc::new(key("old")), Arc::new(key("new")));
    let expired = now() - 10 * DAY;
    let keys = Keys { old: vec![(Arc::clone(&old), expired)], ..Keys::of(&new) };
    let server = Publisher::start(keys).await;
    let ring = ring(remotes(options()));
    let made = |at| signed(&server.name(), &old, event(&server.name(), at));
    ring.verify_event(&made(expired), &rules()).await.expect("the key was still its own");
    let error = ring.verify_event(&made(expired + 1), &rules()).await.expect_err("expired");
    assert!(matches!(error, VerifyError::NoKey(_)), "{error}");
}

#[tokio::test]
async fn published_keys_are_asked_for_again_when_their_time_is_over() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys { valid_until: now() - DAY, ..Keys::of(&key) }).await;
    let ring = ring(remotes(options()));
    let at = |made| signed(&server.name(), &key, event(&server.name(), made));
    ring.verify_event(&at(now() - 2 * DAY), &rules()).await.expect("valid then");
    server.keys.lock().valid_until = now() + DAY;
    ring.verify_event(&at(now()), &rules()).await.expect("valid again");
    assert_eq!(server.peer.asked().len(), 2);
}

#[tokio::test]
async fn no_key_is_believed_for_more_than_a_week() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys { valid_until: now() + 300 * DAY, ..Keys::of(&key) }).await;
    let ring = ring(remotes(options()));
    let at = |made| signed(&server.name(), &key, event(&server.name(), made));
    ring.verify_event(&at(now() + 6 * DAY), &rules()).await.expect("within a week");
    let error = ring.verify_event(&at(now() + 8 * DAY), &rules()).await.expect_err("too far");
    assert!(matches!(error, VerifyError::NoKey(_)), "{error}");
}

#[tokio::test]
async fn a_key_that_is_published_no_more_was_valid_before() {
    let (first, second) = (Arc::new(key("1")), Arc::new(key("2")));
    let server = Publisher::start(Keys { valid_until: now() - DAY, ..Keys::of(&first) }).await;
    let ring = ring(remotes(options()));
    let at = |key: &Arc<_>, made| signed(&server.name(), key, event(&server.name(), made));
    ring.verify_event(&at(&first, now() - 2 * DAY), &rules()).await.expect("valid then");
    *server.keys.lock() = Keys::of(&second);
    ring.verify_event(&at(&second, now()), &rules()).await.expect("the new key");
    ring.verify_event(&at(&first, now() - 2 * DAY), &rules()).await.expect("valid still");
    let error = ring.verify_event(&at(&first, now()), &rules()).await.expect_err("no more");
    assert!(matches!(error, VerifyError::NoKey(_)), "{error}");
}

#[tokio::test]
async fn a_restricted_join_needs_the_signature_of_the_server_that_let_the_user_in() {
    let (join_key, resident_key) = (Arc::new(key("1")), Arc::new(key("1")));
    let joining = Publisher::start(Keys::of(&join_key)).await;
    let resident = Publisher::start(Keys::of(&resident_key)).await;
    let ring = ring(remotes(options()));
    let mut join = event(&joining.name(), now());
    join["type"] = json!("m.room.member");
    join["state_key"] = join["sender"].clone();
    join["content"] = json!({
        "membership": "join",
        "join_authorised_via_users_server": format!("@b:{}", resident.name()),
    });
    let once = signed(&joining.name(), &join_key, join.clone());
    let error = ring.verify_event(&once, &rules()).await.expect_err("one signature is missing");
    assert!(matches!(error, VerifyError::Unsigned(server) if server == resident.name()));
    let both = signed(&resident.name(), &resident_key, serde_json::to_value(once).expect("JSON"));
    assert_eq!(ring.verify_event(&both, &rules()).await.expect("signed"), Verified::All);

    // Anywhere else the field means nothing.
    join["content"]["membership"] = json!("leave");
    let leave = signed(&joining.name(), &join_key, join);
    ring.verify_event(&leave, &rules()).await.expect("signed by the sender's server");
}

#[tokio::test]
async fn many_events_are_checked_at_once_and_their_keys_fetched_once() {
    let key = Arc::new(key("1"));
    let servers = join_all((0..5).map(|_| Publisher::start(Keys::of(&key)))).await;
    let ring = ring(remotes(options()));
    let mut events = Vec::new();
    for number in 0..500 {
        let name = servers[number % 5].name();
        let mut event = signed(&name, &key, event(&name, now()));
        if number == 77 {
            event.insert("depth".to_owned(), ruma::int!(6).into());
        }
        if number == 78 {
            event.remove("sender");
        }
        events.push(event);
    }
    let checked = ring.verify_events(events.clone(), &rules()).await;
    let wrong: Vec<usize> =
        (0..500).filter(|number| !matches!(checked[*number].1, Ok(Verified::All))).collect();
    assert_eq!(wrong, [77, 78]);
    assert!(checked.into_iter().map(|(event, _)| event).eq(events));
    assert!(servers.iter().all(|server| server.peer.asked().len() == 1));
}

#[tokio::test]
async fn a_server_is_asked_once_however_many_wait() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let ring = ring(remotes(options()));
    let event = signed(&server.name(), &key, event(&server.name(), now()));
    let rules = rules();
    let checks = join_all((0..50).map(|_| ring.verify_event(&event, &rules))).await;
    assert!(checks.into_iter().all(|checked| checked.is_ok()));
    assert_eq!(server.peer.asked().len(), 1);
}

/// Whoever sends events with key names of a victim does not make us ask the victim each time.
#[tokio::test]
async fn made_up_key_names_cost_the_named_server_next_to_nothing() {
    let server = Publisher::start(Keys::of(&Arc::new(key("1")))).await;
    let ring = ring(remotes(options()));
    for number in 0..200 {
        let made_up = key(&number.to_string().repeat(3));
        let event = signed(&server.name(), &made_up, event(&server.name(), now()));
        let error = ring.verify_event(&event, &rules()).await.expect_err("no such key");
        assert!(matches!(error, VerifyError::NoKey(_)), "{error}");
    }
    assert!(server.peer.asked().len() < 5, "{}", server.peer.asked().len());
}

#[tokio::test]
async fn keys_outlive_the_process_and_the_other_server() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::default());
    let event = signed(&server.name(), &key, event(&server.name(), now()));
    let ring = || KeyRing::new(remotes(options()), Arc::clone(&store), Vec::new());
    ring().verify_event(&event, &rules()).await.expect("signed");
    drop(server);
    ring().verify_event(&event, &rules()).await.expect("signed");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_another_error_than_a_wrong_signature() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let event = signed(&server.name(), &key, event(&server.name(), now()));
    drop(server);
    let error = ring(remotes(options())).verify_event(&event, &rules()).await.expect_err("gone");
    assert!(matches!(error, VerifyError::KeysUnavailable { .. }), "{error}");
}

#[tokio::test]
async fn keys_of_another_server_unsigned_or_weak_are_not_believed() {
    let good = Arc::new(key("1"));
    let weak = {
        // All zeros: everybody has it.
        let der = [&[48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32][..], &[0; 32]];
        Arc::new(Ed25519KeyPair::from_der(&der.concat(), "1".to_owned()).expect("a key"))
    };
    let document = |change: fn(&mut Value)| {
        let key = Arc::clone(&good);
        move |name: &ServerName| {
            let mut document = Keys::of(&key).document(name);
            change(&mut document);
            (Arc::clone(&key), document)
        }
    };
    type Document = Box<dyn Fn(&ServerName) -> (Arc<Ed25519KeyPair>, Value) + Send + Sync>;
    let documents: [(&str, Document); 6] = [
        ("another name", Box::new(document(|keys| keys["server_name"] = json!("b.test")))),
        ("no signature", Box::new(document(|keys| keys["signatures"] = json!({})))),
        ("changed", Box::new(document(|keys| keys["valid_until_ts"] = json!(1)))),
        ("no time", Box::new(document(|keys| keys["valid_until_ts"] = json!(null)))),
        ("too long", Box::new(document(|keys| keys["x"] = json!("x".repeat(64 * 1024))))),
        ("weak", Box::new(move |name| (Arc::clone(&weak), Keys::of(&weak).document(name)))),
    ];
    for (what, document) in documents {
        let document = Arc::new(document);
        let published = Arc::clone(&document);
        let peer = Peer::start(&["127.0.0.1"], move |asked| {
            json(200, &published(asked.host.as_str().try_into().expect("a name")).1)
        })
        .await;
        let (key, _) = document(&peer.name());
        let event = signed(&peer.name(), &key, event(&peer.name(), now()));
        let error = ring(remotes(options())).verify_event(&event, &rules()).await;
        assert!(matches!(error, Err(VerifyError::KeysUnavailable { .. })), "{what}: {error:?}");
        assert_eq!(peer.asked().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_request_is_believed_if_its_origin_signed_it_for_us() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let name = server.name();
    let ring = ring(remotes(options()));
    let request = |body: &'static str| {
        let request = http::Request::put("/_matrix/federation/v1/send/1").body(body.as_bytes());
        request.expect("a request")
    };
    let sign = |destination: &ServerName, key: &Ed25519KeyPair| {
        let input = XMatrixSigningInput::new(name.clone(), destination.to_owned(), key);
        XMatrix::sign_http_request(&request("{}"), input).expect("signed")
    };
    let signed = sign(own_name(), &key);
    let origin = ring.verify_request(&signed, &request("{}"), own_name()).await.expect("signed");
    assert_eq!(origin, name);

    let error = ring.verify_request(&signed, &request(r#"{"a":1}"#), own_name()).await;
    assert!(matches!(error, Err(VerifyError::BadSignature(_))), "{error:?}");
    let error = ring.verify_request(&signed, &request("no JSON"), own_name()).await;
    assert!(matches!(error, Err(VerifyError::BadSignature(_))), "{error:?}");
    let forged = sign(own_name(), &self::key("1"));
    let error = ring.verify_request(&forged, &request("{}"), own_name()).await;
    assert!(matches!(error, Err(VerifyError::BadSignature(_))), "{error:?}");
    let unknown = sign(own_name(), &self::key("2"));
    let error = ring.verify_request(&unknown, &request("{}"), own_name()).await;
    assert!(matches!(error, Err(VerifyError::NoKey(_))), "{error:?}");
    let elsewhere = sign("b.test".try_into().expect("a name"), &key);
    let error = ring.verify_request(&elsewhere, &request("{}"), own_name()).await;
    assert!(matches!(error, Err(VerifyError::OtherDestination)), "{error:?}");
    // Old servers name no destination, but sign it.
    let header = signed.to_string().replace(&format!("destination={},", own_name()), "");
    let mut without = request("{}");
    without.headers_mut().insert(header::AUTHORIZATION, header.parse().expect("valid"));
    let without_destination =
        XMatrix::extract_from_http_headers(without.headers()).expect("X-Matrix");
    assert_eq!(without_destination.destination, None);
    ring.verify_request(&without_destination, &without, own_name()).await.expect("signed");
}

/// A key that the server has given up signs no request, though it still proves old events.
#[tokio::test]
async fn a_request_by_an_expired_key_is_refused() {
    let (old, new) = (Arc::new(key("old")), Arc::new(key("new")));
    let keys = Keys { old: vec![(Arc::clone(&old), now() - DAY)], ..Keys::of(&new) };
    let server = Publisher::start(keys).await;
    let request = http::Request::get("/_matrix/federation/v1/x").body(&[][..]).expect("a request");
    let input = XMatrixSigningInput::new(server.name(), own_name().to_owned(), &old);
    let signed = XMatrix::sign_http_request(&request, input).expect("signed");
    let ring = ring(remotes(options()));
    let error = ring.verify_request(&signed, &request, own_name()).await;
    assert!(matches!(error, Err(VerifyError::NoKey(_))), "{error:?}");
}

#[tokio::test]
async fn our_own_signature_needs_no_network() {
    let remotes = remotes(options());
    let ring = ring(remotes);
    let document = ring.published(own_name(), MilliSecondsSinceUnixEpoch::now()).await;
    let document = document.expect("our own");
    ring.verify_json(own_name(), &document).await.expect("signed");
}
