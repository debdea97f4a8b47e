//! Our users are invited into rooms of other servers.

use kith_spec_tests::{Events, RemoteServer, TestServer, path};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{Invite, NAMED, VERSIONS, join_via, membership, private_room, public_room};

#[tokio::test]
async fn an_invite_is_signed_shown_and_followed_in_rooms_of_every_version() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    for version in &VERSIONS {
        let room = remote.create_room_with(version, "rachel", "invite");
        remote.append(
            &room,
            json!({
                "sender": remote.user("rachel"), "type": "m.room.name", "state_key": "",
                "content": { "name": "Library" },
            }),
        );
        let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
        let since = alice.sync(None).await.next_batch;
        let answer = invite.send(&remote, &server).await.ok();
        let signed = &answer["event"];
        assert!(signed["signatures"][server.name()].is_object(), "{version}: {signed:#}");
        let mut unchanged = signed.clone();
        unchanged["signatures"] = invite.event["signatures"].clone();
        assert_eq!(unchanged, invite.event, "nothing but a signature is added");
        remote.take(&room, signed.clone());

        let sync = alice.sync(Some(since)).await;
        let events = Events(&sync.invited(&room)["invite_state"]["events"]);
        let name = events.with_state_key("m.room.name", "").expect("the name");
        assert_eq!(name["content"]["name"], "Library");
        assert!(name.get("signatures").is_none(), "stripped: {name:#}");
        let own = events.with_state_key("m.room.member", &alice.user_id).expect("the invite");
        assert_eq!(own["sender"], remote.user("rachel"));
        // Without a word of where: by whom the invite came.
        alice.post(&path!("v3/rooms/{}/join", room), json!({})).await.ok();
        assert_eq!(membership(&alice, &room, &alice.user_id).await.as_deref(), Some("join"));
    }
}

#[tokio::test]
async fn an_invite_survives_a_restart() {
    let mut server = TestServer::federating_with(|config| {
        config.storage.engine = kith_homeserver::config::EngineKind::Sled;
    })
    .await;
    let remote = RemoteServer::start().await;
    let alice = server.register("alice").await;
    let room = remote.create_room_with(&RoomVersionId::V12, "rachel", "invite");
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    let signed = invite.send(&remote, &server).await.ok()["event"].clone();
    remote.take(&room, signed);
    server.restart().await;
    let sync = alice.sync(None).await;
    let events = Events(&sync.invited(&room)["invite_state"]["events"]);
    assert!(events.with_state_key("m.room.create", "").is_some(), "{:#}", sync.json);
    alice.post(&path!("v3/rooms/{}/join", room), json!({})).await.ok();
    let sync = alice.sync(None).await;
    assert!(sync.joined(&room).is_object() && sync.invited(&room).is_null());
}

#[tokio::test]
async fn an_invite_that_is_sent_twice_is_one() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    invite.send(&remote, &server).await.ok();
    let since = alice.sync(None).await.next_batch;
    let answer = invite.send(&remote, &server).await.ok();
    assert!(answer["event"]["signatures"][server.name()].is_object());
    assert!(alice.sync(Some(since)).await.invited(&room).is_null(), "no news");
}

#[tokio::test]
async fn an_invite_that_is_taken_back_is_gone() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    invite.send(&remote, &server).await.ok();
    remote.take(&room, invite.event.clone());
    let since = alice.sync(None).await.next_batch;
    let back = json!({
        "sender": remote.user("rachel"),
        "type": "m.room.member",
        "state_key": alice.user_id,
        "content": { "membership": "leave" },
    });
    // Somebody who does not know the invite cannot take it back.
    let stranger = RemoteServer::start().await;
    let (id, forged) = stranger.sign_pdu(
        &NAMED,
        json!({
            "sender": stranger.user("mallory"), "type": "m.room.member", "state_key": alice.user_id,
            "room_id": room, "content": { "membership": "leave" }, "origin_server_ts": 1,
            "depth": 10, "prev_events": ["$a"], "auth_events": ["$b"],
        }),
    );
    let answer = stranger.send(&server, vec![forged], Vec::new()).await.ok();
    assert!(answer["pdus"][&id]["error"].is_string(), "{answer:#}");
    assert!(alice.sync(None).await.invited(&room).is_object());

    let (id, pdu) = remote.append(&room, back);
    remote.send_pdu(&server, &id, &pdu).await;
    let sync = alice.sync(Some(since)).await;
    assert!(sync.left(&room).is_object(), "{:#}", sync.json);
    let sync = alice.sync(None).await;
    assert!(sync.invited(&room).is_null(), "{:#}", sync.json);
}

/// Nothing but an invite of one of ours into that room, by one of theirs, gets a signature.
#[tokio::test]
async fn only_exact_invites_are_signed() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let bob = server.register("bob").await;
    let new = || Invite::of(&remote, &room, "rachel", &alice.user_id);
    let refused = async |what: &str, invite: Invite| {
        let answer = invite.send(&remote, &server).await;
        assert_eq!((answer.status, answer.errcode()), (400, "M_INVALID_PARAM"), "{what}\n{answer}");
        assert!(!answer.text.contains("signatures"), "{what}");
    };
    type Change = fn(&mut Value);
    let wrong: [(&str, Change); 10] = [
        ("type", |event| event["type"] = json!("m.room.power_levels")),
        ("message", |event| event["type"] = json!("m.room.message")),
        ("membership", |event| event["content"]["membership"] = json!("join")),
        ("leave", |event| event["content"]["membership"] = json!("leave")),
        ("no membership", |event| event["content"] = json!({})),
        ("state key", |event| event["state_key"] = json!("@alice:elsewhere.test")),
        ("no user", |event| event["state_key"] = json!("alice")),
        ("room", |event| event["room_id"] = json!("!another:elsewhere.test")),
        ("sender", |event| event["sender"] = json!("@mallory:elsewhere.test")),
        ("third party", |event| {
            event["content"]["third_party_invite"] = json!({ "signed": {} });
        }),
    ];
    for (what, change) in wrong {
        refused(what, new().changed(&remote, change)).await;
    }
    // In the name of our own user.
    let as_bob = new().changed(&remote, |event| event["sender"] = json!(bob.user_id));
    refused("our user", as_bob).await;
    let mut invite = new();
    invite.id = "$another".to_owned();
    refused("event ID", invite).await;
    let mut invite = new();
    invite.room = "!another:elsewhere.test".to_owned();
    refused("room in the path", invite).await;
    let mut invite = new();
    invite.event["signatures"] = json!({});
    refused("no signature", invite).await;
    let mut invite = new();
    invite.event["content"]["reason"] = json!("changed after it was signed");
    refused("hash", invite).await;
    let mut invite = new();
    invite.version = RoomVersionId::V6;
    refused("version", invite).await;
    let unknown = Invite::of(&remote, &room, "rachel", &alice.user_id);
    let mut body = unknown.body();
    body["room_version"] = json!("future");
    let answer = remote.put(&server, &unknown.path(), body).await;
    assert_eq!(answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION")["room_version"], "future");
    // Another server hands in what is not its own.
    let other = RemoteServer::start().await;
    let invite = new();
    let answer = other.put(&server, &invite.path(), invite.body()).await;
    answer.error(400, "M_INVALID_PARAM");
    assert!(alice.sync(None).await.json["rooms"]["invite"].is_null());
}

/// The room's create event cannot be replaced by that of another room.
#[tokio::test]
async fn the_create_event_of_another_room_is_refused() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    for version in [NAMED, RoomVersionId::V12] {
        let room = remote.create_room_with(&version, "rachel", "invite");
        let other = remote.create_room_with(&version, "ronald", "invite");
        let mut invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
        let create = remote.room(&other).state_event("m.room.create", "").cloned();
        invite.state[0] = create.expect("a create event");
        invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
        // One of another version in the right room.
        let mut invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
        invite.state[0]["content"]["room_version"] = json!("10");
        invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
        // Two of them.
        let mut invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
        invite.state.push(invite.state[0].clone());
        invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
    }
    // Version 12: whole, signed events, and the create event among them.
    let room = remote.create_room_with(&RoomVersionId::V12, "rachel", "invite");
    let new = || Invite::of(&remote, &room, "rachel", &alice.user_id);
    let mut invite = new();
    invite.state.remove(0);
    invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
    let mut invite = new();
    invite.state[1] = json!({
        "type": "m.room.join_rules", "state_key": "", "sender": remote.user("rachel"),
        "content": { "join_rule": "invite" },
    });
    invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
    let mut invite = new();
    invite.state[1]["signatures"] = json!({});
    invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
    let other = remote.create_room_with(&RoomVersionId::V12, "ronald", "public");
    let mut invite = new();
    let foreign = remote.room(&other).state_event("m.room.join_rules", "").cloned();
    invite.state[1] = foreign.expect("join rules");
    invite.send(&remote, &server).await.error(400, "M_INVALID_PARAM");
    new().send(&remote, &server).await.ok();
}

#[tokio::test]
async fn users_who_are_not_there_or_do_not_want_to_be_asked_are_not() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let nobody = format!("@nobody:{}", server.name());
    let invite = Invite::of(&remote, &room, "rachel", &nobody);
    invite.send(&remote, &server).await.error(404, "M_NOT_FOUND");

    let config = path!("v3/user/{}/account_data/m.invite_permission_config", alice.user_id);
    alice.put(&config, json!({ "default_action": "block" })).await.ok();
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    invite.send(&remote, &server).await.error(403, "M_INVITE_BLOCKED");
    alice.put(&config, json!({ "ignored_users": [remote.user("rachel")] })).await.ok();
    let since = alice.sync(None).await.next_batch;
    invite.send(&remote, &server).await.ok();
    assert!(alice.sync(Some(since)).await.invited(&room).is_null());
    alice.put(&config, json!({})).await.ok();
    assert!(alice.sync(None).await.invited(&room).is_object(), "it was kept");

    let ronald = remote.user("ronald");
    alice
        .put(
            &path!("v3/user/{}/account_data/m.ignored_user_list", alice.user_id),
            json!({ "ignored_users": { ronald: {} } }),
        )
        .await
        .ok();
}

/// A room that we are in: the invite comes again with the next transaction.
#[tokio::test]
async fn an_invite_into_a_room_that_we_are_in_is_signed_and_waits_for_the_event() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = remote.create_room(&NAMED, "rachel");
    join_via(&alice, &room, remote.name().as_str()).await.ok();
    let invite = Invite::of(&remote, &room, "rachel", &bob.user_id);
    let signed = invite.send(&remote, &server).await.ok()["event"].clone();
    assert_eq!(membership(&alice, &room, &bob.user_id).await, None);
    remote.take(&room, signed.clone());
    remote.send_pdu(&server, &invite.id, &signed).await;
    assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("invite"));
    assert!(bob.sync(None).await.invited(&room).is_object());

    let own = public_room(&alice, &NAMED).await;
    alice.set_state(&own, "m.room.server_acl", "", json!({ "allow": ["elsewhere.test"] })).await;
    let (id, event) = remote.sign_pdu(
        &NAMED,
        json!({
            "sender": remote.user("rachel"), "type": "m.room.member", "state_key": bob.user_id,
            "room_id": own, "content": { "membership": "invite" }, "origin_server_ts": 1,
            "depth": 10, "prev_events": ["$a"], "auth_events": ["$b"],
        }),
    );
    let create = json!({
        "type": "m.room.create", "state_key": "", "sender": alice.user_id,
        "content": { "room_version": NAMED },
    });
    let body = json!({ "room_version": NAMED, "event": event, "invite_room_state": [create] });
    let answer = remote.put(&server, &path!("v2/invite/{}/{}", own, id), body).await;
    answer.error(403, "M_FORBIDDEN");
}

/// Version 1 of the endpoint is for rooms that are older than this server.
#[tokio::test]
async fn the_first_version_of_the_endpoint_refuses_what_rooms_it_is_for() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    let mut body = invite.event.clone();
    body["origin"] = json!(remote.name());
    let path = path!("v1/invite/{}/{}", room, invite.id);
    remote.put(&server, &path, body).await.error(400, "M_INCOMPATIBLE_ROOM_VERSION");
}
