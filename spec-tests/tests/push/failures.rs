//! Gateways that fail, refuse, stall or lead elsewhere.

use kith_spec_tests::{PushGateway, Reply, TestServer, path};
use serde_json::json;

use super::{allow_loopback, pusher, pushkeys, read, server, set_pusher};

#[tokio::test]
async fn what_a_gateway_does_not_take_is_sent_again() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    set_pusher(&bob, &gateway).await;
    gateway.reply(Reply::Status(502));
    let first = alice.send_text(&room, "first").await;
    let second = alice.send_text(&room, "second").await;
    let started = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(gateway.next_event().await["event_id"], first, "one after the other");
    }
    let passed = started.elapsed().as_secs_f64();
    assert!(passed > 2.0, "a second, then two: the third try came after {passed} s");
    gateway.reply(Reply::Accept);
    assert_eq!(gateway.next_event().await["event_id"], first);
    assert_eq!(gateway.next_event().await["event_id"], second);
}

#[tokio::test]
async fn a_rejected_key_loses_its_pusher() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let other = PushGateway::start().await;
    set_pusher(&bob, &gateway).await;
    bob.post("v3/pushers/set", pusher(&other.url(), "other")).await.ok();
    gateway.reply(Reply::Reject);
    alice.send_text(&room, "hello").await;
    gateway.next_event().await;
    while pushkeys(&bob).await != ["other"] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_gateway_holds_up_nobody_else() {
    let server = server().await;
    let (slow, mut quick) = (PushGateway::start().await, PushGateway::start().await);
    slow.reply(Reply::Hang);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    for n in 0..40 {
        bob.post("v3/pushers/set", pusher(&slow.url(), &format!("slow {n}"))).await.ok();
    }
    bob.post("v3/pushers/set", pusher(&quick.url(), "quick")).await.ok();
    let started = std::time::Instant::now();
    for n in 0..10 {
        let event = alice.send_text(&room, &n.to_string()).await;
        assert_eq!(quick.next_event().await["event_id"], event);
    }
    assert!(started.elapsed().as_secs() < 10, "the slow gateway's patience is 15 s");
}

#[tokio::test]
async fn what_was_read_or_redacted_meanwhile_is_not_pushed() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (a, b) = (alice.create_room_with(&[&bob]).await, alice.create_room_with(&[&bob]).await);
    set_pusher(&bob, &gateway).await;
    gateway.reply(Reply::Status(500));
    let stuck = alice.send_text(&a, "stuck").await;
    assert_eq!(gateway.next_event().await["event_id"], stuck);
    let seen = alice.send_text(&b, "read").await;
    let taken_back = alice.send_text(&a, "taken back").await;
    let left = alice.create_room_with(&[&bob]).await;
    alice.send_text(&left, "left").await;
    let last = alice.send_text(&a, "last").await;
    read(&bob, &b, &seen, json!({})).await;
    alice.redact(&a, &taken_back).await;
    bob.leave(&left).await;
    gateway.reply(Reply::Accept);
    let mut told = Vec::new();
    while told.last() != Some(&last) {
        let id = gateway.next_event().await["event_id"].as_str().unwrap().to_owned();
        told.push(id);
    }
    told.retain(|id| *id != stuck);
    assert_eq!(told, [last]);
}

#[tokio::test]
async fn a_new_url_is_tried_at_once() {
    let server = server().await;
    let (mut old, mut new) = (PushGateway::start().await, PushGateway::start().await);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    set_pusher(&bob, &old).await;
    old.reply(Reply::Status(500));
    let event = alice.send_text(&room, "hello").await;
    for _ in 0..4 {
        old.next_event().await;
    }
    // Eight seconds of rest have begun.
    let started = std::time::Instant::now();
    set_pusher(&bob, &new).await;
    assert_eq!(new.next_event().await["event_id"], event);
    assert!(started.elapsed().as_secs_f64() < 5.0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = server().await;
    let (mut gateway, mut elsewhere) = (PushGateway::start().await, PushGateway::start().await);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    set_pusher(&bob, &gateway).await;
    gateway.reply(Reply::Redirect(elsewhere.url()));
    let event = alice.send_text(&room, "hello").await;
    assert_eq!(gateway.next_event().await["event_id"], event);
    assert_eq!(gateway.next_event().await["event_id"], event, "a redirect is a failure");
    assert!(elsewhere.rest().is_empty());
}

#[tokio::test]
async fn addresses_that_the_operator_forbids_are_not_reached() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for host in
        ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:7f00:1]", "2130706433"]
    {
        let url = format!("https://{host}/_matrix/push/v1/notify");
        let refused = alice.post("v3/pushers/set", pusher(&url, "key")).await;
        refused.error(400, "M_INVALID_PARAM");
    }
    // A name says nothing about the address behind it: that is looked at for each connection.
    let url = "https://localhost/_matrix/push/v1/notify";
    alice.post("v3/pushers/set", pusher(url, "key")).await.ok();
}

#[tokio::test]
async fn without_tls_only_where_the_operator_said_so() {
    let server = TestServer::with(|config| {
        allow_loopback(config);
        config.outgoing.denied_ranges = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let alice = server.register("alice").await;
    let set = async |host: &str| {
        let url = format!("http://{host}/_matrix/push/v1/notify");
        alice.post("v3/pushers/set", pusher(&url, "key")).await
    };
    set("127.0.0.1:9").await.ok();
    // Permitted, but nobody said that it may be in the clear.
    set("192.0.2.1").await.error(400, "M_INVALID_PARAM");
    set("localhost").await.error(400, "M_INVALID_PARAM");
    let rule = path!("v3/pushrules/global/room/{}", "!x:kith.test");
    alice.get(&rule).await.error(404, "M_NOT_FOUND");
}
