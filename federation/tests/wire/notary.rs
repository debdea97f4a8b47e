//! Who is asked for the keys of servers that do not answer?

use std::sync::Arc;

use kith_federation::key_ring::{KeyRing, VerifyError};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName, UInt,
    owned_server_name,
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use crate::{
    key_ring::{Keys, Publisher, canonical, event, key, now, rules, signed},
    support::{MemoryStore, Peer, json, options, remotes},
};

/// A server that is gone; nobody listens there.
fn gone() -> OwnedServerName {
    owned_server_name!("127.0.0.1:1")
}

/// A notary that knows these documents; `sign` says whether it signs them.
async fn notary(documents: Vec<Value>, sign: bool) -> Peer {
    let own = Arc::new(key("n"));
    Peer::start(&["127.0.0.1"], move |asked| {
        let name: &ServerName = asked.host.as_str().try_into().expect("a name");
        if asked.path == "/_matrix/key/v2/server" {
            return json(200, &Keys::of(&own).document(name));
        }
        let server_keys = documents.iter().cloned().map(|document| {
            let mut document = canonical(document);
            if sign {
                sign_json(name.as_str(), &*own, &mut document).expect("signed");
            }
            document
        });
        json(200, &json!({ "server_keys": server_keys.collect::<Vec<_>>() }))
    })
    .await
}

fn ring(notaries: &[&Peer]) -> KeyRing {
    let notaries = notaries.iter().map(|notary| notary.name()).collect();
    KeyRing::new(remotes(options()), Arc::new(MemoryStore::default()), notaries)
}

fn old_event(key: &Ed25519KeyPair) -> CanonicalJsonObject {
    signed(&gone(), key, event(&gone(), 1_000_000))
}

#[tokio::test]
async fn a_notary_has_the_keys_of_a_server_that_is_gone() {
    let (first, second) = (Arc::new(key("1")), Arc::new(key("2")));
    let documents = [&first, &second].map(|key| Keys::of(key).document(&gone()));
    let notary = notary(documents.to_vec(), true).await;
    let ring = ring(&[&notary]);
    let events = vec![old_event(&first), old_event(&second)];
    for (_, verified) in ring.verify_events(events, &rules()).await {
        verified.expect("signed");
    }
    let asked = notary.asked();
    let queries: Vec<_> =
        asked.iter().filter(|asked| asked.path == "/_matrix/key/v2/query").collect();
    let [query] = &queries[..] else { panic!("one query, not {asked:?}") };
    let query: Value = serde_json::from_slice(&query.body).expect("JSON");
    let wanted = json!({ "ed25519:1": {}, "ed25519:2": {} });
    assert_eq!(query, json!({ "server_keys": { (gone().as_str()): wanted } }));
}

#[tokio::test]
async fn the_server_itself_is_asked_first() {
    let key = Arc::new(key("1"));
    let server = Publisher::start(Keys::of(&key)).await;
    let notary = notary(Vec::new(), true).await;
    let event = signed(&server.name(), &key, event(&server.name(), now()));
    ring(&[&notary]).verify_event(&event, &rules()).await.expect("signed");
    assert!(notary.asked().is_empty());
}

/// Both must have signed: the notary, so that we know whom we believe, and the server itself.
#[tokio::test]
async fn what_a_notary_says_is_believed_only_with_both_signatures() {
    let good = Arc::new(key("1"));
    let document = Keys::of(&good).document(&gone());
    let mut unsigned = document.clone();
    unsigned["signatures"] = json!({});
    let mut changed = document.clone();
    changed["valid_until_ts"] = json!(5);
    let other = Keys::of(&good).document(&owned_server_name!("other.test"));
    for (what, document, sign) in [
        ("not by the notary", document, false),
        ("not by the server", unsigned, true),
        ("changed by the notary", changed, true),
        ("of another server", other, true),
        ("no document", json!({}), true),
    ] {
        let notary = notary(vec![document], sign).await;
        let error = ring(&[&notary]).verify_event(&old_event(&good), &rules()).await;
        assert!(matches!(error, Err(VerifyError::KeysUnavailable { .. })), "{what}: {error:?}");
        assert_eq!(notary.asked().len(), 2, "{what}");
    }
}

#[tokio::test]
async fn the_next_notary_is_asked_if_one_does_not_help() {
    let good = Arc::new(key("1"));
    let empty = notary(Vec::new(), true).await;
    let helpful = notary(vec![Keys::of(&good).document(&gone())], true).await;
    let broken = Peer::start(&["127.0.0.1"], |_| json(500, &json!({}))).await;
    let ring = ring(&[&broken, &empty, &helpful]);
    ring.verify_event(&old_event(&good), &rules()).await.expect("signed");
}

#[tokio::test]
async fn a_notary_is_not_asked_again_and_again_for_what_it_does_not_have() {
    let notary = notary(Vec::new(), true).await;
    let ring = ring(&[&notary]);
    for _ in 0..100 {
        let error = ring.verify_event(&old_event(&key("1")), &rules()).await;
        assert!(matches!(error, Err(VerifyError::KeysUnavailable { .. })), "{error:?}");
    }
    assert!(notary.asked().len() < 6, "{}", notary.asked().len());
}

/// What a server that asks us as a notary gets.
#[tokio::test]
async fn the_newest_document_is_given_to_those_who_ask_us() {
    let key = Arc::new(key("1"));
    let valid_until = now() + 1_000_000;
    let server = Publisher::start(Keys { valid_until, ..Keys::of(&key) }).await;
    let ring = ring(&[]);
    let until = |moment: u64| {
        MilliSecondsSinceUnixEpoch(UInt::try_from(moment).expect("a moment of our time"))
    };
    let name = server.name();
    let document = ring.published(&name, until(now())).await.expect("there");
    assert_eq!(document["valid_until_ts"], canonical(json!({ "x": valid_until }))["x"]);
    ring.published(&name, until(now())).await.expect("there");
    assert_eq!(server.peer.asked().len(), 1);

    server.keys.lock().valid_until = now() + 5_000_000;
    let newer = ring.published(&name, until(now() + 2_000_000)).await.expect("there");
    assert_ne!(newer, document);
    drop(server);
    let stored = ring.published(&name, until(now() + 9_000_000)).await.expect("the old one");
    assert_eq!(stored, newer);
    let error = ring.published(&gone(), until(now())).await;
    assert!(matches!(error, Err(VerifyError::KeysUnavailable { .. })), "{error:?}");
}
