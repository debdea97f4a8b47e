//! Changing a password.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#password-management)

use super::*;

async fn change(user: &TestUser, body: Value) -> Answer {
    let asked = user.post("v3/account/password", body.clone()).await;
    let body = with_auth(body, password_of(user, &asked["session"]));
    user.post("v3/account/password", body).await
}

async fn can_log_in(server: &TestServer, password: &str) -> bool {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password,
    });
    server.anonymous().post("v3/login", body).await.status == 200
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_signs_other_devices_out() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.log_in_again().await;
    change(&alice, json!({ "new_password": "new" })).await.ok();
    assert!(can_log_in(&server, "new").await);
    assert!(!can_log_in(&server, &alice.password).await);
    alice.get("v3/account/whoami").await.ok();
    other.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn other_devices_may_stay_signed_in() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.log_in_again().await;
    change(&alice, json!({ "new_password": "new", "logout_devices": false })).await.ok();
    other.get("v3/account/whoami").await.ok();
}

#[tokio::test]
async fn old_clients_name_themselves_beside_their_password() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let auth = json!({
        "type": "m.login.password", "user": alice.user_id, "password": alice.password,
    });
    let body = with_auth(json!({ "new_password": "new" }), auth);
    alice.post("v3/account/password", body).await.ok();
}

#[tokio::test]
async fn an_empty_password_and_a_missing_token_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let empty = json!({ "new_password": "" });
    alice.post("v3/account/password", empty.clone()).await.error(400, "M_WEAK_PASSWORD");
    let nobody = server.anonymous();
    nobody.post("v3/account/password", empty).await.error(401, "M_MISSING_TOKEN");
}
