//! Invite, join, leave, kick, ban, knock, forget.

use kith_spec_tests::{TestServer, TestUser, encode, path};
use serde_json::{Value, json};

async fn act(user: &TestUser, room: &str, action: &str, body: Value) -> kith_spec_tests::Answer {
    user.post(&path!("v3/rooms/{}/{}", room, action), body).await
}

#[tokio::test]
async fn an_invited_user_joins() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
    let invitation = json!({ "user_id": bob.user_id, "reason": "come in" });
    assert_eq!(act(&alice, &room, "invite", invitation.clone()).await.ok(), json!({}));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["membership"], "invite");
    assert_eq!(member["reason"], "come in");
    // Who is invited already may be invited again.
    act(&alice, &room, "invite", invitation.clone()).await.ok();
    let joined = act(&bob, &room, "join", json!({ "reason": "hello" })).await.ok();
    assert_eq!(joined, json!({ "room_id": room }));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!((&member["membership"], &member["reason"]), (&json!("join"), &json!("hello")));
    act(&alice, &room, "invite", invitation).await.error(403, "M_FORBIDDEN");
    let rooms = bob.get("v3/joined_rooms").await.ok();
    assert_eq!(rooms["joined_rooms"], json!([room]));
}

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    bob.join(&room).await;
    let member = path!("v3/rooms/{}/state/m.room.member/{}?format=event", room, bob.user_id);
    let first = alice.get(&member).await.ok();
    act(&bob, &room, "join", json!({})).await.ok();
    assert_eq!(alice.get(&member).await.ok()["event_id"], first["event_id"]);
}

#[tokio::test]
async fn a_public_room_is_joined_by_its_alias() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({ "preset": "public_chat", "room_alias_name": "pub" });
    let room = alice.create_room_from(body).await;
    let joined = bob.post(&path!("v3/join/{}", "#pub:kith.test"), json!({})).await.ok();
    assert_eq!(joined["room_id"], room.as_str());
    let unknown = bob.post(&path!("v3/join/{}", "#nowhere:kith.test"), json!({})).await;
    unknown.error(404, "M_NOT_FOUND");
}

/// Some clients send no body at all, some send `{}`: both are requests without options.
#[tokio::test]
async fn join_and_leave_need_no_body() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    for path in [path!("v3/join/{}", room), path!("v3/rooms/{}/leave", room)] {
        bob.request(reqwest::Method::POST, &path, None).await.ok();
    }
}

#[tokio::test]
async fn an_unknown_room_cannot_be_joined() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let answer = act(&alice, "!nowhere:kith.test", "join", json!({})).await;
    assert!([403, 404].contains(&answer.status), "{answer}");
    assert!(["M_NOT_FOUND", "M_FORBIDDEN"].contains(&answer.errcode()), "{answer}");
}

#[tokio::test]
async fn outsiders_and_people_without_power_invite_nobody() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let levels = json!({ "invite": 50 });
    let room = alice
        .create_room_from(
            json!({ "invite": [bob.user_id], "power_level_content_override": levels }),
        )
        .await;
    let invitation = json!({ "user_id": carol.user_id });
    act(&bob, &room, "invite", invitation.clone()).await.error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    act(&bob, &room, "invite", invitation.clone()).await.error(403, "M_FORBIDDEN");
    act(&alice, &room, "ban", invitation.clone()).await.ok();
    act(&alice, &room, "invite", invitation).await.error(403, "M_FORBIDDEN");
    act(&alice, &room, "invite", json!({})).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn an_invitation_can_be_declined() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    assert_eq!(act(&bob, &room, "leave", json!({ "reason": "no" })).await.ok(), json!({}));
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("leave"));
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_left_a_private_room_needs_a_new_invitation() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    bob.leave(&room).await;
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
    let message = json!({ "msgtype": "m.text", "body": "?" });
    bob.put(&path!("v3/rooms/{}/send/m.room.message/x", room), message)
        .await
        .error(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.send_text(&room, "back").await;
}

#[tokio::test]
async fn a_kick_needs_power_and_a_member() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob]).await;
    act(&bob, &room, "kick", json!({ "user_id": alice.user_id })).await.error(403, "M_FORBIDDEN");
    act(&alice, &room, "kick", json!({ "user_id": carol.user_id })).await.error(403, "M_FORBIDDEN");
    act(&carol, &room, "kick", json!({ "user_id": bob.user_id })).await.error(403, "M_FORBIDDEN");
    let kick = json!({ "user_id": bob.user_id, "reason": "unfunny jokes" });
    assert_eq!(act(&alice, &room, "kick", kick).await.ok(), json!({}));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["membership"], "leave");
    assert_eq!(member["reason"], "unfunny jokes");
    // An invitation is taken back the same way.
    alice.invite(&room, &bob).await;
    act(&alice, &room, "kick", json!({ "user_id": bob.user_id })).await.ok();
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_ban_holds_until_it_is_lifted() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    bob.join(&room).await;
    act(&bob, &room, "ban", json!({ "user_id": alice.user_id })).await.error(403, "M_FORBIDDEN");
    act(&alice, &room, "unban", json!({ "user_id": bob.user_id })).await.error(403, "M_FORBIDDEN");
    let ban = json!({ "user_id": bob.user_id, "reason": "spam" });
    assert_eq!(act(&alice, &room, "ban", ban).await.ok(), json!({}));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!((&member["membership"], &member["reason"]), (&json!("ban"), &json!("spam")));
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
    act(&bob, &room, "leave", json!({})).await.error(403, "M_FORBIDDEN");
    act(&bob, &room, "unban", json!({ "user_id": bob.user_id })).await.error(403, "M_FORBIDDEN");
    let unban = json!({ "user_id": bob.user_id, "reason": "long enough" });
    assert_eq!(act(&alice, &room, "unban", unban).await.ok(), json!({}));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(
        (&member["membership"], &member["reason"]),
        (&json!("leave"), &json!("long enough"))
    );
    bob.join(&room).await;
}

/// Somebody who never was there can be banned beforehand.
#[tokio::test]
async fn a_stranger_can_be_banned() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    act(&alice, &room, "ban", json!({ "user_id": bob.user_id })).await.ok();
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_knock_is_answered_with_an_invitation() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    bob.post(&path!("v3/knock/{}", room), json!({})).await.error(403, "M_FORBIDDEN");
    alice.set_state(&room, "m.room.join_rules", "", json!({ "join_rule": "knock" })).await;
    let knock = bob.post(&path!("v3/knock/{}", room), json!({ "reason": "let me in" })).await;
    assert_eq!(knock.ok(), json!({ "room_id": room }));
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!((&member["membership"], &member["reason"]), (&json!("knock"), &json!("let me in")));
    act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.post(&path!("v3/knock/{}", room), json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_knock_can_be_withdrawn_and_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    alice.set_state(&room, "m.room.join_rules", "", json!({ "join_rule": "knock" })).await;
    bob.knock(&room).await;
    bob.leave(&room).await;
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("leave"));
    bob.knock(&room).await;
    alice.kick(&room, &bob).await;
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("leave"));
    alice.ban(&room, &bob).await;
    bob.post(&path!("v3/knock/{}", room), json!({})).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_forgotten_room_is_out_of_sight() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let answer = act(&bob, &room, "forget", json!({})).await;
    assert_eq!(answer.status, 400, "who is in the room cannot forget it\n{answer}");
    assert_eq!(answer.errcode(), "M_UNKNOWN", "{answer}");
    bob.leave(&room).await;
    bob.get(&path!("v3/rooms/{}/messages?dir=b", room)).await.ok();
    assert_eq!(act(&bob, &room, "forget", json!({})).await.ok(), json!({}));
    bob.get(&path!("v3/rooms/{}/messages?dir=b", room)).await.error(403, "M_FORBIDDEN");
    bob.get(&path!("v3/rooms/{}/state", room)).await.error(403, "M_FORBIDDEN");
    let everything = bob.syncing(None).filter(json!({ "room": { "include_leave": true } }));
    assert!(everything.get().await.left(&room).is_null());
    // It can be entered again.
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.get(&path!("v3/rooms/{}/messages?dir=b", room)).await.ok();
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#restricted-rooms)
#[tokio::test]
async fn members_of_an_allowed_room_join_a_restricted_one() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    for (version, rule) in [("8", "restricted"), ("12", "restricted"), ("12", "knock_restricted")] {
        let space = alice.create_room_with(&[&bob]).await;
        let rules = json!({
            "join_rule": rule,
            "allow": [
                { "type": "org.example.unknown" },
                { "type": "m.room_membership", "room_id": space },
            ],
        });
        let initial = [json!({ "type": "m.room.join_rules", "content": rules })];
        let body = json!({ "room_version": version, "initial_state": initial });
        let room = alice.create_room_from(body).await;
        act(&carol, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
        bob.join(&room).await;
        let member = alice.state(&room, "m.room.member", &bob.user_id).await;
        // Some member with the power to invite vouches for it.
        assert_eq!(member["join_authorised_via_users_server"], alice.user_id.as_str());
        // Whoever is in stays in, but returns only while in the space.
        bob.leave(&space).await;
        bob.send_text(&room, "still here").await;
        bob.leave(&room).await;
        act(&bob, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
        // An invitation works as everywhere.
        alice.invite(&room, &carol).await;
        carol.join(&room).await;
        if rule == "knock_restricted" {
            bob.knock(&room).await;
        }
    }
}

#[tokio::test]
async fn only_ones_own_membership_can_become_join() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let forced = path!("v3/rooms/{}/state/m.room.member/{}", room, bob.user_id);
    alice.put(&forced, json!({ "membership": "join" })).await.error(403, "M_FORBIDDEN");
    // One's own may, with another name for this room.
    bob.put(&forced, json!({ "membership": "join", "displayname": "Robert" })).await.ok();
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["displayname"], "Robert");
    // So may others' invitations and kicks.
    bob.leave(&room).await;
    alice.put(&forced, json!({ "membership": "invite" })).await.ok();
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("invite"));
}

#[tokio::test]
async fn members_are_listed_by_their_membership() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (carol, eve) = (server.register("carol").await, server.register("eve").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.invite(&room, &carol).await;
    // The timeline has only the invitation; its beginning is after both have joined.
    let filter = json!({ "room": { "timeline": { "limit": 1 } } });
    let sync = bob.syncing(None).filter(filter).get().await;
    let before = encode(sync.joined(&room)["timeline"]["prev_batch"].as_str().unwrap());
    bob.leave(&room).await;
    let members = async |query: &str| {
        let answer = alice.get(&format!("{}?{query}", path!("v3/rooms/{}/members", room))).await;
        let answer = answer.ok();
        let events = answer["chunk"].as_array().unwrap();
        let mut names: Vec<_> = events.iter().map(|e| e["state_key"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.iter().map(|name| name[1..].split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(members("").await, ["alice", "bob", "carol"]);
    assert_eq!(members("membership=join").await, ["alice"]);
    assert_eq!(members("membership=leave").await, ["bob"]);
    assert_eq!(members("not_membership=leave").await, ["alice", "carol"]);
    assert_eq!(members("membership=leave&not_membership=invite").await, ["alice", "bob"]);
    let joined = alice.get(&path!("v3/rooms/{}/joined_members", room)).await.ok();
    let names: Vec<&String> = joined["joined"].as_object().unwrap().keys().collect();
    assert_eq!(names, [&alice.user_id]);
    for path in [path!("v3/rooms/{}/members", room), path!("v3/rooms/{}/joined_members", room)] {
        eve.get(&path).await.error(403, "M_FORBIDDEN");
    }
    assert_eq!(members(&format!("at={before}&membership=join")).await, ["alice", "bob"]);
    assert_eq!(members(&format!("at={before}&membership=invite")).await, [""; 0]);
}

/// What a join rule does depends on the room's version.
/// [Spec](https://spec.matrix.org/latest/rooms/#feature-matrix)
#[tokio::test]
async fn join_rules_work_from_the_version_that_brought_them() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let club = alice.create_room_with(&[&bob]).await;
    for version in 6..=12 {
        for (rule, knock_since, join_since) in
            [("knock", 7, 99), ("restricted", 99, 8), ("knock_restricted", 10, 10)]
        {
            let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
            let content = json!({ "join_rule": rule, "allow": allow });
            let rules = json!({ "type": "m.room.join_rules", "content": content });
            let body = json!({ "room_version": version.to_string(), "initial_state": [rules] });
            let room = alice.create_room_from(body).await;
            let case = format!("{rule} in version {version}");

            let knock = carol.post(&path!("v3/knock/{}", room), json!({})).await;
            assert_eq!(knock.status == 200, version >= knock_since, "{case}: {knock}");
            act(&carol, &room, "join", json!({})).await.error(403, "M_FORBIDDEN");
            // Nobody vouches for themselves.
            let own = path!("v3/rooms/{}/state/m.room.member/{}", room, carol.user_id);
            let forged = json!({
                "membership": "join",
                "join_authorised_via_users_server": alice.user_id,
            });
            carol.put(&own, forged).await.error(403, "M_FORBIDDEN");
            let joined = act(&bob, &room, "join", json!({})).await;
            assert_eq!(joined.status == 200, version >= join_since, "{case}: {joined}");
        }
    }
}

/// An invitation that does not arrive is not made.
#[tokio::test]
async fn users_of_a_server_that_cannot_be_reached_are_not_invited() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let remote = "@bob:127.0.0.1:1";
    act(&alice, &room, "invite", json!({ "user_id": remote })).await.error(502, "M_UNKNOWN");
    let by_hand = path!("v3/rooms/{}/state/m.room.member/{}", room, remote);
    alice.put(&by_hand, json!({ "membership": "invite" })).await.error(502, "M_UNKNOWN");
    // A new room is there without them.
    alice.post("v3/createRoom", json!({ "invite": [remote] })).await.ok();
    alice.get(&by_hand).await.error(404, "M_NOT_FOUND");
    // They can be banned before they come.
    alice.post(&path!("v3/rooms/{}/ban", room), json!({ "user_id": remote })).await.ok();
}

#[tokio::test]
async fn nobody_is_invited_by_an_identity_server_that_may_not_be_asked() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let invitation = json!({
        "id_server": "127.0.0.1:1",
        "id_access_token": "secret",
        "medium": "email",
        "address": "bob@example.org",
    });
    act(&alice, &room, "invite", invitation.clone()).await.error(502, "M_UNKNOWN");
    let body = json!({ "invite_3pid": [invitation] });
    alice.post("v3/createRoom", body).await.ok();
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#guest-access)
#[tokio::test]
async fn guests_are_where_they_may_be() {
    let server = TestServer::with(|config| config.registration.guests = true).await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    let answer = nobody.post("v3/register?kind=guest", json!({})).await;
    let guest = nobody.signed_in(&answer, "");
    let room = alice.create_public_room().await;
    act(&guest, &room, "join", json!({})).await.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let set = async |access: &str| {
        let content = json!({ "guest_access": access });
        alice.set_state(&room, "m.room.guest_access", "", content).await
    };
    set("can_join").await;
    act(&guest, &room, "join", json!({})).await.ok();
    guest.send_text(&room, "hello").await;
    set("forbidden").await;
    assert_eq!(alice.membership_of(&room, &guest).await.as_deref(), Some("leave"));
    assert_eq!(alice.membership_of(&room, &alice).await.as_deref(), Some("join"));
}

#[tokio::test]
async fn who_came_later_does_not_learn_who_was_there_before() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let history = json!({
        "type": "m.room.history_visibility", "state_key": "",
        "content": { "history_visibility": "joined" },
    });
    let body = json!({ "preset": "public_chat", "initial_state": [history] });
    let room = alice.create_room_from(body).await;
    alice.send_text(&room, "before").await;
    let before = alice.sync(None).await.next_batch;
    bob.join(&room).await;
    let path = format!("v3/rooms/{}/members?at={before}", kith_spec_tests::encode(&room));
    bob.get(&path).await.error(403, "M_FORBIDDEN");
    alice.get(&path).await.ok();
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#room-upgrades)
#[tokio::test]
async fn a_join_by_state_is_a_join() {
    let server = TestServer::with(|config| {
        config.rate_limits.enabled = true;
        let limit = kith_homeserver::config::RateLimit::On { per_second: 0.01, burst: 1 };
        config.rate_limits.join = limit;
    })
    .await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (first, second) = (alice.create_public_room().await, alice.create_public_room().await);
    let member = |room: &str| path!("v3/rooms/{}/state/m.room.member/{}", room, bob.user_id);
    let join = json!({ "membership": "join" });
    bob.put(&member(&first), join.clone()).await.ok();
    bob.put(&member(&second), join).await.error(429, "M_LIMIT_EXCEEDED");
}
