//! Our users invite those of other servers.

use kith_spec_tests::{RemoteReply, RemoteServer, TestServer, TestUser, path};
use serde_json::{Value, json};

use super::{VERSIONS, membership};

/// A peer that signs invites, as it should.
fn signs(remote: &std::sync::Arc<RemoteServer>) {
    let signer = std::sync::Arc::clone(remote);
    remote.answer(
        "PUT",
        "v2/invite/{}/{}",
        move |asked| json!({ "event": signed(&signer, &asked.body) }),
    );
}

fn signed(remote: &RemoteServer, body: &Value) -> Value {
    let version = body["room_version"].as_str().expect("a version").try_into().expect("known");
    remote.sign_pdu(&version, body["event"].clone()).1
}

async fn invite(user: &TestUser, room: &str, whom: &str) -> kith_spec_tests::Answer {
    user.post(&path!("v3/rooms/{}/invite", room), json!({ "user_id": whom })).await
}

#[tokio::test]
async fn an_invite_is_made_when_the_other_server_has_signed_it() {
    let server = TestServer::federating().await;
    let remote = std::sync::Arc::new(RemoteServer::start().await);
    signs(&remote);
    let alice = server.register("alice").await;
    let rachel = remote.user("rachel");
    for version in &VERSIONS {
        let body = json!({ "room_version": version, "name": "Library" });
        let room = alice.create_room_from(body).await;
        invite(&alice, &room, &rachel).await.ok();
        let asked = remote.wait_for(|asked| {
            asked.is("PUT", "v2/invite/{}/{}") && asked.arguments.first() == Some(&room)
        });
        let asked = asked.await;
        assert_eq!(asked.body["room_version"], version.as_str());
        let state = asked.body["invite_room_state"].as_array().cloned().unwrap_or_default();
        let of = |kind: &str| state.iter().find(|event| event["type"] == kind);
        let create = of("m.room.create").expect("the create event");
        assert!(create["signatures"][server.name()].is_object(), "whole events: {create:#}");
        assert_eq!(of("m.room.name").expect("the name")["content"]["name"], "Library");
        assert!(of("m.room.member").is_some(), "who invites");
        assert_eq!(membership(&alice, &room, &rachel).await.as_deref(), Some("invite"));
    }
}

#[tokio::test]
async fn an_invite_that_is_refused_is_not_made() {
    let server = TestServer::federating().await;
    let remote = std::sync::Arc::new(RemoteServer::start().await);
    let alice = server.register("alice").await;
    let rachel = remote.user("rachel");
    let room = alice.create_room().await;
    for (status, errcode, (seen, told)) in [
        (403, "M_FORBIDDEN", (403, "M_FORBIDDEN")),
        (403, "M_INVITE_BLOCKED", (403, "M_INVITE_BLOCKED")),
        (400, "M_INCOMPATIBLE_ROOM_VERSION", (400, "M_INCOMPATIBLE_ROOM_VERSION")),
        (400, "M_INVALID_PARAM", (502, "M_UNKNOWN")),
        (500, "M_UNKNOWN", (502, "M_UNKNOWN")),
    ] {
        remote.answer("PUT", "v2/invite/{}/{}", move |_| RemoteReply::error(status, errcode));
        invite(&alice, &room, &rachel).await.error(seen, told);
    }
    assert_eq!(membership(&alice, &room, &rachel).await, None);
    // By hand, or with a new room: it is the same.
    remote.answer("PUT", "v2/invite/{}/{}", |_| RemoteReply::error(403, "M_FORBIDDEN"));
    let by_hand = path!("v3/rooms/{}/state/m.room.member/{}", room, rachel);
    alice.put(&by_hand, json!({ "membership": "invite" })).await.error(403, "M_FORBIDDEN");
    // A new room is there all the same.
    let new = alice.post("v3/createRoom", json!({ "invite": [rachel] })).await.ok();
    let new = new["room_id"].as_str().expect("a room").to_owned();
    assert_eq!(membership(&alice, &new, &rachel).await, None);
    alice.send_text(&new, "nobody came").await;
    assert_eq!(membership(&alice, &room, &rachel).await, None);
    signs(&remote);
    alice.put(&by_hand, json!({ "membership": "invite" })).await.ok();
    assert_eq!(membership(&alice, &room, &rachel).await.as_deref(), Some("invite"));
}

/// Only a signature is taken from the answer, and only one that is right.
#[tokio::test]
async fn an_answer_that_is_not_our_invite_with_their_signature_is_not_taken() {
    let server = TestServer::federating().await;
    let remote = std::sync::Arc::new(RemoteServer::start().await);
    let stranger = RemoteServer::start().await;
    let alice = server.register("alice").await;
    let rachel = remote.user("rachel");
    let room = alice.create_room().await;
    type Answer = Box<dyn Fn(&Value) -> Value + Send>;
    let by = std::sync::Arc::clone(&remote);
    let answers: [(&str, Answer); 5] = [
        ("unsigned", Box::new(|body| body["event"].clone())),
        ("another's signature", Box::new(move |body| signed(&stranger, body))),
        (
            "a made-up signature",
            Box::new({
                let by = std::sync::Arc::clone(&by);
                move |body| {
                    let mut event = signed(&by, body);
                    let name = by.name().as_str();
                    let own = event["signatures"][name].as_object().cloned().unwrap_or_default();
                    for key in own.keys() {
                        event["signatures"][name][key] = json!("A".repeat(86));
                    }
                    event
                }
            }),
        ),
        (
            "another event",
            Box::new({
                let by = std::sync::Arc::clone(&by);
                move |body| {
                    let mut body = body.clone();
                    body["event"]["content"] = json!({ "membership": "ban" });
                    signed(&by, &body)
                }
            }),
        ),
        ("nothing", Box::new(|_| json!("nothing"))),
    ];
    for (what, answer) in answers {
        remote.answer(
            "PUT",
            "v2/invite/{}/{}",
            move |asked| json!({ "event": answer(&asked.body) }),
        );
        let refused = invite(&alice, &room, &rachel).await;
        assert_eq!(refused.status, 502, "{what}\n{refused}");
        assert_eq!(membership(&alice, &room, &rachel).await, None, "{what}");
    }
}

#[tokio::test]
async fn a_new_room_invites_users_of_several_servers() {
    let server = TestServer::federating().await;
    let mut remotes = Vec::new();
    for _ in 0..4 {
        let remote = std::sync::Arc::new(RemoteServer::start().await);
        signs(&remote);
        remotes.push(remote);
    }
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let mut invited: Vec<String> = remotes.iter().map(|remote| remote.user("rachel")).collect();
    invited.push(bob.user_id.clone());
    let body = json!({ "preset": "private_chat", "invite": invited, "is_direct": true });
    let room = alice.create_room_from(body).await;
    for user in &invited {
        assert_eq!(membership(&alice, &room, user).await.as_deref(), Some("invite"), "{user}");
    }
    for remote in &remotes {
        let asked = remote.wait_for(|asked| asked.is("PUT", "v2/invite/{}/{}")).await;
        assert_eq!(asked.body["event"]["content"]["is_direct"], true);
    }
    // Where several were invited side by side the room goes on as one.
    let event_id = alice.send_text(&room, "hello").await;
    let sync = alice.sync(None).await;
    assert_eq!(sync.timeline(&room).event_ids().last(), Some(&event_id.as_str()));
}
