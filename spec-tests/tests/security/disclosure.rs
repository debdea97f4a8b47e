//! Nobody reads what they may not: SECURITY.md, lines 22, 24 and 26.

use kith_spec_tests::{Answer, TestServer, TestUser, encode, path};
use reqwest::Method;
use serde_json::{Value, json};

/// Every read of a room by the ID of an event, or near one.
fn reads(room: &str, event: &str) -> Vec<String> {
    vec![
        path!("v3/rooms/{}/event/{}", room, event),
        path!("v3/rooms/{}/context/{}", room, event),
        path!("v1/rooms/{}/relations/{}", room, event),
        path!("v1/rooms/{}/relations/{}/m.thread", room, event),
        path!("v1/rooms/{}/relations/{}/m.thread/m.room.message", room, event),
        path!("unstable/io.element.msc4306/rooms/{}/thread/{}/subscription", room, event),
    ]
}

/// A room with a thread in it: the room, the root and a reply.
async fn talk(alice: &TestUser, room: &str) -> (String, String) {
    let root = alice.send_text(room, "root").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let content = json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relation });
    let reply = alice.send(room, "m.room.message", content).await;
    (root, reply)
}

#[tokio::test]
async fn an_event_of_a_room_that_one_is_not_in_is_read_by_no_endpoint() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let (room, own) = (alice.create_room().await, eve.create_room().await);
    let (root, reply) = talk(&alice, &room).await;
    for event in [&root, &reply] {
        // By its own room, by a room of one's own, and one that does not exist.
        let tries = [reads(&room, event), reads(&own, event), reads("!no:kith.test", "$no")];
        let mut answers = Vec::new();
        for paths in tries {
            let mut texts = Vec::new();
            for path in paths {
                let answer = eve.get(&path).await;
                texts.push(answer.text.clone());
                answer.error(404, "M_NOT_FOUND");
            }
            answers.push(texts);
        }
        assert_eq!(answers[0], answers[1], "another room's event is as one that does not exist");
        assert_eq!(answers[0], answers[2], "a hidden room is as one that does not exist");
    }
    // What reads a room without an event.
    for read in [
        "timestamp_to_event?ts=0&dir=f",
        "timestamp_to_event?ts=9999999999999&dir=b",
        "threads",
        "hierarchy",
    ] {
        let hidden = eve.get(&format!("v1/rooms/{}/{read}", encode(&room))).await;
        let unknown = eve.get(&format!("v1/rooms/{}/{read}", encode("!no:kith.test"))).await;
        assert_eq!(hidden.text, unknown.text, "{read}");
        hidden.error(403, "M_FORBIDDEN");
    }
    // Receipts and reports tell nothing either.
    let receipt = path!("v3/rooms/{}/receipt/m.read/{}", room, root);
    eve.post(&receipt, json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn after_leaving_nothing_new_is_read_by_any_endpoint() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let (root, _) = talk(&alice, &room).await;
    alice.kick(&room, &bob).await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let content = json!({ "msgtype": "m.text", "body": "behind bob", "m.relates_to": relation });
    let late = alice.send(&room, "m.room.message", content).await;
    for path in reads(&room, &late) {
        bob.get(&path).await.error(404, "M_NOT_FOUND");
    }
    let mut shown = Vec::new();
    for path in [
        path!("v3/rooms/{}/event/{}", room, root),
        path!("v3/rooms/{}/context/{}", room, root),
        path!("v1/rooms/{}/relations/{}", room, root),
        path!("v1/rooms/{}/threads", room),
        path!("v3/rooms/{}/messages?dir=b", room),
    ] {
        shown.push(bob.get(&path).await.ok().to_string());
    }
    shown.push(bob.sync(None).await.json.to_string());
    let moment = path!("v1/rooms/{}/timestamp_to_event?ts=9999999999999&dir=b", room);
    shown.push(bob.get(&moment).await.text);
    for text in shown {
        assert!(!text.contains("behind bob") && !text.contains(&late), "{text}");
    }
}

#[tokio::test]
async fn the_existence_of_a_private_room_cannot_be_told() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice
        .create_room_from(
            json!({ "preset": "private_chat", "name": "Secret", "room_alias_name": "s" }),
        )
        .await;
    let restricted = json!({ "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": room }] });
    let state = json!([{ "type": "m.room.join_rules", "content": restricted }]);
    let for_members = alice.create_room_from(json!({ "initial_state": state })).await;
    let space = alice
        .create_room_from(
            json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } }),
        )
        .await;
    for child in [&room, &for_members] {
        alice.set_state(&space, "m.space.child", child, json!({ "via": ["kith.test"] })).await;
    }
    let nobody = server.anonymous();
    for hidden in [room.as_str(), "#s:kith.test", &for_members] {
        for unknown in
            ["!no:kith.test", "#no:kith.test", "!no:elsewhere.test", "#no:elsewhere.test"]
        {
            for asker in [&eve, &nobody] {
                let ask = async |id: &str| -> Answer {
                    asker.get(&path!("v1/room_summary/{}", id)).await
                };
                let (hidden, unknown) = (ask(hidden).await, ask(unknown).await);
                assert_eq!(hidden.text, unknown.text);
                hidden.error(404, "M_NOT_FOUND");
                unknown.error(404, "M_NOT_FOUND");
            }
        }
    }
    // The space names its children, and the walk says nothing of them.
    let walk = eve.get(&path!("v1/rooms/{}/hierarchy", space)).await.ok();
    assert_eq!(walk["rooms"].as_array().unwrap().len(), 1, "{walk:#}");
    assert!(!walk.to_string().contains("Secret"));
    // Members are found nowhere by those outside.
    let mutual = eve.get(&format!("v1/mutual_rooms?user_id={}", encode(&alice.user_id))).await.ok();
    assert_eq!(mutual["joined"], json!([]));
    for list in ["members", "joined_members", "aliases"] {
        eve.get(&path!("v3/rooms/{}/{}", room, list)).await.error(403, "M_FORBIDDEN");
    }
    // Members and those who are invited do find it.
    alice.invite(&room, &eve).await;
    let summary = eve.get(&path!("v1/room_summary/{}", room)).await.ok();
    assert_eq!((&summary["name"], &summary["membership"]), (&json!("Secret"), &json!("invite")));
    eve.join(&room).await;
    eve.get(&path!("v1/room_summary/{}", for_members)).await.ok();
}

/// Everything in `value` that is under this name.
fn all_named<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let own = (key == name).then_some(value);
                own.into_iter().chain(all_named(value, name))
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(|value| all_named(value, name)).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_transaction_id_of_a_bundled_event_is_for_the_sending_device_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let laptop = alice.log_in_again().await;
    let room = alice.create_room_with(&[&bob]).await;
    let (root, reply) = talk(&alice, &room).await;
    for (event, transaction) in [(&root, "edit-of-root"), (&reply, "edit-of-reply")] {
        let content = json!({
            "msgtype": "m.text",
            "body": "* edited",
            "m.new_content": { "msgtype": "m.text", "body": "edited" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
        });
        let path = path!("v3/rooms/{}/send/m.room.message/{}", room, transaction);
        alice.put(&path, content).await.ok();
    }
    let paths = [
        path!("v3/rooms/{}/event/{}", room, root),
        path!("v3/rooms/{}/context/{}", room, root),
        path!("v3/rooms/{}/messages?dir=b", room),
        path!("v1/rooms/{}/relations/{}", room, root),
        path!("v1/rooms/{}/threads", room),
        path!("v3/sync?filter={}", json!({ "room": { "timeline": { "limit": 4 } } })),
    ];
    for path in &paths {
        for other in [&laptop, &bob] {
            let seen = other.get(path).await.ok();
            assert!(seen.to_string().contains("m.relations"), "{path}: {seen:#}");
            assert_eq!(all_named(&seen, "transaction_id"), [&Value::Null; 0], "{path}");
        }
        let own = alice.get(path).await.ok();
        let bundles = all_named(&own, "m.relations");
        let ids: Vec<_> =
            bundles.into_iter().flat_map(|bundle| all_named(bundle, "transaction_id")).collect();
        assert!(ids.contains(&&json!("edit-of-reply")), "{path}: {own:#}");
    }
}

#[tokio::test]
async fn what_was_redacted_is_served_nowhere() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let (root, reply) = talk(&alice, &room).await;
    let content = json!({
        "msgtype": "m.text",
        "body": "* sensitive",
        "m.new_content": { "msgtype": "m.text", "body": "sensitive" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": root },
    });
    let edit = alice.send(&room, "m.room.message", content).await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let content = json!({ "msgtype": "m.text", "body": "sensitive", "m.relates_to": relation });
    let second = alice.send(&room, "m.room.message", content).await;
    let paths = [
        path!("v3/rooms/{}/event/{}", room, root),
        path!("v3/rooms/{}/context/{}", room, reply),
        path!("v3/rooms/{}/messages?dir=b", room),
        path!("v1/rooms/{}/relations/{}", room, root),
        path!("v1/rooms/{}/threads", room),
    ];
    for path in &paths {
        let before = bob.request(Method::GET, path, None).await.ok();
        assert!(before.to_string().contains("sensitive"), "{path}: {before:#}");
    }
    for event in [&edit, &second] {
        alice.redact(&room, event).await;
    }
    for path in &paths {
        let after = bob.get(path).await.ok();
        assert!(!after.to_string().contains("sensitive"), "{path}: {after:#}");
    }
    assert!(!bob.sync(None).await.json.to_string().contains("sensitive"));
}
