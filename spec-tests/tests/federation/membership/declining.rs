//! Leaving, both ways: our users decline, members on other servers go.

use kith_spec_tests::{RemoteReply, RemoteServer, TestServer, path};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{Invite, NAMED, make, membership, private_room, public_room, template};

#[tokio::test]
async fn another_servers_member_leaves() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    for version in [NAMED, RoomVersionId::V12] {
        let room = public_room(&alice, &version).await;
        remote.join(&server, &room, "rachel").await;
        let user = remote.user("rachel");
        let (named, event) = template(&remote, &server, "leave", &room, &user).await;
        let (id, pdu) = remote.sign_pdu(&named, event);
        let answer = remote.put(&server, &path!("v2/send_leave/{}/{}", room, id), pdu).await.ok();
        assert_eq!(answer, json!({}));
        assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("leave"));
    }
}

#[tokio::test]
async fn leaves_that_may_not_be_are_refused() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = public_room(&alice, &NAMED).await;
    let (user, stranger) = (remote.user("rachel"), remote.user("ronald"));
    remote.join(&server, &room, "rachel").await;
    let ask = async |room: &str, user: &str| remote.get(&server, &make("leave", room, user)).await;
    ask("!nowhere:elsewhere.test", &user).await.error(404, "M_NOT_FOUND");
    ask(&room, &stranger).await.error(403, "M_FORBIDDEN");
    ask(&room, &alice.user_id).await.error(403, "M_FORBIDDEN");
    let (version, event) = template(&remote, &server, "leave", &room, &user).await;
    let send = async |id: &str, pdu: Value| {
        remote.put(&server, &path!("v2/send_leave/{}/{}", room, id), pdu).await
    };
    // A kick is no leave.
    let mut kick = event.clone();
    kick["state_key"] = json!(alice.user_id);
    let (id, kick) = remote.sign_pdu(&version, kick);
    send(&id, kick).await.error(400, "M_INVALID_PARAM");
    let mut ban = event.clone();
    ban["content"]["membership"] = json!("ban");
    let (id, ban) = remote.sign_pdu(&version, ban);
    send(&id, ban).await.error(400, "M_INVALID_PARAM");
    let (id, pdu) = remote.sign_pdu(&version, event);
    send("$another", pdu.clone()).await.error(400, "M_INVALID_PARAM");
    let mut unsigned = pdu;
    unsigned["signatures"] = json!({});
    send(&id, unsigned).await.error(400, "M_INVALID_PARAM");
    assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("join"));
}

#[tokio::test]
async fn our_user_declines_an_invite_at_the_inviters_server() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    let signed = invite.send(&remote, &server).await.ok()["event"].clone();
    remote.take(&room, signed);
    let since = alice.sync(None).await.next_batch;
    alice.post(&path!("v3/rooms/{}/leave", room), json!({ "reason": "busy" })).await.ok();
    let left = remote.wait_for(|asked| asked.is("PUT", "v2/send_leave/{}/{}")).await;
    assert_eq!(left.body["content"], json!({ "membership": "leave", "reason": "busy" }));
    assert_eq!(left.body["sender"], alice.user_id);
    let sync = alice.sync(Some(since)).await;
    assert!(sync.left(&room).is_object(), "{:#}", sync.json);
    assert!(alice.sync(None).await.invited(&room).is_null());
    alice.forget(&room).await;
}

#[tokio::test]
async fn an_invite_can_be_declined_when_nobody_answers() {
    let (server, remote, alice, room) = private_room(&RoomVersionId::V12).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    invite.send(&remote, &server).await.ok();
    remote.stop().await;
    alice.leave(&room).await;
    assert!(alice.sync(None).await.invited(&room).is_null());
    // Invited again later.
    remote.start_again().await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    invite.send(&remote, &server).await.ok();
    assert!(alice.sync(None).await.invited(&room).is_object());
}

/// What a resident says that is no template of our leave is not signed.
#[tokio::test]
async fn a_leave_is_ours_whatever_the_other_server_proposes() {
    let (server, remote, alice, room) = private_room(&NAMED).await;
    let invite = Invite::of(&remote, &room, "rachel", &alice.user_id);
    let signed = invite.send(&remote, &server).await.ok()["event"].clone();
    remote.take(&room, signed);
    let (id, user) = (room.clone(), alice.user_id.clone());
    remote.answer("GET", "v1/make_leave/{}/{}", move |_| {
        RemoteReply::json(
            200,
            json!({ "room_version": NAMED, "event": {
                "type": "m.room.member", "room_id": id, "sender": user, "state_key": user,
                "content": { "membership": "join" }, "prev_events": ["$a"], "auth_events": [],
                "depth": 5,
            }}),
        )
    });
    alice.leave(&room).await;
    assert!(!remote.asked().iter().any(|asked| asked.is("PUT", "v2/send_leave/{}/{}")));
    assert!(alice.sync(None).await.invited(&room).is_null());
}
