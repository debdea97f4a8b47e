//! Our users join rooms of other servers.

use std::sync::Arc;

use kith_spec_tests::{RemoteReply, RemoteServer, TestServer, path};
use ruma::RoomVersionId;
use serde_json::json;

use super::{NAMED, VERSIONS, join_via, membership, name};

#[tokio::test]
async fn our_user_joins_rooms_of_every_version() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    name(&alice).await;
    for version in &VERSIONS {
        let room = remote.create_room(version, "rachel");
        let since = alice.sync(None).await.next_batch;
        let answer = join_via(&alice, &room, remote.name().as_str()).await.ok();
        assert_eq!(answer["room_id"], room);
        let sync = alice.sync(Some(since)).await;
        let joined = sync.joined(&room);
        assert_eq!(joined["summary"]["m.joined_member_count"], 2, "{version}: {joined:#}");
        let state = alice.full_state(&room).await;
        assert_eq!(state.as_array().map(Vec::len), Some(6), "{version}: {state:#}");
        let member = alice.state(&room, "m.room.member", &alice.user_id).await;
        assert_eq!(member["displayname"], "alice");
        remote.send_text(&server, &room, "rachel", "welcome").await;
        let sync = alice.sync(Some(sync.next_batch)).await;
        assert_eq!(sync.timeline(&room).bodies(), ["welcome"], "{version}");
    }
}

#[tokio::test]
async fn a_second_user_joins_the_room_that_we_have() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = remote.create_room(&NAMED, "rachel");
    let via = remote.name().as_str();
    let (first, second) = tokio::join!(join_via(&alice, &room, via), join_via(&bob, &room, via));
    first.ok();
    second.ok();
    let asked = remote.asked();
    assert_eq!(asked.iter().filter(|asked| asked.is("PUT", "v2/send_join/{}/{}")).count(), 1);
    for user in [&alice, &bob] {
        assert_eq!(membership(&alice, &room, &user.user_id).await.as_deref(), Some("join"));
    }
}

#[tokio::test]
async fn a_room_is_found_by_another_servers_alias() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room(&NAMED, "rachel");
    let alias = format!("#library:{}", remote.name());
    let (id, name, wanted) = (room.clone(), remote.name().to_owned(), alias.clone());
    remote.answer("GET", "v1/query/directory", move |asked| match asked.parameter("room_alias") {
        Some(asked) if asked == wanted => {
            RemoteReply::json(200, json!({ "room_id": id, "servers": [name] }))
        }
        _ => RemoteReply::error(404, "M_NOT_FOUND"),
    });
    let answer = alice.post(&path!("v3/join/{}", alias), json!({})).await.ok();
    assert_eq!(answer["room_id"], room);
    let unknown = format!("#nowhere:{}", remote.name());
    alice.post(&path!("v3/join/{}", unknown), json!({})).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_the_other_server_says_reaches_the_user() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room(&NAMED, "rachel");
    let via = remote.name().as_str();
    for (status, errcode, expected) in [
        (403, "M_FORBIDDEN", 403),
        (404, "M_NOT_FOUND", 404),
        (400, "M_INCOMPATIBLE_ROOM_VERSION", 400),
        (400, "M_UNABLE_TO_AUTHORISE_JOIN", 400),
        (400, "M_UNABLE_TO_GRANT_JOIN", 400),
    ] {
        remote.answer("GET", "v1/make_join/{}/{}", move |_| RemoteReply::error(status, errcode));
        join_via(&alice, &room, via).await.error(expected, errcode);
    }
    // What is between servers alone is not for users, least of all what would sign them out.
    for (status, errcode) in [
        (401, "M_UNKNOWN_TOKEN"),
        (401, "M_UNAUTHORIZED"),
        (400, "M_INVALID_PARAM"),
        (400, "M_MISSING_PARAM"),
        (500, "M_UNKNOWN"),
        (200, "nonsense"),
    ] {
        remote.answer("GET", "v1/make_join/{}/{}", move |_| RemoteReply::error(status, errcode));
        join_via(&alice, &room, via).await.error(502, "M_UNKNOWN");
    }
    remote.answer_as_usual();
    remote.answer("PUT", "v2/send_join/{}/{}", |_| RemoteReply::error(403, "M_FORBIDDEN"));
    join_via(&alice, &room, via).await.error(403, "M_FORBIDDEN");
    remote.stop().await;
    join_via(&alice, &room, via).await.error(502, "M_UNKNOWN");
    assert!(alice.sync(None).await.json["rooms"]["join"].is_null());
    // Nobody to ask.
    let path = path!("v3/join/{}", "!cn6FMcHFdxXBVD8KPl6LQvQHIYtBGJvBLJJ5LzJ6p8s");
    alice.post(&path, json!({})).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_next_server_is_asked_if_one_does_not_answer() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (down, lost) = (RemoteServer::start().await, RemoteServer::start().await);
    down.stop().await;
    let alice = server.register("alice").await;
    let room = remote.create_room(&NAMED, "rachel");
    let via = [&down, &lost, &remote].map(|server| format!("via={}", server.name()));
    let path = format!("{}?{}", path!("v3/join/{}", room), via.join("&"));
    alice.post(&path, json!({})).await.ok();
    assert_eq!(membership(&alice, &room, &alice.user_id).await.as_deref(), Some("join"));
}

/// Of what another server proposes only the place in the room's graph is taken.
#[tokio::test]
async fn the_join_is_ours_whatever_the_other_server_proposes() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    name(&alice).await;
    let room = remote.create_room(&NAMED, "rachel");
    let template = remote.room(&room).complete(json!({
        "sender": alice.user_id,
        "type": "m.room.member",
        "state_key": alice.user_id,
        "content": { "membership": "join", "displayname": "Mallory", "evil": true },
        "redacts": "$something",
        "unsigned": { "evil": true },
        "origin": "elsewhere.test",
        "origin_server_ts": 1,
        "hashes": { "sha256": "evil" },
        "signatures": { "elsewhere.test": { "ed25519:1": "evil" } },
        "evil": true,
    }));
    remote.answer("GET", "v1/make_join/{}/{}", move |_| {
        RemoteReply::json(200, json!({ "room_version": NAMED, "event": template }))
    });
    join_via(&alice, &room, remote.name().as_str()).await.ok();
    let sent = remote.asked().into_iter().find(|asked| asked.is("PUT", "v2/send_join/{}/{}"));
    let sent = sent.expect("a join").body;
    assert_eq!(sent["content"], json!({ "membership": "join", "displayname": "alice" }));
    let mut fields: Vec<_> = sent.as_object().expect("an event").keys().cloned().collect();
    fields.sort();
    let expected = [
        "auth_events",
        "content",
        "depth",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
    ];
    assert_eq!(fields, expected);
    assert!(sent["origin_server_ts"].as_u64() > Some(1_000_000));
    let signers: Vec<_> = sent["signatures"].as_object().expect("signatures").keys().collect();
    assert_eq!(signers, [server.name()]);
}

/// A resident that proposes anything but a join of this user into this room gets nothing to see that is
/// signed by us.
#[tokio::test]
async fn a_template_of_anything_else_is_not_signed() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = remote.create_room(&NAMED, "rachel");
    let template = remote.room(&room).complete(json!({
        "sender": alice.user_id, "type": "m.room.member", "state_key": alice.user_id,
        "content": { "membership": "join" },
    }));
    let wrong = [
        ("type", json!("m.room.power_levels")),
        ("type", json!("m.room.message")),
        ("sender", json!(bob.user_id)),
        ("sender", json!(remote.user("rachel"))),
        ("state_key", json!(bob.user_id)),
        ("state_key", json!("")),
        ("room_id", json!("!another:elsewhere.test")),
        ("content", json!({ "membership": "leave" })),
        ("content", json!({ "membership": "invite" })),
        ("content", json!({})),
        ("prev_events", json!([])),
        ("prev_events", json!(["nonsense"])),
        ("prev_events", json!((0..21).map(|n| format!("${n}")).collect::<Vec<_>>())),
        ("auth_events", json!((0..11).map(|n| format!("${n}")).collect::<Vec<_>>())),
        ("depth", json!("deep")),
        ("depth", json!(-1)),
    ];
    for (field, value) in wrong {
        let mut event = template.clone();
        event[field] = value.clone();
        remote.answer("GET", "v1/make_join/{}/{}", move |_| {
            RemoteReply::json(200, json!({ "room_version": NAMED, "event": event.clone() }))
        });
        let answer = join_via(&alice, &room, remote.name().as_str()).await;
        assert_eq!(answer.status, 502, "{field}: {value}\n{answer}");
    }
    for version in [json!("1"), json!("5"), json!("future"), json!(null)] {
        let (event, said) = (template.clone(), version.clone());
        remote.answer("GET", "v1/make_join/{}/{}", move |_| {
            RemoteReply::json(200, json!({ "room_version": said, "event": event.clone() }))
        });
        let answer = join_via(&alice, &room, remote.name().as_str()).await;
        assert_eq!(answer.status, 502, "version {version}\n{answer}");
    }
    let sent = remote.asked().into_iter().any(|asked| asked.is("PUT", "v2/send_join/{}/{}"));
    assert!(!sent, "nothing was signed");
}

#[tokio::test]
async fn guests_do_not_go_to_other_servers() {
    let server = TestServer::federating_with(|config| config.registration.guests = true).await;
    let remote = RemoteServer::start().await;
    let room = remote.create_room(&RoomVersionId::V12, "rachel");
    let nobody = server.anonymous();
    let answer = nobody.post("v3/register?kind=guest", json!({})).await;
    let guest = nobody.signed_in(&answer, "");
    let answer = join_via(&guest, &room, remote.name().as_str()).await;
    answer.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    assert!(remote.asked().iter().all(|asked| !asked.is("GET", "v1/make_join/{}/{}")));
}

/// The room must not go on with somebody who is not there.
#[tokio::test]
async fn a_join_that_the_other_server_took_and_we_cannot_use_is_taken_back() {
    let server = TestServer::federating().await;
    let (broken, good) = (Arc::new(RemoteServer::start().await), RemoteServer::start().await);
    let alice = server.register("alice").await;
    let useless = [
        RemoteReply::json(200, json!({ "state": [], "auth_chain": [] })),
        RemoteReply::json(200, json!({ "state": "nothing" })),
        RemoteReply::error(500, "M_UNKNOWN"),
        RemoteReply::bytes("application/json", "{"),
    ];
    for reply in useless {
        let room = broken.create_room(&RoomVersionId::V11, "rachel");
        let (peer, id) = (Arc::clone(&broken), room.clone());
        broken.answer("PUT", "v2/send_join/{}/{}", move |asked| {
            peer.take(&id, asked.body.clone());
            reply.clone()
        });
        let path = format!("{}?via={}", path!("v3/join/{}", room), broken.name());
        alice.post(&path, json!({})).await.error(502, "M_UNKNOWN");
        let of_room = |asked: &kith_spec_tests::Asked| asked.body["room_id"] == *room;
        let left = broken
            .asked()
            .into_iter()
            .find(|asked| asked.is("PUT", "v2/send_leave/{}/{}") && of_room(asked));
        let left = left.expect("it is told before the user is");
        assert_eq!(left.body["state_key"], alice.user_id.as_str());
        assert_eq!(left.body["content"]["membership"], "leave");
        broken.answer_as_usual();
        alice.post(&path, json!({})).await.ok();
    }
    // What was refused was not taken, and needs no leave; nor does what another server helped with.
    let leaves = || broken.asked().iter().filter(|a| a.is("PUT", "v2/send_leave/{}/{}")).count();
    let before = leaves();
    let room = broken.create_room(&RoomVersionId::V11, "rachel");
    let path = format!("{}?via={}", path!("v3/join/{}", room), broken.name());
    broken.answer("PUT", "v2/send_join/{}/{}", |_| RemoteReply::error(403, "M_FORBIDDEN"));
    alice.post(&path, json!({})).await.error(403, "M_FORBIDDEN");
    broken.answer("PUT", "v2/send_join/{}/{}", |_| json!({ "state": [], "auth_chain": [] }));
    let (helper, id) = (Arc::clone(&broken), room.clone());
    good.answer("GET", "v1/make_join/{}/{}", move |asked| {
        let room = helper.room(&id);
        json!({ "room_version": "11", "event": room.complete(json!({
            "sender": asked.arguments[1], "state_key": asked.arguments[1],
            "type": "m.room.member", "content": { "membership": "join" },
        })) })
    });
    let (helper, id) = (Arc::clone(&broken), room.clone());
    good.answer("PUT", "v2/send_join/{}/{}", move |_| {
        let room = helper.room(&id);
        let state: Vec<String> = room.state.values().cloned().collect();
        json!({ "state": room.pdus(state.clone()), "auth_chain": room.pdus(room.auth_chain(state)) })
    });
    alice.post(&format!("{path}&via={}", good.name()), json!({})).await.ok();
    assert_eq!(leaves(), before);
}
