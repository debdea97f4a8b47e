//! What becomes of events that another server made: the checks on receipt of a PDU, gaps, forks, history.

use std::time::{SystemTime, UNIX_EPOCH};

use kith_spec_tests::{RemoteServer, TestServer, TestUser, new_key, path, pdu_event_id, until};
use ruma::RoomVersionId;
use serde_json::{Value, json};

/// Alice of the server under test in a room of the peer, which Bob of the peer made.
struct Guest {
    server: TestServer,
    remote: RemoteServer,
    alice: TestUser,
    room: String,
}

const VERSIONS: [RoomVersionId; 4] =
    [RoomVersionId::V6, RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12];

impl Guest {
    async fn start(version: &RoomVersionId) -> Self {
        Self::after(version, |_, _| ()).await
    }

    /// `before` happens in the room before Alice comes.
    async fn after(version: &RoomVersionId, before: impl FnOnce(&RemoteServer, &str)) -> Self {
        let server = TestServer::federating().await;
        let remote = RemoteServer::start().await;
        let alice = server.register("alice").await;
        let room = remote.create_room(version, "bob");
        before(&remote, &room);
        let path = format!("{}?via={}", path!("v3/join/{}", room), remote.name());
        alice.post(&path, json!({})).await.ok();
        Self { server, remote, alice, room }
    }

    fn bob(&self) -> String {
        self.remote.user("bob")
    }

    fn text(&self, body: &str) -> Value {
        json!({ "sender": self.bob(), "type": "m.room.message",
            "content": { "msgtype": "m.text", "body": body } })
    }

    /// What Alice reads, oldest first, as far back as there is anything.
    async fn history(&self) -> Vec<Value> {
        let (mut events, mut from) = (Vec::new(), String::new());
        loop {
            let path = path!("v3/rooms/{}/messages", self.room);
            let page = self.alice.get(&format!("{path}?dir=b&limit=50{from}")).await.ok();
            events.extend(page["chunk"].as_array().cloned().unwrap_or_default());
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => break,
            }
        }
        events.reverse();
        events
    }

    async fn bodies(&self) -> Vec<String> {
        let events = self.history().await;
        let bodies = events.iter().filter_map(|event| event["content"]["body"].as_str());
        bodies.map(str::to_owned).collect()
    }

    /// The IDs of the events that make the room's state.
    async fn state(&self) -> Vec<String> {
        let state = self.alice.full_state(&self.room).await;
        let events = state.as_array().into_iter().flatten();
        let mut ids: Vec<_> = events.map(|event| event["event_id"].to_string()).collect();
        ids.sort();
        ids
    }

    async fn sees(&self, event_id: &str) -> bool {
        let path = path!("v3/rooms/{}/event/{}", self.room, event_id);
        self.alice.get(&path).await.status == 200
    }

    /// The result of one PDU: `Null` if it was taken.
    async fn send(&self, id: &str, pdu: &Value) -> Value {
        let answer = self.remote.send(&self.server, vec![pdu.clone()], vec![]).await;
        assert_eq!(answer.status, 200, "{answer}");
        answer["pdus"][id]["error"].clone()
    }
}

#[tokio::test]
async fn messages_of_the_peer_are_read_in_their_order() {
    for version in VERSIONS {
        let guest = Guest::start(&version).await;
        let since = guest.alice.sync(None).await.next_batch;
        for n in 0..5 {
            guest.remote.send_text(&guest.server, &guest.room, "bob", &format!("{n}")).await;
        }
        let sync = guest.alice.sync(Some(since)).await;
        assert_eq!(sync.timeline(&guest.room).bodies(), ["0", "1", "2", "3", "4"], "{version}");
    }
}

#[tokio::test]
async fn an_event_in_a_wrong_form_or_with_a_wrong_signature_is_refused_and_the_others_are_taken() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    let build = |event: Value| guest.remote.build(&guest.room, event);
    let (good, good_pdu) = guest.remote.append(&guest.room, guest.text("good"));
    let with = |field: &str, value: Value| {
        let mut pdu = guest.remote.room(&guest.room).complete(guest.text("bad"));
        pdu[field] = value;
        guest.remote.sign_pdu(&RoomVersionId::V11, pdu)
    };
    let many: Vec<String> = (0..21).map(|n| format!("${n}")).collect();
    let mut bad = vec![
        with("depth", json!(-1)),
        with("depth", json!("1")),
        with("prev_events", json!("none")),
        with("prev_events", json!(many)),
        with("auth_events", json!({})),
        with("sender", json!("bob")),
        with("state_key", json!(1)),
        with("content", json!([])),
        with("type", json!("x".repeat(256))),
        // Of another server's user, signed by this one.
        with("sender", json!(guest.alice.user_id)),
    ];
    let (id, mut pdu) = build(guest.text("tampered"));
    pdu["origin_server_ts"] = json!(5);
    bad.push((id, pdu));
    let (id, mut pdu) = build(guest.text("unsigned"));
    pdu["signatures"] = json!({});
    bad.push((id, pdu));
    let pdus = bad.iter().map(|(_, pdu)| pdu.clone()).chain([good_pdu]).collect();
    let answer = guest.remote.send(&guest.server, pdus, vec![]).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer["pdus"][&good].get("error").is_none(), "{answer}");
    assert!(guest.sees(&good).await);
    assert_eq!(guest.bodies().await, ["good"]);
}

/// Integers beyond 2^53 and floats are no canonical JSON: such an event is none, without harm.
/// (SECURITY 11.)
#[tokio::test]
async fn what_cannot_be_canonical_json_hurts_nobody() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    for depth in ["9007199254740993", "1.5", "1e400"] {
        let body = format!(
            r#"{{"origin":"{}","origin_server_ts":1,"pdus":[{{"depth":{depth},"room_id":"{}"}}]}}"#,
            guest.remote.name(),
            guest.room
        );
        let answer = guest.remote.put_as_it_is(&guest.server, "v1/send/strange", body).await;
        assert!([200, 400].contains(&answer.status), "{answer}");
    }
    guest.remote.send_text(&guest.server, &guest.room, "bob", "still here").await;
    assert_eq!(guest.bodies().await, ["still here"]);
}

#[tokio::test]
async fn an_event_with_a_wrong_hash_is_redacted() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    let (_, mut pdu) = guest.remote.build(&guest.room, guest.text("as it was"));
    pdu["content"]["body"] = json!("changed on the way");
    // The ID and the signatures are over the redacted event, which is the same.
    let id = pdu_event_id(&RoomVersionId::V11, &pdu);
    assert_eq!(guest.send(&id, &pdu).await, Value::Null);
    let event = guest.alice.get(&path!("v3/rooms/{}/event/{}", guest.room, id)).await.ok();
    assert_eq!(event["content"], json!({}));
}

#[tokio::test]
async fn events_that_the_room_does_not_allow_are_rejected_and_seen_by_nobody() {
    for version in VERSIONS {
        let guest = Guest::start(&version).await;
        guest.remote.join(&guest.server, &guest.room, "mallory").await;
        let mallory = guest.remote.user("mallory");
        let state = guest.state().await;
        let since = guest.alice.sync(None).await.next_batch;
        let forged = [
            json!({ "sender": mallory, "type": "m.room.name", "state_key": "",
                "content": { "name": "Mine" } }),
            json!({ "sender": mallory, "type": "m.room.power_levels", "state_key": "",
                "content": { "users": { mallory.clone(): 100 } } }),
            json!({ "sender": mallory, "type": "m.room.member", "state_key": guest.alice.user_id,
                "content": { "membership": "ban" } }),
            json!({ "sender": mallory, "type": "m.room.member",
                "state_key": guest.remote.user("nobody"), "content": { "membership": "join" } }),
            json!({ "sender": guest.remote.user("stranger"), "type": "m.room.message",
                "content": { "body": "not a member" } }),
            json!({ "sender": mallory, "type": "m.room.create", "state_key": "",
                "content": { "room_version": version.as_str(), "creator": mallory } }),
        ];
        for event in forged {
            let (id, pdu) = guest.remote.build(&guest.room, event);
            guest.send(&id, &pdu).await;
            assert!(!guest.sees(&id).await, "{version}: {pdu}");
        }
        assert_eq!(guest.state().await, state, "{version}");
        let sync = guest.alice.sync(Some(since)).await;
        assert!(sync.timeline(&guest.room).is_empty(), "{version}: {}", sync.json);
        guest.remote.send_text(&guest.server, &guest.room, "bob", "still here").await;
        assert_eq!(guest.bodies().await, ["still here"], "{version}");
    }
}

/// CVE-2026-45076.
#[tokio::test]
async fn two_hundred_rejected_events_inside_history_end_no_page() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    guest.remote.send_text(&guest.server, &guest.room, "bob", "before").await;
    let stranger = guest.remote.user("stranger");
    for chunk in 0..4 {
        let pdus = (0..50).map(|n| {
            let event = json!({ "sender": stranger, "type": "m.room.message",
                "content": { "body": format!("{chunk} {n}") } });
            guest.remote.build(&guest.room, event).1
        });
        guest.remote.send(&guest.server, pdus.collect(), vec![]).await;
    }
    guest.remote.send_text(&guest.server, &guest.room, "bob", "after").await;
    assert_eq!(guest.bodies().await, ["before", "after"]);
}

/// A banned user's server says that a message was sent before the ban.
#[tokio::test]
async fn an_event_that_only_an_old_state_allows_is_soft_failed() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    guest.remote.join(&guest.server, &guest.room, "mallory").await;
    let before = guest.remote.room(&guest.room);
    let ban = json!({ "sender": guest.bob(), "type": "m.room.member",
        "state_key": guest.remote.user("mallory"), "content": { "membership": "ban" } });
    guest.remote.send_event(&guest.server, &guest.room, ban).await;
    let late = json!({ "sender": guest.remote.user("mallory"), "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": "too late" } });
    let late = before.complete(late);
    let (id, pdu) = guest.remote.sign_pdu(&RoomVersionId::V11, late);
    assert_eq!(guest.send(&id, &pdu).await, Value::Null);
    assert!(!guest.sees(&id).await);
    // It is no end of the graph: what comes next does not name it.
    let next = guest.alice.send_text(&guest.room, "next").await;
    let pdu = guest.remote.wait_for_pdu(|pdu| pdu["content"]["body"] == "next").await;
    assert!(!pdu["prev_events"].as_array().unwrap().contains(&json!(id)), "{pdu}");
    assert!(guest.sees(&next).await);
    assert_eq!(guest.bodies().await, ["next"]);
}

#[tokio::test]
async fn events_that_were_missed_are_fetched_in_their_order() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    let since = guest.alice.sync(None).await.next_batch;
    for n in 0..130 {
        guest.remote.append(&guest.room, guest.text(&format!("{n}")));
    }
    guest.remote.send_text(&guest.server, &guest.room, "bob", "the newest").await;
    let mut expected: Vec<String> = (0..130).map(|n| n.to_string()).collect();
    expected.push("the newest".to_owned());
    assert_eq!(guest.bodies().await, expected);
    let sync = guest.alice.syncing(Some(since)).filter(r#"{"room":{"timeline":{"limit":50}}}"#);
    let sync = sync.get().await;
    assert_eq!(sync.timeline(&guest.room).bodies(), &expected[131 - 50..]);
}

/// The peer does not give what lies between, but says what the state was.
#[tokio::test]
async fn across_a_gap_that_cannot_be_filled_the_state_is_taken_over() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    let name = json!({ "sender": guest.bob(), "type": "m.room.name", "state_key": "",
        "content": { "name": "Renamed in the gap" } });
    guest.remote.append(&guest.room, name);
    for n in 0..5 {
        guest.remote.append(&guest.room, guest.text(&format!("lost {n}")));
    }
    guest.remote.answer("POST", "v1/get_missing_events/{}", |_| json!({ "events": [] }));
    guest.remote.send_text(&guest.server, &guest.room, "bob", "after the gap").await;
    let named = guest.alice.state(&guest.room, "m.room.name", "").await;
    assert_eq!(named["name"], "Renamed in the gap");
    assert!(guest.bodies().await.contains(&"after the gap".to_owned()));
}

/// Two admins name the room at the same time, each without having heard of the other.
#[tokio::test]
async fn a_fork_is_resolved_and_both_sides_are_kept() {
    for version in VERSIONS {
        let guest = Guest::start(&version).await;
        let levels = json!({ "sender": guest.bob(), "type": "m.room.power_levels", "state_key": "",
            "content": { "users": power(&guest, &version), "state_default": 50 } });
        guest.remote.send_event(&guest.server, &guest.room, levels).await;
        let before = guest.remote.room(&guest.room);
        let named = guest
            .alice
            .set_state(&guest.room, "m.room.name", "", json!({ "name": "Alice's" }))
            .await;
        guest.remote.wait_for_pdu(|pdu| pdu["content"]["name"] == "Alice's").await;
        // Later than Alice's by the clock, so that it wins.
        let mut event = json!({ "sender": guest.bob(), "type": "m.room.name", "state_key": "",
            "content": { "name": "Bob's" } });
        event["origin_server_ts"] = json!(u64::try_from(now()).unwrap() + 60_000);
        let (bobs, pdu) = guest.remote.sign_pdu(&version, before.complete(event));
        assert_eq!(guest.send(&bobs, &pdu).await, Value::Null, "{version}");
        let topic = json!({ "sender": guest.bob(), "type": "m.room.topic", "state_key": "",
            "content": { "topic": "Bob's" } });
        let (topic, pdu) = guest.remote.sign_pdu(&version, before.complete(topic));
        assert_eq!(guest.send(&topic, &pdu).await, Value::Null, "{version}");
        assert!(guest.sees(&named).await && guest.sees(&bobs).await, "{version}");
        let name = guest.alice.state(&guest.room, "m.room.name", "").await;
        assert_eq!(name["name"], "Bob's", "{version}");
        let topic_now = guest.alice.state(&guest.room, "m.room.topic", "").await;
        assert_eq!(topic_now["topic"], "Bob's", "{version}");
        // The next event joins the ends.
        guest.alice.send_text(&guest.room, "joined").await;
        let pdu = guest.remote.wait_for_pdu(|pdu| pdu["content"]["body"] == "joined").await;
        let mut ends: Vec<_> = pdu["prev_events"].as_array().unwrap().clone();
        ends.sort_by_key(Value::to_string);
        let mut expected = vec![json!(named), json!(bobs), json!(topic)];
        expected.sort_by_key(Value::to_string);
        assert_eq!(ends, expected, "{version}");
    }
}

/// Milliseconds since the epoch.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

/// Power for Alice; creators have it anyway from room version 12 on, and must not be named.
fn power(guest: &Guest, version: &RoomVersionId) -> Value {
    let mut users = json!({ guest.alice.user_id.clone(): 50 });
    if *version != RoomVersionId::V12 {
        users[guest.bob()] = json!(100);
    }
    users
}

#[tokio::test]
async fn what_relates_to_or_redacts_a_later_event_finds_it() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    // The peer's room goes message, reaction, redaction; they arrive the other way round.
    let (message, message_pdu) = guest.remote.append(&guest.room, guest.text("the message"));
    let (secret, secret_pdu) = guest.remote.append(&guest.room, guest.text("a secret"));
    let reaction = json!({ "sender": guest.bob(), "type": "m.reaction", "content": {
        "m.relates_to": { "rel_type": "m.annotation", "event_id": message, "key": "👍" }
    } });
    let redaction = json!({ "sender": guest.bob(), "type": "m.room.redaction",
        "content": { "redacts": secret } });
    guest.remote.answer("POST", "v1/get_missing_events/{}", |_| json!({ "events": [] }));
    let reaction = guest.remote.send_event(&guest.server, &guest.room, reaction).await;
    guest.remote.send_event(&guest.server, &guest.room, redaction).await;
    assert!(guest.sees(&reaction).await);
    assert_eq!(guest.send(&message, &message_pdu).await, Value::Null);
    assert_eq!(guest.send(&secret, &secret_pdu).await, Value::Null);
    let related = path!("v1/rooms/{}/relations/{}", guest.room, message);
    let related = guest.alice.get(&related).await.ok();
    assert_eq!(related["chunk"][0]["event_id"], reaction.as_str(), "{related}");
    let event = guest.alice.get(&path!("v3/rooms/{}/event/{}", guest.room, secret)).await.ok();
    assert_eq!(event["content"], json!({}), "{event}");
}

#[tokio::test]
async fn history_from_before_the_join_is_fetched_as_it_is_read() {
    for version in [RoomVersionId::V10, RoomVersionId::V12] {
        let guest = Guest::after(&version, |remote, room| {
            for n in 0..250 {
                let event = json!({ "sender": remote.user("bob"), "type": "m.room.message",
                    "content": { "msgtype": "m.text", "body": format!("old {n}") } });
                remote.append(room, event);
            }
        })
        .await;
        let bodies = guest.bodies().await;
        let expected: Vec<String> = (0..250).map(|n| format!("old {n}")).collect();
        assert_eq!(bodies, expected, "{version}");
        let first = &guest.history().await[0];
        assert_eq!(first["type"], "m.room.create", "{version}");
        // What was fetched stays, and nothing is news.
        let asked = guest.remote.asked().len();
        assert_eq!(guest.bodies().await, expected, "{version}");
        assert_eq!(guest.remote.asked().len(), asked, "{version}: it was fetched again");
    }
}

/// GHSA-pfw4-xjgm-267c: signatures are checked whichever way an event comes.
#[tokio::test]
async fn a_forged_event_is_taken_by_no_way() {
    let guest = Guest::after(&RoomVersionId::V11, |remote, room| {
        let event = json!({ "sender": remote.user("bob"), "type": "m.room.message",
            "content": { "body": "genuine" } });
        remote.append(room, event);
    })
    .await;
    let other = new_key("forged");
    let forge = |body: &str| {
        let pdu = guest.remote.room(&guest.room).complete(guest.text(body));
        guest.remote.sign_pdu_with(&other, &RoomVersionId::V11, pdu)
    };
    let (_, old) = forge("forged history");
    guest.remote.answer("GET", "v1/backfill/{}", move |_| json!({ "pdus": [old] }));
    assert!(!guest.bodies().await.contains(&"forged history".to_owned()));
    let (id, missed) = forge("forged and missed");
    let mut next = guest.remote.room(&guest.room).complete(guest.text("next"));
    next["prev_events"] = json!([id]);
    let (next_id, next) = guest.remote.sign_pdu(&RoomVersionId::V11, next);
    let (as_missing, as_event) = (missed.clone(), missed.clone());
    guest.remote.answer(
        "POST",
        "v1/get_missing_events/{}",
        move |_| json!({ "events": [as_missing] }),
    );
    guest.remote.answer("GET", "v1/event/{}", move |_| json!({ "pdus": [as_event] }));
    guest.send(&next_id, &next).await;
    guest.send(&id, &missed).await;
    assert!(!guest.sees(&id).await);
    until("the room goes on", async || {
        let room = &guest.room;
        guest.remote.send_text(&guest.server, room, "bob", "goes on").await;
        guest.bodies().await.contains(&"goes on".to_owned()).then_some(())
    })
    .await;
    assert!(!guest.bodies().await.iter().any(|body| body.contains("forged")));
}

#[tokio::test]
async fn many_ends_of_a_graph_are_joined_though_nobody_here_writes() {
    let guest = Guest::start(&RoomVersionId::V11).await;
    let (remote, room) = (&guest.remote, &guest.room);
    let ends: Vec<_> = (0..15).map(|n| remote.build(room, guest.text(&n.to_string()))).collect();
    let (ids, pdus): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    remote.send(&guest.server, pdus, Vec::new()).await;
    let joins = |pdu: &Value| pdu["type"] == "org.matrix.dummy_event";
    let sent = remote.wait_for(|asked| asked.pdus().any(joins)).await;
    let dummy = sent.pdus().find(|pdu| joins(pdu)).cloned().expect("just seen");
    assert_eq!(dummy["sender"], guest.alice.user_id);
    let joined = dummy["prev_events"].as_array().expect("events");
    assert!(joined.len() > 10, "as many as were there");
    assert!(joined.iter().all(|id| ids.iter().any(|end| id == end)));
}
