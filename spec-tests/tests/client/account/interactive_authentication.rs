//! Proving again who one is.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)

use super::*;

#[tokio::test]
async fn no_stage_but_the_offered_one_opens_anything() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mallory = server.register("mallory").await;
    let path = "v3/account/password";
    let body = json!({ "new_password": "stolen" });
    let asked = alice.post(path, body.clone()).await;
    assert_eq!(*to_do(&asked), json!([{ "stages": ["m.login.password"] }]));
    let session = &asked["session"];
    let password = |user: &str, password: &str| {
        json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user },
            "password": password,
            "session": session,
        })
    };
    let attempts = [
        dummy(session),
        json!({ "session": session }),
        json!({ "type": "m.login.terms", "session": session }),
        json!({ "type": "m.login.registration_token", "token": "x", "session": session }),
        json!({ "type": "m.login.sso", "session": session }),
        json!({ "type": "org.example.unknown", "session": session }),
        password(&alice.user_id, "wrong"),
        password(&alice.user_id, ""),
        // Somebody else's right password.
        password(&mallory.user_id, &mallory.password),
        password("", ""),
    ];
    for auth in attempts {
        to_do(&alice.post(path, with_auth(body.clone(), auth)).await);
    }
    alice.log_in_again().await;
}

#[tokio::test]
async fn a_wrong_password_names_its_error_and_the_session_goes_on() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = json!({ "new_password": "new" });
    let asked = alice.post("v3/account/password", body.clone()).await;
    let mut auth = password_of(&alice, &asked["session"]);
    auth["password"] = json!("wrong");
    let wrong = alice.post("v3/account/password", with_auth(body.clone(), auth)).await;
    to_do(&wrong);
    assert_eq!(wrong.errcode(), "M_FORBIDDEN");
    assert_eq!(wrong["session"], asked["session"]);
    let auth = password_of(&alice, &asked["session"]);
    alice.post("v3/account/password", with_auth(body, auth)).await.ok();
}

#[tokio::test]
async fn a_session_is_good_for_one_request_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    // Begun for registration: of no use for anything else, and the other way round.
    let registering = register(&nobody, account("bob")).await;
    let auth = password_of(&alice, &registering["session"]);
    let body = with_auth(json!({ "new_password": "new" }), auth);
    let refused = alice.post("v3/account/password", body).await;
    to_do(&refused);
    assert_ne!(refused["session"], registering["session"]);
    // Begun for one device: of no use for another.
    let other = alice.log_in_again().await;
    let asked = alice.delete(&format!("v3/devices/{}", other.device_id), json!({})).await;
    let auth = password_of(&alice, &asked["session"]);
    let path = format!("v3/devices/{}", alice.device_id);
    to_do(&alice.delete(&path, json!({ "auth": auth })).await);
    alice.get("v3/account/whoami").await.ok();
}

#[tokio::test]
async fn a_session_cannot_be_used_twice() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let asked = register(&nobody, account("alice")).await;
    let auth = dummy(&asked["session"]);
    register(&nobody, with_auth(account("alice"), auth.clone())).await.ok();
    to_do(&register(&nobody, with_auth(account("bob"), auth)).await);
}
