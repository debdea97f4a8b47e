//! Reading and setting the state of a room.

use kith_spec_tests::{Events, TestServer, path};
use serde_json::json;

#[tokio::test]
async fn state_is_set_and_read_with_and_without_a_key() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let set =
        alice.put(&path!("v3/rooms/{}/state/org.example.a/key", room), json!({ "n": 1 })).await;
    let event_id = set.text_at("event_id");
    let get = path!("v3/rooms/{}/state/org.example.a/key", room);
    assert_eq!(alice.get(&get).await.ok(), json!({ "n": 1 }));
    let event = alice.get(&format!("{get}?format=event")).await.ok();
    assert_eq!(event["event_id"], event_id.as_str());
    assert_eq!((&event["state_key"], &event["content"]), (&json!("key"), &json!({ "n": 1 })));
    assert_eq!(event["sender"], alice.user_id.as_str());
    // An empty key is written with the last slash and without.
    for (path, n) in
        [("v3/rooms/{}/state/org.example.b", 2), ("v3/rooms/{}/state/org.example.b/", 3)]
    {
        let path = path.replace("{}", &kith_spec_tests::encode(&room));
        alice.put(&path, json!({ "n": n })).await.ok();
        for read in [path.trim_end_matches('/').to_owned(), path.clone()] {
            assert_eq!(alice.get(&read).await.ok(), json!({ "n": n }));
        }
    }
}

#[tokio::test]
async fn state_that_is_not_there_is_not_found() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    for path in ["v3/rooms/{}/state/m.room.name", "v3/rooms/{}/state/m.room.create/other"] {
        let path = path.replace("{}", &kith_spec_tests::encode(&room));
        alice.get(&path).await.error(404, "M_NOT_FOUND");
    }
    eve.get(&path!("v3/rooms/{}/state/m.room.create", room)).await.error(403, "M_FORBIDDEN");
    eve.get(&path!("v3/rooms/{}/state", room)).await.error(403, "M_FORBIDDEN");
    // A room that is not there looks like one that is closed.
    eve.get(&path!("v3/rooms/{}/state", "!nowhere:kith.test")).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_whole_state_has_each_key_once_and_in_its_latest_form() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    for n in 0..3 {
        alice.set_state(&room, "m.room.topic", "", json!({ "topic": n.to_string() })).await;
    }
    let state = alice.full_state(&room).await;
    let events = state.as_array().unwrap();
    let mut keys: Vec<_> = events.iter().map(|e| (&e["type"], &e["state_key"])).collect();
    let all = keys.len();
    keys.sort_by_key(|(a, b)| format!("{a}{b}"));
    keys.dedup();
    assert_eq!(keys.len(), all, "{state:#}");
    let topic = Events(&state).with_state_key("m.room.topic", "").unwrap();
    assert_eq!(topic["content"]["topic"], "2");
}

#[tokio::test]
async fn setting_the_same_state_again_changes_nothing() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let first = alice.set_state(&room, "m.room.name", "", json!({ "name": "same" })).await;
    let second = alice.set_state(&room, "m.room.name", "", json!({ "name": "same" })).await;
    let third = alice.set_state(&room, "m.room.name", "", json!({ "name": "other" })).await;
    assert_eq!(first, second);
    assert_ne!(second, third);
}

#[tokio::test]
async fn state_needs_power() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let name = path!("v3/rooms/{}/state/m.room.name", room);
    bob.put(&name, json!({ "name": "mine" })).await.error(403, "M_FORBIDDEN");
    let mut levels = alice.state(&room, "m.room.power_levels", "").await;
    levels["users"][&bob.user_id] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", levels.clone()).await;
    bob.put(&name, json!({ "name": "mine" })).await.ok();
    // Nobody gives more than they have.
    levels["users"][&bob.user_id] = json!(100);
    let path = path!("v3/rooms/{}/state/m.room.power_levels", room);
    bob.put(&path, levels).await.error(403, "M_FORBIDDEN");
    // A key that is a user's name is that user's.
    let theirs = path!("v3/rooms/{}/state/org.example.mine/{}", room, alice.user_id);
    bob.put(&theirs, json!({})).await.error(403, "M_FORBIDDEN");
    let own = path!("v3/rooms/{}/state/org.example.mine/{}", room, bob.user_id);
    bob.put(&own, json!({})).await.ok();
}

#[tokio::test]
async fn a_room_has_one_create_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let answer = alice.put(&path!("v3/rooms/{}/state/m.room.create", room), json!({})).await;
    assert!([400, 403].contains(&answer.status), "{answer}");
}

#[tokio::test]
async fn a_former_member_sees_the_state_of_when_they_left() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "before" })).await;
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "after" })).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "secret" })).await;
    assert_eq!(bob.state(&room, "m.room.name", "").await["name"], "before");
    bob.get(&path!("v3/rooms/{}/state/m.room.topic", room)).await.error(404, "M_NOT_FOUND");
    let state = bob.full_state(&room).await;
    assert!(!state.to_string().contains("secret"), "{state:#}");
    assert_eq!(alice.state(&room, "m.room.name", "").await["name"], "after");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#mroomcanonical_alias)
#[tokio::test]
async fn a_canonical_alias_must_point_to_its_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room_from(json!({ "room_alias_name": "here" })).await;
    alice.create_room_from(json!({ "room_alias_name": "there" })).await;
    let path = path!("v3/rooms/{}/state/m.room.canonical_alias", room);
    for body in [
        json!({ "alias": "#there:kith.test" }),
        json!({ "alias": "#nowhere:kith.test" }),
        json!({ "alias": "#here:kith.test", "alt_aliases": ["#there:kith.test"] }),
    ] {
        alice.put(&path, body).await.error(400, "M_BAD_ALIAS");
    }
    let malformed = json!({ "alias": "#here:kith.test", "alt_aliases": ["no alias"] });
    alice.put(&path, malformed).await.error(400, "M_INVALID_PARAM");
    alice.put(&path, json!({ "alt_aliases": ["#here:kith.test"] })).await.ok();
    alice.put(&path, json!({})).await.ok();
}

#[tokio::test]
async fn state_cannot_be_posted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let answer = alice.post(&path!("v3/rooms/{}/state/m.room.name", room), json!({})).await;
    answer.error(405, "M_UNRECOGNIZED");
}

/// What happened between leaving and being banned is not for the banned.
#[tokio::test]
async fn a_ban_after_leaving_shows_nothing_more() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "before" })).await;
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "secret" })).await;
    alice.ban(&room, &bob).await;
    assert_eq!(bob.state(&room, "m.room.name", "").await["name"], "before");
    let members = bob.get(&path!("v3/rooms/{}/members", room)).await.ok();
    let own = Events(&members["chunk"]).with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "leave", "{members:#}");
    let page = bob.messages(&room, "dir=b&limit=50").await;
    assert!(!page.to_string().contains("secret"), "{page:#}");
    // Unbanned and invited, they still have not come back.
    alice.unban(&room, &bob).await;
    alice.invite(&room, &bob).await;
    assert_eq!(bob.state(&room, "m.room.name", "").await["name"], "before");
}

#[tokio::test]
async fn anybody_reads_a_room_for_the_world_and_nobody_a_forgotten_one() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let eve = server.register("eve").await;
    let room = alice.create_room_with(&[&bob]).await;
    let reads = [
        path!("v3/rooms/{}/state", room),
        path!("v3/rooms/{}/state/m.room.create", room),
        path!("v3/rooms/{}/members", room),
        path!("v3/rooms/{}/messages?dir=b", room),
    ];
    bob.leave(&room).await;
    for path in &reads {
        bob.get(path).await.ok();
        eve.get(path).await.error(403, "M_FORBIDDEN");
    }
    bob.forget(&room).await;
    for path in &reads {
        bob.get(path).await.error(403, "M_FORBIDDEN");
    }
    let open = json!({ "history_visibility": "world_readable" });
    alice.set_state(&room, "m.room.history_visibility", "", open).await;
    for path in &reads {
        eve.get(path).await.ok();
        bob.get(path).await.ok();
    }
    // Those who are joined are the members' business.
    let joined = path!("v3/rooms/{}/joined_members", room);
    eve.get(&joined).await.error(403, "M_FORBIDDEN");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#room-event-format)
#[tokio::test]
async fn what_state_was_replaced_is_told_to_those_who_may_see_it() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let history = json!({
        "type": "m.room.history_visibility", "state_key": "",
        "content": { "history_visibility": "joined" },
    });
    let body = json!({ "preset": "public_chat", "initial_state": [history] });
    let room = alice.create_room_from(body).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "a secret" })).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "nothing" })).await;
    bob.join(&room).await;
    let path = path!("v3/rooms/{}/state/m.room.topic/?format=event", room);
    let seen = alice.get(&path).await.ok();
    assert_eq!(seen["unsigned"]["prev_content"]["topic"], "a secret");
    let seen = bob.get(&path).await.ok();
    assert!(seen["unsigned"].get("prev_content").is_none(), "{seen:#}");
    assert!(seen["unsigned"]["replaces_state"].is_string(), "{seen:#}");
    assert!(!bob.sync(None).await.json.to_string().contains("a secret"));
}
