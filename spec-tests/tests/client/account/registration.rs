//! Making an account.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3register)

use super::*;

#[tokio::test]
async fn an_account_is_made_after_the_dummy_stage() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let asked = register(&nobody, account("alice")).await;
    assert_eq!(*to_do(&asked), json!([{ "stages": ["m.login.dummy"] }]));
    let body = with_auth(account("alice"), dummy(&asked["session"]));
    let answer = register(&nobody, body).await;
    let alice = nobody.signed_in(&answer, "correct horse");
    assert_eq!(alice.user_id, "@alice:kith.test");
    alice.get("v3/account/whoami").await.ok();
    alice.log_in_again().await;
}

#[tokio::test]
async fn one_request_suffices_if_it_names_the_stage() {
    let server = TestServer::start().await;
    let auth = json!({ "type": "m.login.dummy" });
    let body = with_auth(account("alice"), auth);
    assert_eq!(register(&server.anonymous(), body).await.ok()["user_id"], "@alice:kith.test");
}

#[tokio::test]
async fn a_client_may_ask_for_the_flows_with_an_empty_body() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let asked = register(&nobody, json!({})).await;
    to_do(&asked);
    let body = with_auth(account("alice"), dummy(&asked["session"]));
    register(&nobody, body).await.ok();
}

#[tokio::test]
async fn an_account_without_login_gets_no_token() {
    let server = TestServer::start().await;
    let mut body = with_auth(account("alice"), json!({ "type": "m.login.dummy" }));
    body["inhibit_login"] = json!(true);
    let answer = register(&server.anonymous(), body).await.ok();
    assert_eq!(answer["user_id"], "@alice:kith.test");
    assert!(answer.get("access_token").is_none() && answer["device_id"].is_null());
}

#[tokio::test]
async fn the_device_is_the_one_that_was_asked_for() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let mut body = with_auth(account("alice"), json!({ "type": "m.login.dummy" }));
    body["device_id"] = json!("PHONE");
    body["initial_device_display_name"] = json!("my phone");
    body["refresh_token"] = json!(true);
    let answer = register(&nobody, body).await;
    assert!(answer["refresh_token"].is_string() && answer["expires_in_ms"].is_u64());
    let alice = nobody.signed_in(&answer, "");
    let device = alice.get("v3/devices/PHONE").await.ok();
    assert_eq!(device["display_name"], "my phone");
}

#[tokio::test]
async fn somebody_without_a_name_is_given_one() {
    let server = TestServer::start().await;
    let body = json!({ "password": "x", "auth": { "type": "m.login.dummy" } });
    let first = register(&server.anonymous(), body.clone()).await.ok();
    let second = register(&server.anonymous(), body).await.ok();
    assert_ne!(first["user_id"], second["user_id"]);
    let user_id = first["user_id"].as_str().expect("a user ID");
    assert_eq!(user_id, user_id.to_lowercase());
}

#[tokio::test]
async fn capital_letters_become_small() {
    let server = TestServer::start().await;
    let body = with_auth(account("Alice"), json!({ "type": "m.login.dummy" }));
    let answer = register(&server.anonymous(), body).await.ok();
    assert_eq!(answer["user_id"], "@alice:kith.test");
}

#[tokio::test]
async fn a_name_is_taken_only_once_and_before_any_authentication() {
    let server = TestServer::start().await;
    server.register("alice").await;
    let nobody = server.anonymous();
    for name in ["alice", "ALICE"] {
        register(&nobody, account(name)).await.error(400, "M_USER_IN_USE");
        let path = format!("v3/register/available?username={name}");
        nobody.get(&path).await.error(400, "M_USER_IN_USE");
    }
}

#[tokio::test]
async fn names_with_other_characters_are_refused() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let long = "a".repeat(250);
    let bad = ["", " ", "_alice", "ali ce", "alice!", "álice", "@alice", "a:b", "a\0b", &long];
    for name in bad {
        register(&nobody, account(name)).await.error(400, "M_INVALID_USERNAME");
        let path = format!("v3/register/available?username={}", kith_spec_tests::encode(name));
        nobody.get(&path).await.error(400, "M_INVALID_USERNAME");
    }
    for name in ["q3._=-/+", "0", "a.b"] {
        to_do(&register(&nobody, account(name)).await);
    }
    nobody.get("v3/register/available").await.error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn a_free_name_is_available() {
    let server = TestServer::start().await;
    let answer = server.anonymous().get("v3/register/available?username=alice").await.ok();
    assert_eq!(answer, json!({ "available": true }));
}

#[tokio::test]
async fn passwords_have_limits() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let with = |password: String| json!({ "username": "alice", "password": password });
    register(&nobody, with(String::new())).await.error(400, "M_WEAK_PASSWORD");
    register(&nobody, with("x".repeat(1025))).await.error(400, "M_INVALID_PARAM");
    let auth = json!({ "type": "m.login.dummy" });
    let none = with_auth(json!({ "username": "alice" }), auth);
    register(&nobody, none).await.error(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn two_who_want_one_name_at_once_do_not_both_get_it() {
    let server = TestServer::start().await;
    let body = with_auth(account("alice"), json!({ "type": "m.login.dummy" }));
    let attempts = (0..8).map(|_| {
        let (nobody, body) = (server.anonymous(), body.clone());
        tokio::spawn(async move { register(&nobody, body).await })
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.expect("no panic");
        if answer.status == 200 {
            made += 1;
        } else {
            answer.error(400, "M_USER_IN_USE");
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn closed_registration_says_so() {
    let server =
        TestServer::with(|config| config.registration.open = OpenRegistration::Never).await;
    register(&server.anonymous(), account("alice")).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn registration_can_be_open_to_this_machine_alone() {
    let server = TestServer::with(|config| {
        config.registration.open = OpenRegistration::Loopback;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a range")];
    })
    .await;
    let nobody = server.anonymous();
    to_do(&register(&nobody, account("alice")).await);
    let body = account("alice").to_string().into_bytes();
    let from_far = [("x-forwarded-for", "192.0.2.1")];
    let method = "POST".parse().expect("a method");
    let answer = nobody.request_with(method, "v3/register", Some(body), &from_far).await;
    answer.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guests_are_refused_unless_they_are_allowed() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    nobody.post("v3/register?kind=guest", json!({})).await.error(403, "M_FORBIDDEN");
    let server = TestServer::with(|config| config.registration.guests = true).await;
    let nobody = server.anonymous();
    nobody.post("v3/register?kind=pirate", json!({})).await.error(400, "M_INVALID_PARAM");
    let answer = nobody.post("v3/register?kind=guest", json!({})).await;
    let guest = nobody.signed_in(&answer, "");
    assert_eq!(guest.get("v3/account/whoami").await.ok()["is_guest"], true);
    guest.get("v3/devices").await.ok();
    // Clients send their token with these, too.
    guest.get("versions").await.ok();
    guest.get("v3/capabilities").await.ok();
    guest.get("v1/media/download/kith.test/nothing").await.error(404, "M_NOT_FOUND");
    let denied = guest.post("v3/account/password", json!({ "new_password": "x" })).await;
    denied.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let denied = guest.post("v3/user_directory/search", json!({ "search_term": "a" })).await;
    denied.error(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[tokio::test]
async fn a_guest_becomes_a_user_under_the_same_name() {
    let server = TestServer::with(|config| config.registration.guests = true).await;
    let nobody = server.anonymous();
    let answer = nobody.post("v3/register?kind=guest", json!({})).await;
    let guest = nobody.signed_in(&answer, "");
    let upgrade = |name: &str, token: &str| {
        let mut body = with_auth(account(name), json!({ "type": "m.login.dummy" }));
        body["guest_access_token"] = json!(token);
        body
    };
    let token = guest.access_token.clone().unwrap_or_default();
    register(&nobody, upgrade("alice", &token)).await.error(403, "M_FORBIDDEN");
    let unknown = register(&nobody, upgrade(guest.localpart(), "unknown")).await;
    unknown.error(401, "M_UNKNOWN_TOKEN");
    let answer = register(&nobody, upgrade(guest.localpart(), &token)).await;
    let user = nobody.signed_in(&answer, "correct horse");
    assert_eq!(user.user_id, guest.user_id);
    for session in [&user, &guest, &user.log_in_again().await] {
        let whoami = session.get("v3/account/whoami").await.ok();
        assert_eq!(whoami.get("is_guest").unwrap_or(&json!(false)), false);
    }
    // It works once: a user is no guest.
    register(&nobody, upgrade(guest.localpart(), &token)).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn application_services_need_a_token_that_is_known() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    let body = json!({ "type": "m.login.application_service", "username": "bot" });
    register(&nobody, body.clone()).await.error(401, "M_MISSING_TOKEN");
    register(&nobody.with_token("x"), body).await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn registrations_are_limited_for_each_address() {
    let server = TestServer::with(|config| {
        config.rate_limits.enabled = true;
        let limit = kith_homeserver::config::RateLimit::On { per_second: 0.01, burst: 3 };
        config.rate_limits.registration = limit;
    })
    .await;
    server.register("alice").await;
    let nobody = server.anonymous();
    nobody.get("v3/register/available?username=bob").await.ok();
    register(&nobody, account("bob")).await.error(429, "M_LIMIT_EXCEEDED");
    let path = "v3/register/available?username=bob";
    nobody.get(path).await.error(429, "M_LIMIT_EXCEEDED");
}
