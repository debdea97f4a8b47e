//! `PUT /send/{txnId}`: what a peer tells us of, good or bad.

use kith_spec_tests::{TestServer, path};
use reqwest::Method;
use serde_json::{Value, json};

use super::together::Together;

fn message(sender: &str, body: &str) -> Value {
    json!({
        "sender": sender, "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": body },
    })
}

#[tokio::test]
async fn events_reach_clients_in_order() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let since = alice.sync(None).await.next_batch;
    let pdus: Vec<(String, Value)> =
        (0..50).map(|n| remote.append(&room, message(&bob, &n.to_string()))).collect();
    let answer = remote.send(&server, pdus.iter().map(|pdu| pdu.1.clone()).collect(), vec![]);
    let answer = answer.await.ok();
    for (event_id, _) in &pdus {
        assert_eq!(answer["pdus"][event_id], json!({}));
    }
    let page = alice.messages(&room, &format!("dir=f&from={since}&limit=100")).await;
    let bodies: Vec<_> = page["chunk"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["content"]["body"].as_str())
        .collect();
    assert_eq!(bodies, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Other servers sign what canonical JSON does not allow, and would send it again and again.
#[tokio::test]
async fn a_number_that_no_event_may_have_keeps_nothing_behind_it_from_us() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let since = alice.sync(None).await.next_batch;
    for (n, number) in ["9007199254741000", "1.5", "1e+16", "-0.0"].into_iter().enumerate() {
        let (odd, pdu) = remote.build(&room, message(&bob, "47114"));
        let (good, good_pdu) = remote.append(&room, message(&bob, &format!("good {n}")));
        let transaction = json!({
            "edus": [{ "edu_type": "m.typing", "content": { "odd": 47114 } }],
            "origin": remote.name(), "origin_server_ts": 1, "pdus": [pdu, good_pdu],
        });
        let body = transaction.to_string().replace("\"47114\"", number).replace("47114", number);
        let answer = remote.put_as_it_is(&server, &format!("v1/send/odd{n}"), body.clone()).await;
        assert_eq!(answer.status, 200, "{number}\n{answer}");
        assert_eq!(answer["pdus"][&good], json!({}), "{number}\n{answer}");
        assert_ne!(answer["pdus"][&odd], json!({}), "{number}\n{answer}");
        let authorization =
            format!(r#"X-Matrix origin="{}",key="ed25519:peer1",sig="AAAA""#, remote.name());
        let path = "v1/send/forged";
        let answer = remote.send_raw(&server, Method::PUT, path, body.into(), Some(&authorization));
        answer.await.error(401, "M_UNAUTHORIZED");
    }
    let sync = alice.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).bodies(), ["good 0", "good 1", "good 2", "good 3"]);
}

#[tokio::test]
async fn one_bad_event_harms_no_other() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let since = alice.sync(None).await.next_batch;
    let (first_id, first) = remote.append(&room, message(&bob, "first"));
    let (forged_id, mut forged) = remote.build(&room, message(&bob, "forged"));
    forged["signatures"] = json!({ remote.name().as_str(): { "ed25519:peer1": "AAAA" } });
    let (stranger_id, stranger) = remote.build(&room, message(&remote.user("eve"), "eve"));
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "d": deep });
    }
    let mut elsewhere = message(&bob, "elsewhere");
    elsewhere["room_id"] = json!("!nowhere:kith.test");
    let (last_id, last) = remote.append(&room, message(&bob, "last"));
    let pdus = vec![
        json!({}),
        json!([1, 2]),
        json!("text"),
        json!({ "room_id": room }),
        json!({ "room_id": 7, "type": deep }),
        elsewhere,
        first,
        forged,
        stranger,
        json!({ "room_id": room, "depth": 9_007_199_254_740_991_u64, "sender": "nobody" }),
        last,
    ];
    let answer = remote.send(&server, pdus, Vec::new()).await.ok();
    assert_eq!(answer["pdus"][&first_id], json!({}));
    assert_eq!(answer["pdus"][&last_id], json!({}));
    for refused in [&forged_id, &stranger_id] {
        assert!(answer["pdus"][refused]["error"].is_string(), "{answer:#}");
    }
    let sync =
        alice.sync_until(since, |sync| sync.timeline(&room).bodies().contains(&"last")).await;
    assert_eq!(sync.timeline(&room).bodies(), ["first", "last"]);
}

#[tokio::test]
async fn the_same_transaction_is_answered_the_same_and_does_nothing_again() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let (event_id, pdu) = remote.append(&room, message(&bob, "once"));
    let body = json!({
        "origin": remote.name(), "origin_server_ts": 1, "pdus": [pdu],
        "edus": [{ "edu_type": "m.direct_to_device", "content": {
            "sender": bob, "type": "m.test", "message_id": "1",
            "messages": { &alice.user_id: { "*": { "n": 1 } } },
        } }],
    });
    let since = alice.sync(None).await.next_batch;
    let first = remote.put(&server, "v1/send/t1", body.clone()).await.ok();
    assert_eq!(first["pdus"][&event_id], json!({}));
    assert_eq!(remote.put(&server, "v1/send/t1", body.clone()).await.ok(), first);
    // Under another name, as after a restart.
    assert_eq!(remote.put(&server, "v1/send/t2", body).await.ok(), first);
    let sync = alice.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).bodies(), ["once"]);
    assert_eq!(sync.to_device().iter().count(), 1);
}

#[tokio::test]
async fn a_transaction_has_limits() {
    let Together { server, remote, .. } = Together::start().await;
    let many = |count| vec![json!({}); count];
    remote.send(&server, many(50), many(100)).await.ok();
    remote.send(&server, many(51), Vec::new()).await.error(400, "M_INVALID_PARAM");
    remote.send(&server, Vec::new(), many(101)).await.error(400, "M_INVALID_PARAM");
    let large = json!({ "edu_type": "m.test", "content": "x".repeat(20_000_000) });
    remote.send(&server, Vec::new(), vec![large]).await.error(413, "M_TOO_LARGE");
    let body = json!({ "origin": remote.name(), "pdus": [] });
    assert_eq!(remote.put(&server, "v1/send/t", body).await.status, 400, "no origin_server_ts");
}

#[tokio::test]
async fn nobody_sends_for_another_server() {
    let server = TestServer::federating().await;
    let body = json!({ "origin": "a.example", "origin_server_ts": 1, "pdus": [] });
    let path = path!("/_matrix/federation/v1/send/{}", "t");
    server.anonymous().put(&path, body).await.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn a_server_that_the_room_denies_tells_nothing() {
    let Together { server, remote, alice, room, bob } = Together::start().await;
    let content = json!({ "allow": ["*"], "deny": ["127.0.0.1"], "allow_ip_literals": true });
    alice.set_state(&room, "m.room.server_acl", "", content).await;
    let since = alice.sync(None).await.next_batch;
    let (event_id, pdu) = remote.build(&room, message(&bob, "hello"));
    let typing = json!({ "room_id": room, "user_id": bob, "typing": true });
    let edu = json!({ "edu_type": "m.typing", "content": typing });
    let answer = remote.send(&server, vec![pdu], vec![edu]).await.ok();
    assert!(answer["pdus"][&event_id]["error"].is_string(), "{answer:#}");
    let sync = alice.sync(Some(since)).await;
    assert!(sync.timeline(&room).bodies().is_empty());
    assert!(sync.ephemeral(&room).is_empty());
}
