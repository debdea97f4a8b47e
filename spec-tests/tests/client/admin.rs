//! What administrators may do with an account of their team.

use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::json;

/// An administrator; administrators are made on the server itself.
async fn admin(server: &TestServer) -> TestUser {
    let root = server.register("root").await;
    let user_id = root.user_id.as_str().try_into().expect("a user ID");
    server.app().users.set_admin(user_id, true).await.expect("the store works");
    server.app().sessions.account_changed(user_id).await.expect("the store works");
    root
}

#[tokio::test]
async fn users_see_their_own_sessions_and_administrators_everybodys() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let whois = path!("v3/admin/whois/{}", alice.user_id);
    for user in [&alice, &root] {
        let answer = user.get(&whois).await.ok();
        assert_eq!(answer["user_id"], alice.user_id);
        let device = &answer["devices"][&alice.device_id];
        assert!(device["sessions"][0]["connections"][0]["last_seen"].is_u64(), "{answer:#}");
    }
    bob.get(&whois).await.error(403, "M_FORBIDDEN");
    server.anonymous().get(&whois).await.error(401, "M_MISSING_TOKEN");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#account-locking)
#[tokio::test]
async fn a_locked_user_can_only_log_out_until_unlocked() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let alice = server.register("alice").await;
    alice.get("v3/account/whoami").await.ok();
    let lock = path!("v1/admin/lock/{}", alice.user_id);
    assert_eq!(root.get(&lock).await.ok(), json!({ "locked": false }));
    assert_eq!(root.put(&lock, json!({ "locked": true })).await.ok(), json!({ "locked": true }));
    assert_eq!(root.get(&lock).await.ok(), json!({ "locked": true }));
    let refused = alice.get("v3/account/whoami").await.error(401, "M_USER_LOCKED");
    assert_eq!(refused["soft_logout"], true);
    alice.syncing(None).answer().await.error(401, "M_USER_LOCKED");
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": alice.password,
    });
    let nobody = server.anonymous();
    nobody.post("v3/login", login).await.error(401, "M_USER_LOCKED");
    root.put(&lock, json!({ "locked": false })).await.ok();
    alice.get("v3/account/whoami").await.ok();
    root.put(&lock, json!({ "locked": true })).await.ok();
    alice.post("v3/logout", json!({})).await.ok();
    alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#account-suspension)
#[tokio::test]
async fn a_suspended_user_reads_and_leaves_but_does_not_send() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let suspend = path!("v1/admin/suspend/{}", alice.user_id);
    assert_eq!(root.get(&suspend).await.ok(), json!({ "suspended": false }));
    root.put(&suspend, json!({ "suspended": true })).await.ok();
    assert_eq!(root.get(&suspend).await.ok(), json!({ "suspended": true }));
    alice.sync(None).await;
    let send = path!("v3/rooms/{}/send/{}/{}", room, "m.room.message", "t");
    let message = json!({ "msgtype": "m.text", "body": "hello" });
    alice.put(&send, message.clone()).await.error(403, "M_USER_SUSPENDED");
    let name = path!("v3/profile/{}/displayname", alice.user_id);
    alice.put(&name, json!({ "displayname": "A" })).await.error(403, "M_USER_SUSPENDED");
    alice.post("v3/createRoom", json!({})).await.error(403, "M_USER_SUSPENDED");
    root.put(&suspend, json!({ "suspended": false })).await.ok();
    alice.put(&send, message).await.ok();
    root.put(&suspend, json!({ "suspended": true })).await.ok();
    alice.leave(&room).await;
}

#[tokio::test]
async fn only_administrators_lock_and_suspend_and_not_each_other() {
    let server = TestServer::start().await;
    let root = admin(&server).await;
    let alice = server.register("alice").await;
    for action in ["lock", "suspend"] {
        let of = |user: &str| path!("v1/admin/{}/{}", action, user);
        let body = json!({ "locked": true, "suspended": true });
        // Whether there is such a user makes no difference.
        for user in ["@root:kith.test", "@nobody:kith.test", "@x:elsewhere.test"] {
            alice.get(&of(user)).await.error(403, "M_FORBIDDEN");
            alice.put(&of(user), body.clone()).await.error(403, "M_FORBIDDEN");
        }
        root.put(&of("@root:kith.test"), body.clone()).await.error(403, "M_FORBIDDEN");
        root.get(&of("@nobody:kith.test")).await.error(404, "M_NOT_FOUND");
        root.put(&of("@nobody:kith.test"), body.clone()).await.error(404, "M_NOT_FOUND");
        root.get(&of("@x:elsewhere.test")).await.error(400, "M_INVALID_PARAM");
        root.put(&of("@x:elsewhere.test"), body).await.error(400, "M_INVALID_PARAM");
        root.put(&of("@alice:kith.test"), json!({})).await.error(400, "M_BAD_JSON");
    }
}
