//! Users of other servers join our rooms.

use kith_spec_tests::{RemoteServer, TestServer, path};
use ruma::{RoomVersionId, signatures::Ed25519KeyPair};
use serde_json::{Value, json};

use super::{NAMED, VERSIONS, make, membership, public_room, template};

#[tokio::test]
async fn another_servers_user_joins_rooms_of_every_version() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    for version in &VERSIONS {
        let room = public_room(&alice, version).await;
        let since = alice.sync(None).await.next_batch;
        let join = remote.join(&server, &room, "rachel").await;
        let sync = alice.sync(Some(since)).await;
        assert_eq!(sync.timeline(&room).event_ids(), [join], "version {version}");
        assert_eq!(sync.joined(&room)["summary"]["m.joined_member_count"], 2);
        let copy = remote.room(&room);
        for kind in ["m.room.create", "m.room.power_levels", "m.room.join_rules"] {
            assert!(copy.state_event(kind, "").is_some(), "{version}: {kind}");
        }
        assert!(copy.state_event("m.room.member", &alice.user_id).is_some(), "{version}");
        // The peer may speak there now.
        remote.send_text(&server, &room, "rachel", "hello").await;
        let messages = alice.messages(&room, "dir=b&limit=1").await;
        assert_eq!(messages["chunk"][0]["content"]["body"], "hello", "version {version}");
    }
}

#[tokio::test]
async fn what_a_join_rests_on_is_in_the_answer() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = public_room(&alice, &NAMED).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "one" })).await;
    let bob = server.register("bob").await;
    bob.join(&room).await;
    remote.join(&server, &room, "rachel").await;
    let copy = remote.room(&room);
    let all = copy.events.keys().cloned().collect::<Vec<_>>();
    for id in &all {
        for auth in copy.events[id]["auth_events"].as_array().expect("a list") {
            let auth = auth.as_str().expect("an event ID");
            assert!(copy.events.contains_key(auth), "{id} rests on {auth}");
        }
    }
}

#[tokio::test]
async fn most_members_are_left_out_if_the_other_server_can_do_without() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let named = public_room(&alice, &NAMED).await;
    alice.set_state(&named, "m.room.name", "", json!({ "name": "a name" })).await;
    let unnamed = public_room(&alice, &NAMED).await;
    for room in [&named, &unnamed] {
        let user = remote.user("rachel");
        let (version, event) = template(&remote, &server, "join", room, &user).await;
        let (id, pdu) = remote.sign_pdu(&version, event);
        let path = path!("v2/send_join/{}/{}", room, id);
        let answer = remote.put(&server, &format!("{path}?omit_members=true"), pdu).await.ok();
        assert_eq!(answer["members_omitted"], true);
        assert_eq!(answer["servers_in_room"], json!([server.name()]));
        let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
        let members = list("state").iter().filter(|event| event["type"] == "m.room.member").count();
        // A room without a name is called after those who are in it.
        assert_eq!(members, usize::from(*room == unnamed));
        let in_chain = list("auth_chain").iter().any(|event| event["type"] == "m.room.create");
        assert!(!in_chain, "what is in the state is not said twice");
        let rests = list("auth_chain");
        let joined = rests.iter().filter(|event| event["state_key"] == alice.user_id.as_str());
        assert_eq!(joined.count() + members, 1, "the creator's join is in one of both");
    }
}

#[tokio::test]
async fn joins_that_may_not_be_are_refused_at_the_first_step() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let user = remote.user("rachel");
    let room = public_room(&alice, &NAMED).await;
    let ask = async |room: &str, user: &str| remote.get(&server, &make("join", room, user)).await;

    ask("!nowhere:elsewhere.test", &user).await.error(404, "M_NOT_FOUND");
    ask(&room, &alice.user_id).await.error(403, "M_FORBIDDEN");
    ask(&room, "@somebody:elsewhere.test").await.error(403, "M_FORBIDDEN");
    let private = alice.create_room().await;
    ask(&private, &user).await.error(403, "M_FORBIDDEN");
    let closed = json!({ "preset": "public_chat", "creation_content": { "m.federate": false } });
    let closed = alice.create_room_from(closed).await;
    ask(&closed, &user).await.error(403, "M_FORBIDDEN");

    let path = path!("v1/make_join/{}/{}", room, user);
    for versions in ["", "?ver=1&ver=2", "?ver=10&ver=future"] {
        let answer = remote.get(&server, &format!("{path}{versions}")).await;
        let error = answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION");
        assert_eq!(error["room_version"], NAMED.as_str());
    }
    ask(&room, &user).await.ok();
    let acl = json!({ "allow": ["*"], "deny": ["127.0.0.*"], "allow_ip_literals": true });
    alice.set_state(&room, "m.room.server_acl", "", acl).await;
    ask(&room, &user).await.error(403, "M_FORBIDDEN");
    alice.set_state(&room, "m.room.server_acl", "", json!({ "allow": ["*"] })).await;
    ask(&room, &user).await.ok();
    alice.post(&path!("v3/rooms/{}/ban", room), json!({ "user_id": user })).await.ok();
    ask(&room, &user).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_room_that_we_have_left_is_unknown() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = public_room(&alice, &NAMED).await;
    alice.leave(&room).await;
    let user = remote.user("rachel");
    remote.get(&server, &make("join", &room, &user)).await.error(404, "M_NOT_FOUND");
}

/// Everything about a join that is not exactly one is refused, and leaves nothing behind.
#[tokio::test]
async fn only_exact_joins_are_taken() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let (room, other) = (public_room(&alice, &NAMED).await, public_room(&alice, &NAMED).await);
    let user = remote.user("rachel");
    let (version, event) = template(&remote, &server, "join", &room, &user).await;
    let send = async |room: &str, id: &str, pdu: Value| {
        remote.put(&server, &path!("v2/send_join/{}/{}", room, id), pdu).await
    };
    type Change = fn(&mut Value);
    let wrong: [(&str, Change); 9] = [
        ("type", |event| event["type"] = json!("m.room.topic")),
        ("membership", |event| event["content"]["membership"] = json!("leave")),
        ("knock", |event| event["content"]["membership"] = json!("knock")),
        ("no membership", |event| event["content"] = json!({})),
        ("state key", |event| event["state_key"] = json!("@another:elsewhere.test")),
        ("no state key", |event| drop(event.as_object_mut().map(|e| e.remove("state_key")))),
        ("sender", |event| {
            event["sender"] = json!("@another:elsewhere.test");
            event["state_key"] = json!("@another:elsewhere.test");
        }),
        ("room", |event| event["room_id"] = json!("!another:elsewhere.test")),
        ("no room", |event| drop(event.as_object_mut().map(|e| e.remove("room_id")))),
    ];
    for (what, change) in wrong {
        let mut event = event.clone();
        change(&mut event);
        let (id, pdu) = remote.sign_pdu(&version, event);
        let answer = send(&room, &id, pdu).await;
        assert_eq!((answer.status, answer.errcode()), (400, "M_INVALID_PARAM"), "{what}\n{answer}");
    }
    let (id, pdu) = remote.sign_pdu(&version, event.clone());
    send(&room, "$another", pdu.clone()).await.error(400, "M_INVALID_PARAM");
    send(&other, &id, pdu.clone()).await.error(400, "M_INVALID_PARAM");
    send("!nowhere:elsewhere.test", &id, pdu.clone()).await.error(404, "M_NOT_FOUND");
    let mut unsigned = pdu.clone();
    unsigned["signatures"] = json!({});
    send(&room, &id, unsigned).await.error(400, "M_INVALID_PARAM");
    let strange = Ed25519KeyPair::generate();
    let strange = Ed25519KeyPair::from_der(&strange, "peer1".to_owned()).expect("a key");
    let (forged_id, forged) = remote.sign_pdu_with(&strange, &version, event.clone());
    send(&room, &forged_id, forged).await.error(400, "M_INVALID_PARAM");
    assert_eq!(membership(&alice, &room, &user).await, None);
    assert_eq!(membership(&alice, &other, &user).await, None);

    send(&room, &id, pdu.clone()).await.ok();
    assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("join"));
    // The answer got lost: the same again.
    let again = send(&room, &id, pdu).await.ok();
    assert!(again["state"].as_array().is_some_and(|state| !state.is_empty()));
}

#[tokio::test]
async fn somebody_who_was_banned_meanwhile_does_not_come_in() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = public_room(&alice, &RoomVersionId::V12).await;
    let user = remote.user("rachel");
    let (version, event) = template(&remote, &server, "join", &room, &user).await;
    let (id, pdu) = remote.sign_pdu(&version, event);
    alice.post(&path!("v3/rooms/{}/ban", room), json!({ "user_id": user })).await.ok();
    let answer = remote.put(&server, &path!("v2/send_join/{}/{}", room, id), pdu).await;
    answer.error(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("ban"));
}

/// The server of somebody who enters or leaves may not be in the room: its resident tells the others.
#[tokio::test]
async fn the_other_servers_of_the_room_hear_of_those_who_come_and_go() {
    let server = TestServer::federating().await;
    let (first, second) = (RemoteServer::start().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = public_room(&alice, &NAMED).await;
    first.join(&server, &room, "rachel").await;
    let join = second.join(&server, &room, "ronald").await;
    let user = second.user("ronald");
    let heard = first.wait_for_pdu(|pdu| pdu["state_key"] == user.as_str()).await;
    assert_eq!(kith_spec_tests::pdu_event_id(&NAMED, &heard), join);
    assert!(heard["signatures"][second.name().as_str()].is_object());

    let (version, event) = template(&second, &server, "leave", &room, &user).await;
    let (id, pdu) = second.sign_pdu(&version, event);
    second.put(&server, &path!("v2/send_leave/{}/{}", room, id), pdu).await.ok();
    first
        .wait_for_pdu(|pdu| {
            pdu["state_key"] == user.as_str() && pdu["content"]["membership"] == "leave"
        })
        .await;
    // Nobody is sent their own.
    alice.send_text(&room, "done").await;
    first.wait_for_pdu(|pdu| pdu["content"]["body"] == "done").await;
    let own =
        |asked: &kith_spec_tests::Asked| asked.pdus().any(|pdu| pdu["state_key"] == user.as_str());
    assert!(!second.asked().iter().any(own));
}
