//! What was said around an event, and at a moment.

use kith_spec_tests::{Events, TestServer, encode, event_ids, path};
use serde_json::json;

#[tokio::test]
async fn context_shows_what_was_before_and_after() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut sent = Vec::new();
    for n in 0..9 {
        sent.push(alice.send_text(&room, &n.to_string()).await);
    }
    let context = path!("v3/rooms/{}/context/{}", room, sent[4]);
    let answer = alice.get(&format!("{context}?limit=4")).await.ok();
    assert_eq!(answer["event"]["event_id"], sent[4].as_str());
    assert_eq!(event_ids(&answer["events_before"]), [sent[3].clone(), sent[2].clone()]);
    assert_eq!(event_ids(&answer["events_after"]), [sent[5].clone(), sent[6].clone()]);
    assert!(Events(&answer["state"]).with_state_key("m.room.create", "").is_some());
    // Its ends are where one pages on.
    let start = encode(answer["start"].as_str().unwrap());
    let before = alice.messages(&room, &format!("dir=b&limit=2&from={start}")).await;
    assert_eq!(event_ids(&before["chunk"]), [sent[1].clone(), sent[0].clone()]);
    let end = encode(answer["end"].as_str().unwrap());
    let after = alice.messages(&room, &format!("dir=f&limit=5&from={end}")).await;
    assert_eq!(event_ids(&after["chunk"]), sent[7..]);
    let alone = alice.get(&format!("{context}?limit=0")).await.ok();
    assert_eq!(alone["event"]["event_id"], sent[4].as_str());
    assert!(
        Events(&alone["events_before"]).is_empty() && Events(&alone["events_after"]).is_empty()
    );
    let answer = alice.get(&context).await.ok();
    let around =
        event_ids(&answer["events_before"]).len() + event_ids(&answer["events_after"]).len();
    assert!(around <= 10, "ten, unless the client says otherwise: {answer:#}");
}

#[tokio::test]
async fn the_filter_of_a_context_spares_the_event_itself() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.send_text(&room, "before").await;
    let rare = bob.send(&room, "org.example.rare", json!({})).await;
    let after = alice.send_text(&room, "after").await;
    let filter = encode(json!({ "types": ["m.room.message"], "lazy_load_members": true }));
    let context = path!("v3/rooms/{}/context/{}", room, rare);
    let answer = alice.get(&format!("{context}?filter={filter}")).await.ok();
    assert_eq!(answer["event"]["event_id"], rare.as_str());
    assert_eq!(event_ids(&answer["events_after"]), [after]);
    for event in Events(&answer["events_before"]).iter() {
        assert_eq!(event["type"], "m.room.message");
    }
}

#[tokio::test]
async fn a_context_that_one_may_not_see_is_not_found() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let (room, other) = (alice.create_room().await, alice.create_room().await);
    let event_id = alice.send_text(&room, "secret").await;
    let answer = eve.get(&path!("v3/rooms/{}/context/{}", room, event_id)).await;
    assert!([403, 404].contains(&answer.status), "{answer}");
    assert!(!answer.text.contains("secret"));
    alice.get(&path!("v3/rooms/{}/context/{}", other, event_id)).await.error(404, "M_NOT_FOUND");
    alice.get(&path!("v3/rooms/{}/context/{}", room, "$nothing")).await.error(404, "M_NOT_FOUND");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)
#[tokio::test]
async fn the_event_closest_to_a_moment_is_found() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let mut sent = Vec::new();
    for n in 0..3 {
        let event_id = alice.send_text(&room, &n.to_string()).await;
        sent.push((
            alice.event(&room, &event_id).await["origin_server_ts"].as_u64().unwrap(),
            event_id,
        ));
    }
    let find = async |ts: u64, dir: &str| {
        let path = format!("{}?ts={ts}&dir={dir}", path!("v1/rooms/{}/timestamp_to_event", room));
        alice.get(&path).await
    };
    let (last_ts, last) = sent.last().unwrap();
    let found = find(last_ts + 1_000_000, "b").await.ok();
    assert_eq!((&found["event_id"], &found["origin_server_ts"]), (&json!(last), &json!(last_ts)));
    find(last_ts + 1_000_000, "f").await.error(404, "M_NOT_FOUND");
    let found = find(1, "f").await.ok();
    let first = alice.event(&room, found["event_id"].as_str().unwrap()).await;
    assert_eq!(first["type"], "m.room.create");
    find(1, "b").await.error(404, "M_NOT_FOUND");
    // At the very moment both directions find something of that moment.
    for dir in ["f", "b"] {
        let found = find(*last_ts, dir).await.ok();
        assert_eq!(found["origin_server_ts"], *last_ts, "{dir}: {found:#}");
    }
    let path = format!("{}?ts={last_ts}&dir=b", path!("v1/rooms/{}/timestamp_to_event", room));
    let answer = eve.get(&path).await;
    assert!([403, 404].contains(&answer.status), "{answer}");
    let missing = alice.get(&path!("v1/rooms/{}/timestamp_to_event", room)).await;
    assert_eq!(missing.status, 400, "{missing}");
}
