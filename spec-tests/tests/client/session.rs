//! Signing in and out.

use kith_spec_tests::{Answer, TestServer, TestUser};
use serde_json::{Value, json};

fn password_login(user: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    })
}

async fn log_in(nobody: &TestUser, user: &str, password: &str) -> Answer {
    nobody.post("v3/login", password_login(user, password)).await
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3login)
#[tokio::test]
async fn the_login_flows_are_password_and_token() {
    let server = TestServer::start().await;
    let flows = server.anonymous().get("v3/login").await.ok();
    let expected = json!([
        { "type": "m.login.password" },
        { "type": "m.login.token", "get_login_token": true },
    ]);
    assert_eq!(flows["flows"], expected);
}

#[tokio::test]
async fn a_user_logs_in_by_user_id_or_localpart_in_any_case() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    for name in ["alice", "@alice:kith.test", "Alice", "@ALICE:kith.test"] {
        let answer = log_in(&nobody, name, &alice.password).await;
        let session = nobody.signed_in(&answer, "");
        assert_eq!(answer.ok()["user_id"], "@alice:kith.test");
        let whoami = session.get("v3/account/whoami").await.ok();
        assert_eq!(whoami["user_id"], "@alice:kith.test");
        assert_eq!(whoami["device_id"], session.device_id);
        assert_eq!(whoami.get("is_guest").unwrap_or(&json!(false)), false);
    }
}

/// Old clients send `user` beside the type.
#[tokio::test]
async fn a_user_logs_in_with_the_old_form_of_the_request() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = json!({ "type": "m.login.password", "user": "alice", "password": alice.password });
    server.anonymous().post("v3/login", body).await.ok();
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_are_refused_alike() {
    let server = TestServer::start().await;
    server.register("alice").await;
    let nobody = server.anonymous();
    let wrong = log_in(&nobody, "alice", "wrong").await.error(403, "M_FORBIDDEN");
    let names = ["bob", "@bob:kith.test", "@alice:elsewhere.test", "", "@:", "al ice"];
    for name in names {
        assert_eq!(log_in(&nobody, name, "wrong").await.error(403, "M_FORBIDDEN"), wrong);
    }
    let by_mail = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "a@kith.test" },
        "password": "wrong",
    });
    assert_eq!(nobody.post("v3/login", by_mail).await.error(403, "M_FORBIDDEN"), wrong);
}

#[tokio::test]
async fn malformed_logins_are_named_as_such() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    nobody.post("v3/login", json!({ "type": "m.login.magic" })).await.error(400, "M_UNKNOWN");
    nobody.post("v3/login", json!({})).await.error(400, "M_BAD_JSON");
    nobody.post("v3/login", json!([])).await.error(400, "M_BAD_JSON");
    nobody.post("v3/login", json!({ "type": 7 })).await.error(400, "M_BAD_JSON");
    let no_name = json!({ "type": "m.login.password", "password": "x" });
    nobody.post("v3/login", no_name).await.error(400, "M_MISSING_PARAM");
    let appservice = json!({
        "type": "m.login.application_service",
        "identifier": { "type": "m.id.user", "user": "x" },
    });
    nobody.post("v3/login", appservice.clone()).await.error(401, "M_MISSING_TOKEN");
    let stranger = nobody.with_token("stranger");
    stranger.post("v3/login", appservice).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_device_keeps_its_name_and_loses_its_old_token_when_it_logs_in_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    let mut body = password_login("alice", &alice.password);
    body["device_id"] = json!("PHONE");
    body["initial_device_display_name"] = json!("my phone");
    let first = nobody.post("v3/login", body.clone()).await;
    let first = nobody.signed_in(&first, "");
    assert_eq!(first.device_id, "PHONE");
    body["initial_device_display_name"] = json!("another name");
    let second = nobody.post("v3/login", body).await;
    let second = nobody.signed_in(&second, "");
    first.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    let device = second.get("v3/devices/PHONE").await.ok();
    assert_eq!(device["display_name"], "my phone");
}

#[tokio::test]
async fn device_ids_and_names_have_limits() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for (field, value) in [
        ("device_id", String::new()),
        ("device_id", "x".repeat(256)),
        ("initial_device_display_name", "x".repeat(1025)),
    ] {
        let mut body = password_login("alice", &alice.password);
        body[field] = value.into();
        server.anonymous().post("v3/login", body).await.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn a_token_is_good_until_its_device_logs_out() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.log_in_again().await;
    alice.get("v3/account/whoami").await.ok();
    alice.post("v3/logout", json!({})).await.ok();
    let refused = alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(refused["soft_logout"], false);
    alice.post("v3/logout", json!({})).await.error(401, "M_UNKNOWN_TOKEN");
    other.get("v3/account/whoami").await.ok();
    let devices = other.get("v3/devices").await.ok();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let other = alice.log_in_again().await;
    alice.get("v3/account/whoami").await.ok();
    other.post("v3/logout/all", json!({})).await.ok();
    alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    other.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    bob.get("v3/account/whoami").await.ok();
}

#[tokio::test]
async fn requests_without_a_token_are_told_so() {
    let server = TestServer::start().await;
    let nobody = server.anonymous();
    for path in ["v3/account/whoami", "v3/devices", "v3/capabilities", "v3/pushrules/"] {
        nobody.get(path).await.error(401, "M_MISSING_TOKEN");
    }
    nobody.post("v3/logout", json!({})).await.error(401, "M_MISSING_TOKEN");
    nobody.post("v3/logout/all", json!({})).await.error(401, "M_MISSING_TOKEN");
    nobody.post("v1/login/get_token", json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    server.restart().await;
    alice.get("v3/account/whoami").await.ok();
    alice.log_in_again().await;
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#refreshing-access-tokens)
mod refreshing {
    use std::time::Duration;

    use super::*;

    async fn refreshable(server: &TestServer) -> (TestUser, String) {
        let alice = server.register("alice").await;
        let mut body = password_login("alice", &alice.password);
        body["refresh_token"] = json!(true);
        let nobody = server.anonymous();
        let answer = nobody.post("v3/login", body).await;
        let refresh_token = answer.text_at("refresh_token");
        assert!(answer["expires_in_ms"].is_u64(), "{answer}");
        (nobody.signed_in(&answer, alice.password), refresh_token)
    }

    async fn refresh(user: &TestUser, token: &str) -> Answer {
        user.post("v3/refresh", json!({ "refresh_token": token })).await
    }

    #[tokio::test]
    async fn an_expired_token_is_a_soft_logout_and_can_be_refreshed() {
        let server = TestServer::with(|config| {
            config.sessions.access_token_lifetime = Duration::ZERO;
        })
        .await;
        let (alice, token) = refreshable(&server).await;
        let refused = alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
        assert_eq!(refused["soft_logout"], true);
        let answer = refresh(&alice, &token).await.ok();
        assert_eq!(answer["expires_in_ms"], 0);
        assert_ne!(answer["access_token"], json!(alice.access_token));
    }

    #[tokio::test]
    async fn the_new_token_replaces_the_old_ones_when_it_is_used() {
        let server = TestServer::start().await;
        let (alice, token) = refreshable(&server).await;
        alice.get("v3/account/whoami").await.ok();
        let answer = refresh(&alice, &token).await;
        let renewed = alice.with_token(answer.text_at("access_token"));
        let next = answer.text_at("refresh_token");
        alice.get("v3/account/whoami").await.ok();
        let whoami = renewed.get("v3/account/whoami").await.ok();
        assert_eq!(whoami["device_id"], alice.device_id);
        alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
        refresh(&alice, &token).await.error(401, "M_UNKNOWN_TOKEN");
        refresh(&alice, &next).await.ok();
    }

    #[tokio::test]
    async fn a_lost_answer_can_be_asked_for_again() {
        let server = TestServer::start().await;
        let (alice, token) = refreshable(&server).await;
        let lost = refresh(&alice, &token).await;
        let answer = refresh(&alice, &token).await;
        let nobody_has = alice.with_token(lost.text_at("access_token"));
        nobody_has.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
        let token = lost.text_at("refresh_token");
        refresh(&alice, &token).await.error(401, "M_UNKNOWN_TOKEN");
        let renewed = alice.with_token(answer.text_at("access_token"));
        renewed.get("v3/account/whoami").await.ok();
    }

    #[tokio::test]
    async fn using_the_new_refresh_token_revokes_the_old_one() {
        let server = TestServer::start().await;
        let (alice, first) = refreshable(&server).await;
        let second = refresh(&alice, &first).await.text_at("refresh_token");
        let third = refresh(&alice, &second).await.text_at("refresh_token");
        refresh(&alice, &first).await.error(401, "M_UNKNOWN_TOKEN");
        refresh(&alice, &third).await.ok();
    }

    #[tokio::test]
    async fn logging_out_ends_the_refresh_token() {
        let server = TestServer::start().await;
        let (alice, token) = refreshable(&server).await;
        let answer = refresh(&alice, &token).await;
        alice.post("v3/logout", json!({})).await.ok();
        refresh(&alice, &token).await.error(401, "M_UNKNOWN_TOKEN");
        let next = answer.text_at("refresh_token");
        refresh(&alice, &next).await.error(401, "M_UNKNOWN_TOKEN");
        let renewed = alice.with_token(answer.text_at("access_token"));
        renewed.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    }

    #[tokio::test]
    async fn what_is_no_refresh_token_refreshes_nothing() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let token = alice.access_token.clone().unwrap_or_default();
        refresh(&alice, &token).await.error(401, "M_UNKNOWN_TOKEN");
        refresh(&alice, "").await.error(401, "M_UNKNOWN_TOKEN");
        alice.post("v3/refresh", json!({})).await.error(400, "M_BAD_JSON");
    }

    #[tokio::test]
    async fn clients_that_do_not_ask_get_tokens_that_do_not_expire() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let answer = log_in(&server.anonymous(), "alice", &alice.password).await.ok();
        assert!(answer.get("refresh_token").is_none() && answer.get("expires_in_ms").is_none());
    }
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv1loginget_token)
mod login_tokens {
    use super::*;

    fn confirmed(user: &TestUser, session: &Value) -> Value {
        json!({ "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user.user_id },
            "password": user.password,
            "session": session,
        }})
    }

    #[tokio::test]
    async fn a_login_token_lets_one_other_client_in() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let asked = alice.post("v1/login/get_token", json!({})).await;
        assert_eq!(asked.status, 401, "{asked}");
        let body = confirmed(&alice, &asked["session"]);
        let answer = alice.post("v1/login/get_token", body).await;
        let token = answer.text_at("login_token");
        assert_eq!(answer["expires_in_ms"], 120_000);
        let body = json!({ "type": "m.login.token", "token": token });
        let nobody = server.anonymous();
        let answer = nobody.post("v3/login", body.clone()).await;
        let other = nobody.signed_in(&answer, "");
        assert_eq!(other.user_id, alice.user_id);
        assert_ne!(other.device_id, alice.device_id);
        nobody.post("v3/login", body).await.error(403, "M_FORBIDDEN");
    }

    #[tokio::test]
    async fn what_is_no_login_token_lets_nobody_in() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        for token in [alice.access_token.clone().unwrap_or_default(), String::new()] {
            let body = json!({ "type": "m.login.token", "token": token });
            server.anonymous().post("v3/login", body).await.error(403, "M_FORBIDDEN");
        }
    }
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#rate-limiting)
mod limits {
    use kith_homeserver::config::RateLimit;

    use super::*;

    fn check(refused: &Answer) {
        let milliseconds = refused["retry_after_ms"].as_u64().expect("a number of milliseconds");
        let seconds = refused.headers["retry-after"].to_str().expect("text");
        let seconds: u64 = seconds.parse().expect("a number of seconds");
        assert!(milliseconds > 0 && seconds * 1000 >= milliseconds, "{refused}");
    }

    #[tokio::test]
    async fn too_many_logins_from_one_address_have_to_wait() {
        let server = TestServer::with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.login = RateLimit::On { per_second: 0.01, burst: 2 };
        })
        .await;
        let alice = server.register("alice").await;
        let nobody = server.anonymous();
        log_in(&nobody, "alice", &alice.password).await.ok();
        log_in(&nobody, "alice", &alice.password).await.ok();
        let refused = log_in(&nobody, "alice", &alice.password).await;
        check(&refused);
        refused.error(429, "M_LIMIT_EXCEEDED");
    }

    #[tokio::test]
    async fn passwords_of_one_account_cannot_be_tried_fast() {
        let server = TestServer::with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.failed_login = RateLimit::On { per_second: 0.01, burst: 2 };
        })
        .await;
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let nobody = server.anonymous();
        log_in(&nobody, "alice", "a").await.error(403, "M_FORBIDDEN");
        log_in(&nobody, "alice", "b").await.error(403, "M_FORBIDDEN");
        let refused = log_in(&nobody, "alice", &alice.password).await;
        check(&refused);
        refused.error(429, "M_LIMIT_EXCEEDED");
        log_in(&nobody, "bob", &bob.password).await.ok();
    }

    #[tokio::test]
    async fn right_passwords_do_not_count_as_failures() {
        let server = TestServer::with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.failed_login = RateLimit::On { per_second: 0.01, burst: 1 };
        })
        .await;
        let alice = server.register("alice").await;
        for _ in 0..5 {
            log_in(&server.anonymous(), "alice", &alice.password).await.ok();
        }
    }
}
