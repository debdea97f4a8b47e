//! Whom users do not want to be invited by.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#invite-permission)

use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::{Value, json};

async fn configure(user: &TestUser, kind: &str, content: Value) {
    user.put(&path!("v3/user/{}/account_data/{}", user.user_id, kind), content).await.ok();
}

const STABLE: &str = "m.invite_permission_config";
const LISTS: &str = "org.matrix.msc4155.invite_permission_config";

#[tokio::test]
async fn whoever_blocks_invites_gets_none_by_any_way() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let eve = server.register("eve").await;
    let versions = alice.get("versions").await.ok();
    for flag in ["org.matrix.msc4155", "org.matrix.msc4380.stable"] {
        assert_eq!(versions["unstable_features"][flag], true, "{flag}");
    }
    let room = alice.create_room().await;
    configure(&bob, STABLE, json!({ "default_action": "block" })).await;
    let invite = path!("v3/rooms/{}/invite", room);
    let body = json!({ "user_id": bob.user_id });
    alice.post(&invite, body.clone()).await.error(403, "M_INVITE_BLOCKED");
    eve.post(&invite, body.clone()).await.error(403, "M_FORBIDDEN");
    let member = path!("v3/rooms/{}/state/m.room.member/{}", room, bob.user_id);
    let content = json!({ "membership": "invite" });
    alice.put(&member, content.clone()).await.error(403, "M_INVITE_BLOCKED");
    let create = json!({ "invite": [bob.user_id] });
    alice.post("v3/createRoom", create).await.error(403, "M_INVITE_BLOCKED");
    let state = json!([{ "type": "m.room.member", "state_key": bob.user_id, "content": content }]);
    let create = json!({ "initial_state": state });
    alice.post("v3/createRoom", create).await.error(403, "M_INVITE_BLOCKED");
    assert_eq!(alice.membership_of(&room, &bob).await, None);
    // Bob may still go where he wants.
    let public = alice.create_public_room().await;
    bob.join(&public).await;
    configure(&bob, STABLE, json!({})).await;
    alice.post(&invite, body).await.ok();
    assert_eq!(alice.membership_of(&room, &bob).await.as_deref(), Some("invite"));
}

#[tokio::test]
async fn an_invite_that_came_before_the_block_is_hidden_while_it_lasts() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    assert!(bob.sync(None).await.invited(&room).is_object());
    configure(&bob, STABLE, json!({ "default_action": "block" })).await;
    assert!(bob.sync(None).await.invited(&room).is_null());
    configure(&bob, STABLE, json!({ "default_action": "something new" })).await;
    assert!(bob.sync(None).await.invited(&room).is_object());
}

/// MSC4155: lists of users and servers, the first that matches decides.
#[tokio::test]
async fn an_ignored_inviter_notices_nothing_and_neither_does_the_invited() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let lists = json!({
        "allowed_users": [alice.user_id],
        "ignored_users": ["@ca?ol:*"],
        "blocked_servers": ["*"],
    });
    configure(&bob, LISTS, lists.clone()).await;
    let since = bob.sync(None).await.next_batch;
    let (of_alice, of_carol) = (alice.create_room().await, carol.create_room().await);
    carol.invite(&of_carol, &bob).await;
    alice.invite(&of_alice, &bob).await;
    let sync = bob.sync_until(since, |sync| sync.invited(&of_alice).is_object()).await;
    assert!(sync.invited(&of_carol).is_null(), "{:#}", sync.json);
    assert!(bob.sync(None).await.invited(&of_carol).is_null());
    assert_eq!(carol.membership_of(&of_carol, &bob).await.as_deref(), Some("invite"));
    // Nor do they hear that it was taken back.
    let since = bob.sync(None).await.next_batch;
    let another = carol.create_room().await;
    carol.invite(&another, &bob).await;
    carol.kick(&another, &bob).await;
    alice.kick(&of_alice, &bob).await;
    let sync = bob.sync_until(since, |sync| sync.left(&of_alice).is_object()).await;
    assert!(sync.left(&another).is_null(), "{:#}", sync.json);
    let dave = server.register("dave").await;
    let room = dave.create_room().await;
    let invite = path!("v3/rooms/{}/invite", room);
    let body = json!({ "user_id": bob.user_id });
    dave.post(&invite, body.clone()).await.error(403, "M_INVITE_BLOCKED");
    // Malformed or switched off it is not there.
    let mut malformed = lists.clone();
    malformed["blocked_servers"] = json!("*");
    configure(&bob, LISTS, malformed).await;
    dave.post(&invite, body).await.ok();
    let mut off = lists;
    off["enabled"] = json!(false);
    configure(&bob, LISTS, off).await;
    assert!(bob.sync(None).await.invited(&of_carol).is_object());
    // The ignored user list counts too, whatever else is said.
    let list = json!({ "ignored_users": { &dave.user_id: {} } });
    configure(&bob, "m.ignored_user_list", list).await;
    assert!(bob.sync(None).await.invited(&room).is_null());
}
