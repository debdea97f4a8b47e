//! Creating, looking at and upgrading rooms.

use kith_spec_tests::{Events, TestServer, path};
use serde_json::{Value, json};

fn content<'a>(state: &'a Value, event_type: &str) -> &'a Value {
    let event = Events(state).with_state_key(event_type, "");
    &event.unwrap_or_else(|| panic!("no {event_type} in {state:#}"))["content"]
}

/// The table of presets.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3createroom)
#[tokio::test]
async fn presets_set_the_rules_of_the_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let presets = [
        (json!({ "preset": "private_chat" }), "invite", "can_join"),
        (json!({ "preset": "trusted_private_chat" }), "invite", "can_join"),
        (json!({ "preset": "public_chat" }), "public", "forbidden"),
        (json!({}), "invite", "can_join"),
        (json!({ "visibility": "private" }), "invite", "can_join"),
        (json!({ "visibility": "public" }), "public", "forbidden"),
        (json!({ "visibility": "public", "preset": "private_chat" }), "invite", "can_join"),
    ];
    for (body, join_rule, guest_access) in presets {
        let room = alice.create_room_from(body.clone()).await;
        let state = alice.full_state(&room).await;
        let case = format!("{body}: {state:#}");
        assert_eq!(content(&state, "m.room.join_rules")["join_rule"], join_rule, "{case}");
        assert_eq!(content(&state, "m.room.guest_access")["guest_access"], guest_access, "{case}");
        let visibility = &content(&state, "m.room.history_visibility")["history_visibility"];
        assert_eq!(visibility, "shared", "{case}");
    }
}

#[tokio::test]
async fn a_trusted_private_chat_gives_invited_people_the_creators_power() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({ "preset": "trusted_private_chat", "invite": [bob.user_id] });

    let mut old = body.clone();
    old["room_version"] = json!("11");
    let room = alice.create_room_from(old).await;
    let levels = alice.state(&room, "m.room.power_levels", "").await;
    assert_eq!(levels["users"][&alice.user_id], 100, "{levels:#}");
    assert_eq!(levels["users"][&bob.user_id], 100, "{levels:#}");

    let mut new = body.clone();
    new["room_version"] = json!("12");
    let room = alice.create_room_from(new).await;
    let create = alice.state(&room, "m.room.create", "").await;
    assert_eq!(create["additional_creators"], json!([bob.user_id]), "{create:#}");
}

/// Every version that can be created has its own shape.
/// [Spec](https://spec.matrix.org/latest/rooms/)
#[tokio::test]
async fn rooms_of_versions_6_to_12_work() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in ["6", "7", "8", "9", "10", "11", "12"] {
        let body = json!({ "room_version": version, "invite": [bob.user_id], "name": version });
        let room = alice.create_room_from(body).await;
        let number: u32 = version.parse().unwrap();
        let create = alice.state(&room, "m.room.create", "").await;
        assert_eq!(create["room_version"], version, "{create:#}");
        assert_eq!(create.get("creator").is_some(), number < 11, "{version}: {create:#}");
        // From version 12 on the room's ID is the hash of its create event.
        assert_eq!(room.contains(':'), number < 12, "{version}: {room}");
        bob.join(&room).await;
        let event_id = bob.send_text(&room, "hello").await;
        let event = alice.event(&room, &event_id).await;
        assert_eq!(event["content"]["body"], "hello", "{event:#}");
        // Creators of version 12 have more power than any number; earlier ones are listed.
        let levels = alice.state(&room, "m.room.power_levels", "").await;
        let listed = levels["users"].get(&alice.user_id);
        assert_eq!(listed.is_some(), number < 12, "{version}: {levels:#}");
        let redaction = alice.redact(&room, &event_id).await;
        let redaction = bob.event(&room, &redaction).await;
        // It moved into the content in version 11; clients get both there.
        let redacts =
            if number < 11 { &redaction["redacts"] } else { &redaction["content"]["redacts"] };
        assert_eq!(redacts, event_id.as_str(), "{version}: {redaction:#}");
        assert_eq!(bob.event(&room, &event_id).await["content"], json!({}));
    }
}

#[tokio::test]
async fn the_default_room_version_is_the_configured_one() {
    let server =
        TestServer::with(|config| config.default_room_version = ruma::RoomVersionId::V10).await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    assert_eq!(alice.state(&room, "m.room.create", "").await["room_version"], "10");
    let capabilities = alice.get("v3/capabilities").await.ok();
    let versions = &capabilities["capabilities"]["m.room_versions"];
    assert_eq!(versions["default"], "10", "{versions:#}");
    assert_eq!(versions["available"]["12"], "stable", "{versions:#}");
}

#[tokio::test]
async fn an_unknown_room_version_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for version in ["1", "13", "kith"] {
        let answer = alice.post("v3/createRoom", json!({ "room_version": version })).await;
        answer.error(400, "M_UNSUPPORTED_ROOM_VERSION");
    }
}

/// The events come in the order that the specification gives.
#[tokio::test]
async fn a_room_begins_with_its_events_in_order() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({
        "preset": "public_chat",
        "room_alias_name": "pub",
        "name": "The Grand Duke Pub",
        "topic": "All about happy hour",
        "initial_state": [
            { "type": "org.example.first", "state_key": "a", "content": { "n": 1 } },
            { "type": "m.room.history_visibility", "content": { "history_visibility": "joined" } },
            { "type": "m.room.name", "content": { "name": "overridden" } },
        ],
        "invite": [bob.user_id],
    });
    let room = alice.create_room_from(body).await;
    let page = alice.messages(&room, "dir=f&limit=50").await;
    let mut types = Events(&page["chunk"]).types();
    assert_eq!(
        types[..4],
        ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias"]
    );
    assert_eq!(types.pop(), Some("m.room.member"), "invitations come last");
    assert_eq!(types[types.len() - 2..], ["m.room.name", "m.room.topic"]);
    let state = alice.full_state(&room).await;
    assert_eq!(content(&state, "m.room.name")["name"], "The Grand Duke Pub");
    assert_eq!(content(&state, "m.room.topic")["topic"], "All about happy hour");
    assert_eq!(content(&state, "m.room.history_visibility")["history_visibility"], "joined");
    assert_eq!(content(&state, "m.room.canonical_alias")["alias"], "#pub:kith.test");
    let first = Events(&state).with_state_key("org.example.first", "a").unwrap();
    assert_eq!(first["content"], json!({ "n": 1 }));
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("invite"));
}

#[tokio::test]
async fn creation_content_is_kept_except_for_what_the_server_knows_better() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let content = json!({
        "m.federate": false,
        "type": "m.space",
        "creator": "@mallory:kith.test",
        "room_version": "1",
    });
    let body = json!({ "room_version": "10", "creation_content": content });
    let room = alice.create_room_from(body).await;
    let create = alice.state(&room, "m.room.create", "").await;
    assert_eq!(create["m.federate"], false, "{create:#}");
    assert_eq!(create["type"], "m.space", "{create:#}");
    assert_eq!(create["creator"], alice.user_id.as_str(), "{create:#}");
    assert_eq!(create["room_version"], "10", "{create:#}");
}

#[tokio::test]
async fn power_levels_can_be_overridden_at_creation() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = json!({ "power_level_content_override": { "events_default": 50, "invite": 75 } });
    let room = alice.create_room_from(body).await;
    let levels = alice.state(&room, "m.room.power_levels", "").await;
    assert_eq!((&levels["events_default"], &levels["invite"]), (&json!(50), &json!(75)));
    // What is not overridden stays.
    assert!(levels["events"].is_object(), "{levels:#}");
}

/// Since room version 12 it must be harder to upgrade a room than to change its state.
#[tokio::test]
async fn a_tombstone_needs_more_power_than_other_state_in_version_12() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room_from(json!({ "room_version": "12" })).await;
    let levels = alice.state(&room, "m.room.power_levels", "").await;
    let tombstone = levels["events"]["m.room.tombstone"].as_i64();
    let state_default = levels["state_default"].as_i64().unwrap_or(50);
    assert!(tombstone.is_some_and(|level| level > state_default), "{levels:#}");
}

#[tokio::test]
async fn direct_invitations_say_that_they_are() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_from(json!({ "is_direct": true, "invite": [bob.user_id] })).await;
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["is_direct"], true, "{member:#}");
    assert_eq!(member["membership"], "invite", "{member:#}");
}

#[tokio::test]
async fn creating_a_room_with_a_taken_alias_leaves_no_room_behind() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.create_room_from(json!({ "room_alias_name": "pub" })).await;
    let answer = alice.post("v3/createRoom", json!({ "room_alias_name": "pub" })).await;
    answer.error(400, "M_ROOM_IN_USE");
    let joined = alice.get("v3/joined_rooms").await.ok();
    assert_eq!(joined["joined_rooms"].as_array().unwrap().len(), 1, "{joined:#}");
}

#[tokio::test]
async fn an_impossible_initial_state_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    // The creator gives up the power to name the room, and wants it named.
    let body = json!({
        "room_version": "11",
        "power_level_content_override": { "users": { &alice.user_id: 0 } },
        "name": "unnameable",
    });
    let answer = alice.post("v3/createRoom", body).await;
    answer.error(400, "M_INVALID_ROOM_STATE");
    let joined = alice.get("v3/joined_rooms").await.ok();
    assert_eq!(joined["joined_rooms"], json!([]));
}

#[tokio::test]
async fn an_event_is_found_by_its_members_only() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let (room, other) = (alice.create_room().await, alice.create_room().await);
    let event_id = alice.send_text(&room, "hello").await;
    let event = alice.get(&path!("v3/rooms/{}/event/{}", room, event_id)).await.ok();
    assert_eq!(event["event_id"], event_id.as_str());
    assert_eq!(event["room_id"], room.as_str());
    assert_eq!(event["sender"], alice.user_id.as_str());
    assert_eq!(event["type"], "m.room.message");
    assert!(event["origin_server_ts"].is_u64(), "{event:#}");
    for inner in ["auth_events", "prev_events", "hashes", "signatures", "depth"] {
        assert!(event.get(inner).is_none(), "`{inner}` is the servers' business: {event:#}");
    }
    let path = path!("v3/rooms/{}/event/{}", room, event_id);
    let stranger = eve.get(&path).await;
    assert!([403, 404].contains(&stranger.status), "{stranger}");
    // The event is there, but not in this room.
    alice.get(&path!("v3/rooms/{}/event/{}", other, event_id)).await.error(404, "M_NOT_FOUND");
    let unknown = path!("v3/rooms/{}/event/{}", room, "$doesnotexist");
    alice.get(&unknown).await.error(404, "M_NOT_FOUND");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#room-upgrades)
#[tokio::test]
async fn an_upgrade_makes_a_new_room_and_closes_the_old_one() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({
        "preset": "public_chat",
        "room_version": "10",
        "room_alias_name": "pub",
        "name": "The Grand Duke Pub",
        "topic": "All about happy hour",
        "creation_content": { "type": "org.example.kind" },
        "power_level_content_override": { "events": { "org.example.mine": 33 } },
    });
    let old = alice.create_room_from(body).await;
    bob.join(&old).await;
    let levels = bob.state(&old, "m.room.power_levels", "").await;
    bob.post(&path!("v3/rooms/{}/upgrade", old), json!({ "new_version": "11" }))
        .await
        .error(403, "M_FORBIDDEN");
    alice
        .post(&path!("v3/rooms/{}/upgrade", old), json!({ "new_version": "99" }))
        .await
        .error(400, "M_UNSUPPORTED_ROOM_VERSION");

    let answer =
        alice.post(&path!("v3/rooms/{}/upgrade", old), json!({ "new_version": "11" })).await;
    let answer = answer.ok();
    let new = answer["replacement_room"].as_str().unwrap();
    let tombstone = alice.state(&old, "m.room.tombstone", "").await;
    assert_eq!(tombstone["replacement_room"], new, "{tombstone:#}");

    let state = alice.full_state(new).await;
    let create = content(&state, "m.room.create");
    assert_eq!(create["predecessor"]["room_id"], old.as_str(), "{create:#}");
    assert_eq!(create["room_version"], "11");
    assert_eq!(create["type"], "org.example.kind");
    assert_eq!(content(&state, "m.room.name")["name"], "The Grand Duke Pub");
    assert_eq!(content(&state, "m.room.topic")["topic"], "All about happy hour");
    assert_eq!(content(&state, "m.room.join_rules")["join_rule"], "public");
    let new_levels = content(&state, "m.room.power_levels");
    assert_eq!(new_levels["events"]["org.example.mine"], 33, "{new_levels:#}");
    assert_eq!(new_levels["users"], levels["users"], "{new_levels:#}");

    let alias = alice.get(&path!("v3/directory/room/{}", "#pub:kith.test")).await.ok();
    assert_eq!(alias["room_id"], new, "aliases move to the new room");
    bob.join(new).await;
    // Nobody goes on talking in the old one.
    let talk = path!("v3/rooms/{}/send/m.room.message/t", old);
    bob.put(&talk, json!({ "msgtype": "m.text", "body": "?" })).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_upgrade_to_version_12_names_additional_creators() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let old = alice.create_room_from(json!({ "room_version": "11" })).await;
    let body = json!({ "new_version": "12", "additional_creators": [bob.user_id] });
    let answer = alice.post(&path!("v3/rooms/{}/upgrade", old), body).await.ok();
    let new = answer["replacement_room"].as_str().unwrap();
    let create = alice.state(new, "m.room.create", "").await;
    assert_eq!(create["additional_creators"], json!([bob.user_id]), "{create:#}");
    // Creators must not be listed in a room of version 12.
    let levels = alice.state(new, "m.room.power_levels", "").await;
    assert!(levels["users"].get(&alice.user_id).is_none(), "{levels:#}");
    assert!(levels["users"].get(&bob.user_id).is_none(), "{levels:#}");
}

/// From any version to any other.
#[tokio::test]
async fn rooms_are_upgraded_between_all_versions() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for (from, to) in [("6", "12"), ("9", "10"), ("12", "11"), ("12", "12"), ("11", "6")] {
        let body = json!({ "room_version": from, "name": "kept", "invite": [bob.user_id] });
        let old = alice.create_room_from(body).await;
        bob.join(&old).await;
        let mut levels = alice.state(&old, "m.room.power_levels", "").await;
        levels["users"][&bob.user_id] = json!(50);
        alice.set_state(&old, "m.room.power_levels", "", levels).await;
        let upgrade = path!("v3/rooms/{}/upgrade", old);
        let answer = alice.post(&upgrade, json!({ "new_version": to })).await.ok();
        let new = answer["replacement_room"].as_str().unwrap();
        let case = format!("{from} to {to}");
        assert_eq!(alice.state(new, "m.room.name", "").await["name"], "kept", "{case}");
        let levels = alice.state(new, "m.room.power_levels", "").await;
        assert_eq!(levels["users"][&bob.user_id], 50, "{case}: {levels:#}");
        // Whoever could do all before can do all now.
        alice.set_state(new, "m.room.encryption", "", json!({ "algorithm": "x" })).await;
        alice.set_state(new, "m.room.tombstone", "", json!({ "body": "again" })).await;
    }
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#room-upgrades)
#[tokio::test]
async fn ones_settings_follow_into_the_new_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let old = alice.create_public_room().await;
    bob.join(&old).await;
    let tag = path!("v3/user/{}/rooms/{}/tags/m.favourite", bob.user_id, old);
    bob.put(&tag, json!({ "order": 0.5 })).await.ok();
    let direct = path!("v3/user/{}/account_data/m.direct", bob.user_id);
    bob.put(&direct, json!({ &alice.user_id: [old] })).await.ok();
    let rule = path!("v3/pushrules/global/room/{}", old);
    bob.put(&rule, json!({ "actions": [] })).await.ok();

    let upgrade = path!("v3/rooms/{}/upgrade", old);
    let answer = alice.post(&upgrade, json!({ "new_version": "12" })).await.ok();
    let new = answer["replacement_room"].as_str().unwrap();
    bob.join(new).await;
    let tags = bob.get(&path!("v3/user/{}/rooms/{}/tags", bob.user_id, new)).await.ok();
    assert_eq!(tags["tags"]["m.favourite"]["order"], 0.5, "{tags:#}");
    assert_eq!(bob.get(&direct).await.ok()[&alice.user_id], json!([old, new]));
    bob.get(&path!("v3/pushrules/global/room/{}", new)).await.ok();
}

#[tokio::test]
async fn a_room_that_cannot_be_is_refused_and_leaves_nothing() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bad_json = [
        json!({ "preset": "club" }),
        json!({ "visibility": "sometimes" }),
        json!({ "invite": ["bob"] }),
        json!({ "initial_state": [{ "content": {} }] }),
        json!({ "power_level_content_override": { "ban": 1.5 } }),
        json!({ "creation_content": [] }),
    ];
    for body in bad_json {
        let answer = alice.post("v3/createRoom", body).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    for name in ["", "a:b", &"a".repeat(300)] {
        let answer = alice.post("v3/createRoom", json!({ "room_alias_name": name })).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let impossible = [
        json!({ "initial_state": [{ "type": "m.room.create", "content": {} }] }),
        json!({ "room_version": "12", "power_level_content_override": { "users": { &alice.user_id: 100 } } }),
        json!({ "room_version": "12", "creation_content": { "additional_creators": ["bob"] } }),
    ];
    for body in impossible {
        alice.post("v3/createRoom", body).await.error(400, "M_INVALID_ROOM_STATE");
    }
    assert_eq!(alice.get("v3/joined_rooms").await.ok()["joined_rooms"], json!([]));
}

/// From room version 12 on the ID is a hash of the create event, which holds a time in milliseconds.
#[tokio::test]
async fn rooms_made_at_the_same_moment_are_different_rooms() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let alice = alice.clone();
        tasks.spawn(async move { alice.create_room().await });
    }
    let rooms: std::collections::BTreeSet<String> = tasks.join_all().await.into_iter().collect();
    assert_eq!(rooms.len(), 64);
}
