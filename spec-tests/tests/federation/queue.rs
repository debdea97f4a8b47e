//! What our users do reaches the other servers of their rooms, in order, whatever happens meanwhile.

use std::time::{Duration, Instant};

use kith_spec_tests::{RemoteReply as Reply, RemoteServer, path};
use serde_json::json;

use super::together::{Together, bodies, body_is};

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn messages_reach_the_other_server_in_order_and_fifty_at_a_time() {
    let Together { remote, alice, room, .. } = Together::start().await;
    for n in 0..120 {
        alice.send_text(&room, &n.to_string()).await;
    }
    remote.wait_for_pdu(body_is("119")).await;
    let sent = bodies(&remote);
    assert!(sent.iter().all(|bodies| bodies.len() <= 50));
    assert_eq!(sent.concat(), numbers(0..120));
}

#[tokio::test]
async fn a_pdu_is_sent_as_servers_send_it() {
    let Together { server, remote, alice, room, .. } = Together::start().await;
    let event_id = alice.send_text(&room, "hello").await;
    let pdu = remote.wait_for_pdu(body_is("hello")).await;
    for absent in ["unsigned", "event_id", "age", "txn_id", "transaction_id"] {
        assert_eq!(pdu.get(absent), None, "{absent}");
    }
    assert!(pdu["signatures"][server.name()].is_object());
    let version = remote.room(&room).version;
    assert_eq!(kith_spec_tests::pdu_event_id(&version, &pdu), event_id);
}

#[tokio::test]
async fn only_the_servers_of_a_room_are_told() {
    let Together { server, remote, alice, room, .. } = Together::start().await;
    let other = RemoteServer::start().await;
    let elsewhere = alice.create_public_room().await;
    other.join(&server, &elsewhere, "carol").await;
    alice.send_text(&room, "here").await;
    alice.send_text(&elsewhere, "there").await;
    remote.wait_for_pdu(body_is("here")).await;
    other.wait_for_pdu(body_is("there")).await;
    assert_eq!(bodies(&remote).concat(), ["here"]);
    assert_eq!(bodies(&other).concat(), ["there"]);
}

#[tokio::test]
async fn whoever_joins_through_us_is_made_known_to_the_others() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let other = RemoteServer::start().await;
    other.join(&server, &room, "carol").await;
    let carol = other.user("carol");
    let joins = |user: &str| {
        let user = user.to_owned();
        move |pdu: &serde_json::Value| pdu["state_key"] == user
    };
    remote.wait_for_pdu(joins(&carol)).await;
    alice.send_text(&room, "all here").await;
    other.wait_for_pdu(body_is("all here")).await;
    let told = other.asked();
    assert!(!told.iter().any(|asked| asked.pdus().any(joins(&carol))), "it made that event");
    assert!(!told.iter().any(|asked| asked.pdus().any(joins(&bob))), "it has that event");
}

#[tokio::test]
async fn whoever_is_put_out_is_told_and_hears_nothing_more() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let witness = RemoteServer::start().await;
    witness.join(&server, &room, "carol").await;
    alice.post(&path!("v3/rooms/{}/kick", room), json!({ "user_id": bob })).await.ok();
    alice.send_text(&room, "secret").await;
    remote.wait_for_pdu(|pdu| pdu["state_key"] == *bob && pdu["sender"] == alice.user_id).await;
    witness.wait_for_pdu(body_is("secret")).await;
    assert!(bodies(&remote).is_empty());
}

#[tokio::test]
async fn what_a_server_does_not_take_is_sent_again_first() {
    let Together { remote, alice, room, .. } = Together::start().await;
    remote.answer("PUT", "v1/send/{}", |_| Reply::error(503, "M_UNKNOWN"));
    alice.send_text(&room, "one").await;
    remote.wait_for_pdu(body_is("one")).await;
    remote.answer_as_usual();
    alice.send_text(&room, "two").await;
    let again = remote.wait_for(|asked| asked.pdus().any(body_is("two"))).await;
    let again: Vec<_> = again.pdus().map(|pdu| pdu["content"]["body"].clone()).collect();
    assert_eq!(again, ["one", "two"]);
}

#[tokio::test]
async fn what_a_server_refuses_holds_up_nothing() {
    let Together { remote, alice, room, .. } = Together::start().await;
    remote.answer("PUT", "v1/send/{}", |_| Reply::error(400, "M_BAD_JSON"));
    alice.send_text(&room, "refused").await;
    remote.wait_for_pdu(body_is("refused")).await;
    remote.answer_as_usual();
    alice.send_text(&room, "next").await;
    let next = remote.wait_for(|asked| asked.pdus().any(body_is("next"))).await;
    assert!(!next.pdus().any(body_is("refused")));
}

#[tokio::test]
async fn an_outage_survives_a_restart_and_is_caught_up() {
    let Together { mut server, remote, alice, room, .. } = Together::durable().await;
    alice.send_text(&room, "before").await;
    remote.wait_for_pdu(body_is("before")).await;
    remote.stop().await;
    for n in 0..5 {
        alice.send_text(&room, &n.to_string()).await;
    }
    while server.app().federation_out.waiting() != (1, 1) {
        tokio::task::yield_now().await;
    }
    server.restart().await;
    assert_eq!(server.app().federation_out.waiting().1, 0, "nothing is read again yet");
    for n in 5..8 {
        alice.send_text(&room, &n.to_string()).await;
    }
    remote.start_again().await;
    remote.wait_for_pdu(body_is("7")).await;
    let mut sent = bodies(&remote).concat();
    sent.dedup();
    assert_eq!(sent[0], "before");
    assert_eq!(sent[1..], numbers(0..8));
}

#[tokio::test]
async fn a_server_that_is_heard_of_is_tried_at_once() {
    let Together { server, remote, alice, room, .. } = Together::start().await;
    remote.stop().await;
    alice.send_text(&room, "late").await;
    // Three failures, the last after some four seconds: the fourth try would be eight later.
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(9_500) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    remote.start_again().await;
    let heard = Instant::now();
    remote.send(&server, Vec::new(), Vec::new()).await.ok();
    remote.wait_for_pdu(body_is("late")).await;
    assert!(heard.elapsed() < Duration::from_secs(4), "{:?}", heard.elapsed());
}

#[tokio::test]
async fn a_thousand_messages_to_a_dead_server_cost_the_others_nothing() {
    const MESSAGES: usize = 1_100;
    let Together { server, remote: dead, alice, room, .. } = Together::start().await;
    let living = RemoteServer::start().await;
    living.join(&server, &room, "carol").await;
    alice.send_text(&room, "hello").await;
    dead.wait_for_pdu(body_is("hello")).await;
    dead.stop().await;
    for n in 0..MESSAGES {
        alice.send_text(&room, &n.to_string()).await;
    }
    let last = Instant::now();
    living.wait_for_pdu(body_is(&(MESSAGES - 1).to_string())).await;
    assert!(last.elapsed() < Duration::from_secs(5), "{:?}", last.elapsed());
    assert_eq!(bodies(&living).concat()[1..], numbers(0..MESSAGES));
    // Too many to be sent one by one: the newest is, and the server asks for what it misses.
    dead.start_again().await;
    dead.send(&server, Vec::new(), Vec::new()).await.ok();
    dead.wait_for_pdu(body_is(&(MESSAGES - 1).to_string())).await;
    let caught_up = bodies(&dead).concat();
    assert_eq!(caught_up, ["hello".to_owned(), (MESSAGES - 1).to_string()]);
}
