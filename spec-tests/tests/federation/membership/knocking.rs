//! Asking to be let in, both ways.

use kith_spec_tests::{RemoteServer, TestServer, path};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{Invite, NAMED, VERSIONS, join_via, make, membership, public_room, template};

async fn knocked_room(user: &kith_spec_tests::TestUser, version: &RoomVersionId) -> String {
    let rule = json!({ "join_rule": "knock" });
    let state = json!([{ "type": "m.room.join_rules", "state_key": "", "content": rule }]);
    let body = json!({ "room_version": version, "initial_state": state, "name": "Library" });
    user.create_room_from(body).await
}

#[tokio::test]
async fn another_servers_user_knocks_and_learns_what_the_room_is() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let user = remote.user("rachel");
    for version in VERSIONS.iter().skip(1) {
        let room = knocked_room(&alice, version).await;
        let (named, event) = template(&remote, &server, "knock", &room, &user).await;
        assert_eq!(named, *version);
        let (id, pdu) = remote.sign_pdu(version, event);
        let answer = remote.put(&server, &path!("v1/send_knock/{}/{}", room, id), pdu).await.ok();
        let state = answer["knock_room_state"].as_array().cloned().unwrap_or_default();
        let of = |kind: &str| state.iter().find(|event| event["type"] == kind).cloned();
        let create = of("m.room.create").expect("the create event");
        assert!(create["signatures"].is_object(), "events are whole: {create:#}");
        assert_eq!(of("m.room.name").expect("the name")["content"]["name"], "Library");
        assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("knock"));
    }
}

#[tokio::test]
async fn knocks_that_may_not_be_are_refused() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let user = remote.user("rachel");
    let ask = async |room: &str, user: &str| remote.get(&server, &make("knock", room, user)).await;
    ask("!nowhere:elsewhere.test", &user).await.error(404, "M_NOT_FOUND");
    let public = public_room(&alice, &NAMED).await;
    ask(&public, &user).await.error(403, "M_FORBIDDEN");
    let room = knocked_room(&alice, &NAMED).await;
    ask(&room, &alice.user_id).await.error(403, "M_FORBIDDEN");
    let path = path!("v1/make_knock/{}/{}?ver=6", room, user).replace("%3F", "?");
    let answer = remote.get(&server, &path).await;
    assert_eq!(answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION")["room_version"], NAMED.as_str());
    let (version, event) = template(&remote, &server, "knock", &room, &user).await;
    let send = async |id: &str, pdu: Value| {
        remote.put(&server, &path!("v1/send_knock/{}/{}", room, id), pdu).await
    };
    let mut join = event.clone();
    join["content"]["membership"] = json!("join");
    let (id, join) = remote.sign_pdu(&version, join);
    send(&id, join).await.error(400, "M_INVALID_PARAM");
    let (id, pdu) = remote.sign_pdu(&version, event.clone());
    send("$another", pdu.clone()).await.error(400, "M_INVALID_PARAM");
    let acl = json!({ "allow": ["elsewhere.test"] });
    alice.set_state(&room, "m.room.server_acl", "", acl).await;
    send(&id, pdu).await.error(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &user).await, None);
}

#[tokio::test]
async fn our_user_knocks_is_shown_the_room_and_invited() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    super::name(&alice).await;
    for version in [NAMED, RoomVersionId::V12] {
        let room = remote.create_room_with(&version, "rachel", "knock");
        let name = json!({ "name": "Library" });
        remote.append(&room, json!({
            "sender": remote.user("rachel"), "type": "m.room.name", "state_key": "", "content": name,
        }));
        let since = alice.sync(None).await.next_batch;
        let path = format!("{}?via={}", path!("v3/knock/{}", room), remote.name());
        alice.post(&path, json!({ "reason": "please" })).await.ok();
        let sync = alice.sync(Some(since)).await;
        let events = &sync.knocked(&room)["knock_state"]["events"];
        let events = kith_spec_tests::Events(events);
        let shown = events.with_state_key("m.room.name", "").expect("the name");
        assert_eq!(shown["content"], name);
        let own = events.with_state_key("m.room.member", &alice.user_id).expect("the knock");
        assert_eq!(own["content"]["membership"], "knock");
        assert_eq!(own["content"]["reason"], "please");
        assert_eq!(own["content"]["displayname"], "alice");

        let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
        invite.send(&remote, &server).await.ok();
        remote.take(&room, invite.event.clone());
        let sync = alice.sync(Some(sync.next_batch)).await;
        assert!(sync.invited(&room).is_object(), "{:#}", sync.json);
        join_via(&alice, &room, remote.name().as_str()).await.ok();
        assert_eq!(membership(&alice, &room, &alice.user_id).await.as_deref(), Some("join"));
    }
}

/// Somebody in the room refuses the knock.
#[tokio::test]
async fn a_refused_knock_is_gone() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room_with(&NAMED, "rachel", "knock");
    let path = format!("{}?via={}", path!("v3/knock/{}", room), remote.name());
    alice.post(&path, json!({})).await.ok();
    let since = alice.sync(None).await.next_batch;
    let (id, refusal) = remote.append(
        &room,
        json!({
            "sender": remote.user("rachel"),
            "type": "m.room.member",
            "state_key": alice.user_id,
            "content": { "membership": "leave", "reason": "no" },
        }),
    );
    remote.send_pdu(&server, &id, &refusal).await;
    let sync = alice.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).event_ids(), [id], "{:#}", sync.json);
}
