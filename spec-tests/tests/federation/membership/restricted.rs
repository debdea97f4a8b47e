//! Members of one room may enter another.

use kith_spec_tests::{RemoteServer, TestServer, TestUser, path};
use serde_json::{Value, json};

use super::{NAMED, join_via, make, membership, public_room, template};

/// A room that the members of these may join.
async fn restricted(user: &TestUser, rooms: &[&str]) -> String {
    let allow: Vec<Value> =
        rooms.iter().map(|room| json!({ "type": "m.room_membership", "room_id": room })).collect();
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    let state = json!([{ "type": "m.room.join_rules", "state_key": "", "content": rule }]);
    user.create_room_from(json!({ "room_version": NAMED, "initial_state": state })).await
}

#[tokio::test]
async fn a_member_of_the_other_room_comes_in_with_our_signature() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let lobby = public_room(&alice, &NAMED).await;
    let room = restricted(&alice, &[&lobby]).await;
    let user = remote.user("rachel");
    remote.get(&server, &make("join", &room, &user)).await.error(403, "M_FORBIDDEN");
    remote.join(&server, &lobby, "rachel").await;

    let (version, event) = template(&remote, &server, "join", &room, &user).await;
    assert_eq!(event["content"]["join_authorised_via_users_server"], alice.user_id);
    let (id, pdu) = remote.sign_pdu(&version, event);
    let answer = remote.put(&server, &path!("v2/send_join/{}/{}", room, id), pdu.clone()).await;
    let answer = answer.ok();
    let signed = &answer["event"];
    assert!(signed["signatures"][server.name()].is_object(), "{signed:#}");
    assert_eq!(
        signed["signatures"][remote.name().as_str()],
        pdu["signatures"][remote.name().as_str()]
    );
    assert_eq!(membership(&alice, &room, &user).await.as_deref(), Some("join"));
}

#[tokio::test]
async fn our_signature_is_for_those_alone_who_may_come_in() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let lobby = public_room(&alice, &NAMED).await;
    let room = restricted(&alice, &[&lobby]).await;
    remote.join(&server, &lobby, "rachel").await;
    let user = remote.user("rachel");
    let (version, event) = template(&remote, &server, "join", &room, &user).await;
    for (field, value) in [
        ("sender", json!(remote.user("ronald"))),
        ("type", json!("m.room.power_levels")),
        (
            "content",
            json!({
                "membership": "invite", "join_authorised_via_users_server": alice.user_id,
            }),
        ),
    ] {
        let mut forged = event.clone();
        forged[field] = value;
        let (id, pdu) = remote.sign_pdu(&version, forged);
        let answer = remote.put(&server, &path!("v2/send_join/{}/{}", room, id), pdu).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    // A user of the peer who is not in the other room.
    let stranger = remote.user("ronald");
    let mut forged = event.clone();
    forged["sender"] = json!(stranger);
    forged["state_key"] = json!(stranger);
    let (id, pdu) = remote.sign_pdu(&version, forged);
    let answer = remote.put(&server, &path!("v2/send_join/{}/{}", room, id), pdu).await;
    let error = answer.error(403, "M_FORBIDDEN");
    assert!(!error.to_string().contains("signatures"));
    assert_eq!(membership(&alice, &room, &stranger).await, None);
}

#[tokio::test]
async fn whoever_cannot_tell_or_cannot_let_in_says_so() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let user = remote.user("rachel");
    let unknown = restricted(&alice, &["!nowhere:elsewhere.test"]).await;
    let answer = remote.get(&server, &make("join", &unknown, &user)).await;
    answer.error(400, "M_UNABLE_TO_AUTHORISE_JOIN");

    let lobby = public_room(&alice, &NAMED).await;
    remote.join(&server, &lobby, "rachel").await;
    let room = restricted(&alice, &[&lobby]).await;
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    let powers = alice.state(&room, "m.room.power_levels", "").await;
    let mut powers = powers;
    powers["invite"] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", powers).await;
    remote.get(&server, &make("join", &room, &user)).await.ok();
    alice.leave(&room).await;
    let answer = remote.get(&server, &make("join", &room, &user)).await;
    answer.error(400, "M_UNABLE_TO_GRANT_JOIN");
}

/// We are in the room, but nobody of ours may invite: another server's word is needed.
#[tokio::test]
async fn our_user_enters_a_restricted_room_with_another_servers_word() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let carol = away.register("carol").await;
    let lobby = public_room(&alice, &NAMED).await;
    let room = restricted(&alice, &[&lobby]).await;
    let mut powers = alice.state(&room, "m.room.power_levels", "").await;
    powers["invite"] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", powers).await;
    for user in [&bob, &carol] {
        let since = alice.sync(None).await.next_batch;
        join_via(user, &lobby, home.name()).await.ok();
        if membership(&alice, &lobby, &user.user_id).await.is_none() {
            alice.sync_until(since, |sync| !sync.timeline(&lobby).is_empty()).await;
        }
    }
    // Through the other server, since this one is not in the room.
    join_via(&bob, &room, home.name()).await.ok();
    let member = bob.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["join_authorised_via_users_server"], alice.user_id);
    // This one is in the room, and cannot let anybody in.
    join_via(&carol, &room, home.name()).await.ok();
    for user in [&alice, &bob] {
        assert_eq!(membership(user, &room, &carol.user_id).await.as_deref(), Some("join"));
    }
}
