//! Push rules and pushers: SECURITY.md, lines 34 and 36.

use std::time::{Duration, Instant};

use kith_spec_tests::{PushGateway, Reply, TestServer, TestUser, path};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

/// As long as a message may be with everything around it.
const LONG: usize = 60_000;

async fn put_rule(user: &TestUser, kind: &str, id: &str, rule: Value) -> kith_spec_tests::Answer {
    user.put(&path!("v3/pushrules/global/{}/{}", kind, id), rule).await
}

fn keyword(pattern: &str) -> Value {
    json!({ "pattern": pattern, "actions": ["notify", { "set_tweak": "highlight" }] })
}

/// What bob has not read in the room, and how long it took to find out.
async fn counted(bob: &TestUser, room: &str) -> (Value, Duration) {
    let started = Instant::now();
    let sync = bob.sync(None).await;
    (sync.joined(room)["unread_notifications"].clone(), started.elapsed())
}

#[tokio::test]
async fn a_rule_put_behind_the_last_one_is_no_error_of_ours() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for kind in ["content", "override", "underride"] {
        let rule = |_: &str| json!({ "pattern": "x", "conditions": [], "actions": ["notify"] });
        for id in ["a", "b", "c"] {
            put_rule(&alice, kind, id, rule(id)).await.ok();
        }
        let last = "a";
        for (id, place) in [("b", "after"), ("c", "after"), ("new", "after"), ("b", "before")] {
            let path = format!("v3/pushrules/global/{kind}/{id}?{place}={last}");
            alice.put(&path, rule(id)).await.ok();
        }
        let itself = format!("v3/pushrules/global/{kind}/{last}?after={last}");
        alice.put(&itself, rule(last)).await.error(400, "M_UNKNOWN");
    }
}

#[tokio::test]
async fn no_rule_of_any_kind_makes_its_endpoints_fail() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let all = alice.get("v3/pushrules/").await.ok();
    let kinds = all["global"].as_object().expect("kinds");
    assert!(kinds.contains_key("postcontent"), "{all:#}");
    for (kind, rules) in kinds {
        for rule in rules.as_array().expect("rules") {
            let id = rule["rule_id"].as_str().expect("an ID");
            let kind = if kind == "postcontent" { "io.element.msc4306.postcontent" } else { kind };
            let path = path!("v3/pushrules/global/{}/{}", kind, id);
            assert_eq!(alice.get(&path).await.ok()["rule_id"], id);
            alice.put(&format!("{path}/enabled"), json!({ "enabled": false })).await.ok();
            assert_eq!(alice.get(&path).await.ok()["enabled"], false, "it stays so: {path}");
            alice.put(&format!("{path}/actions"), json!({ "actions": ["notify"] })).await.ok();
            assert_eq!(alice.get(&path).await.ok()["actions"], json!(["notify"]));
            alice.delete(&path, json!({})).await.error(400, "M_UNKNOWN");
        }
    }
    // Nobody makes rules of that kind.
    for kind in ["postcontent", "io.element.msc4306.postcontent"] {
        let rule = json!({ "conditions": [], "actions": [] });
        put_rule(&alice, kind, "mine", rule).await.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn no_pattern_takes_longer_than_the_text_is_long() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    for n in 0..50 {
        let pattern = format!("{}b{n}", "a*".repeat(200));
        put_rule(&bob, "content", &format!("many {n}"), keyword(&pattern)).await.ok();
    }
    let glob = "*a?".repeat(170);
    let condition = json!({ "kind": "event_match", "key": "content.topic", "pattern": glob });
    let rule = json!({ "conditions": [condition], "actions": ["notify"] });
    put_rule(&bob, "override", "x", rule).await.ok();
    let long = "a".repeat(LONG / 2);
    let content = json!({ "msgtype": "m.text", "body": long, "topic": long });
    for _ in 0..3 {
        alice.send(&room, "m.room.message", content.clone()).await;
    }
    let (_, took) = counted(&bob, &room).await;
    assert!(took < Duration::from_secs(10), "three messages took {took:?} (a debug build)");
}

#[tokio::test]
async fn a_pattern_that_is_too_long_or_matches_often_breaks_nothing() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    // A regular expression of so many would not compile.
    for pattern in ["?".repeat(513), "?".repeat(100_000), "*".repeat(100_000)] {
        put_rule(&bob, "content", "x", keyword(&pattern)).await.error(413, "M_TOO_LARGE");
        let condition = json!({ "kind": "event_match", "key": "type", "pattern": pattern });
        let rule = json!({ "conditions": [condition], "actions": [] });
        put_rule(&bob, "override", "x", rule).await.error(413, "M_TOO_LARGE");
    }
    put_rule(&bob, "content", "wide", keyword(&"?".repeat(512))).await.ok();
    // Each "ab" begins as a word that is "a", and is none: a search that calls itself for each of
    // them runs out of stack.
    put_rule(&bob, "content", "a", keyword("a")).await.ok();
    alice.send_text(&room, &"ab ".repeat(LONG / 3)).await;
    let (counts, _) = counted(&bob, &room).await;
    assert_eq!(counts["notification_count"], 1, "{counts}");
}

#[tokio::test]
async fn an_event_of_long_names_and_many_fields_takes_no_more_memory_than_it_is_long() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    // Paths of all the fields, written out, would be 150 MB.
    let fields: serde_json::Map<String, Value> =
        (0..3_000).map(|n| (n.to_string(), json!(1))).collect();
    let content = json!({ "body": "x", "msgtype": "m.text", "y".repeat(LONG / 2): fields });
    alice.send(&room, "m.room.message", content).await;
    let (counts, took) = counted(&bob, &room).await;
    assert_eq!(counts["notification_count"], 1);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn rules_have_a_size_that_they_cannot_outgrow() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let large = json!({ "set_tweak": "sound", "value": "x".repeat(100_000) });
    let rule = json!({ "pattern": "x", "actions": [large] });
    for id in ["a", "b"] {
        put_rule(&alice, "content", id, rule.clone()).await.ok();
    }
    put_rule(&alice, "content", "c", rule.clone()).await.error(413, "M_TOO_LARGE");
    let path = "v3/pushrules/global/underride/.m.rule.message/actions";
    alice.put(path, rule).await.error(413, "M_TOO_LARGE");
    alice.get("v3/pushrules/global/content/b").await.ok();
}

/// The name of a pusher's host may lead anywhere: what counts is the address.
#[tokio::test]
async fn a_pusher_reaches_no_address_that_is_denied_by_whatever_name() {
    let server = TestServer::with(|config| {
        // This machine has all of 127.0.0.0/8; only this one address of it is open.
        config.outgoing.allowed_ranges = vec!["127.0.0.2/32".parse().unwrap()];
    })
    .await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let mut gateway = PushGateway::start_at([127, 0, 0, 2].into()).await;
    let redirect = format!("http://127.0.0.1:{port}/_matrix/push/v1/notify");
    gateway.reply(Reply::Redirect(redirect));
    let by_name = format!("https://localhost:{port}/_matrix/push/v1/notify");
    for (key, url) in [("name", by_name), ("redirect", gateway.url())] {
        let body = json!({
            "kind": "http", "app_id": "app", "pushkey": key, "lang": "en",
            "app_display_name": "", "device_display_name": "", "data": { "url": url },
        });
        bob.post("v3/pushers/set", body).await.ok();
    }
    let event = alice.send_text(&room, "hello").await;
    // When the second try is through, the first ones of both are.
    for _ in 0..2 {
        assert_eq!(gateway.next_event().await["event_id"], event);
    }
    let connected = timeout(Duration::ZERO, inside.accept()).await;
    assert!(connected.is_err(), "somebody connected: {connected:?}");
}
