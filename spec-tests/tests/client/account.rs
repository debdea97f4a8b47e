//! Making an account and managing it.

use kith_homeserver::config::{OpenRegistration, RegistrationToken, Secret, Terms};
use kith_spec_tests::{Answer, TestServer, TestUser};
use serde_json::{Value, json};

fn account(name: &str) -> Value {
    json!({ "username": name, "password": "correct horse" })
}

fn with_auth(mut body: Value, auth: Value) -> Value {
    body["auth"] = auth;
    body
}

fn dummy(session: &Value) -> Value {
    json!({ "type": "m.login.dummy", "session": session })
}

/// Expects a list of what is still to do.
#[track_caller]
fn to_do(answer: &Answer) -> &Value {
    assert_eq!(answer.status, 401, "{answer}");
    assert!(answer["session"].is_string() && answer["params"].is_object(), "{answer}");
    &answer["flows"]
}

async fn register(nobody: &TestUser, body: Value) -> Answer {
    nobody.post("v3/register", body).await
}

fn password_of(user: &TestUser, session: &Value) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.user_id },
        "password": user.password,
        "session": session,
    })
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3register)
mod registration {
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
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#token-authenticated-registration)
mod registration_tokens {
    use super::*;

    async fn server_with_token(uses_allowed: Option<u64>, expires: Option<u64>) -> TestServer {
        TestServer::with(|config| {
            config.registration.open = OpenRegistration::Never;
            let token = Secret::new("welcome");
            config.registration.tokens = vec![RegistrationToken { token, uses_allowed, expires }];
        })
        .await
    }

    fn token(token: &str) -> Value {
        json!({ "type": "m.login.registration_token", "token": token })
    }

    async fn is_valid(server: &TestServer, token: &str) -> Value {
        let path = format!("v1/register/m.login.registration_token/validity?token={token}");
        server.anonymous().get(&path).await.ok()["valid"].clone()
    }

    #[tokio::test]
    async fn a_token_opens_a_closed_server() {
        let server = server_with_token(None, None).await;
        let nobody = server.anonymous();
        let asked = register(&nobody, account("alice")).await;
        assert_eq!(*to_do(&asked), json!([{ "stages": ["m.login.registration_token"] }]));
        let wrong = register(&nobody, with_auth(account("alice"), token("wrong"))).await;
        to_do(&wrong);
        assert_eq!(wrong.errcode(), "M_UNAUTHORIZED");
        register(&nobody, with_auth(account("alice"), token("welcome"))).await.ok();
        assert_eq!(is_valid(&server, "welcome").await, true);
        assert_eq!(is_valid(&server, "wrong").await, false);
    }

    #[tokio::test]
    async fn a_token_can_be_used_as_often_as_it_says() {
        let server = server_with_token(Some(2), None).await;
        let nobody = server.anonymous();
        for name in ["alice", "bob"] {
            assert_eq!(is_valid(&server, "welcome").await, true);
            register(&nobody, with_auth(account(name), token("welcome"))).await.ok();
        }
        assert_eq!(is_valid(&server, "welcome").await, false);
        let refused = register(&nobody, with_auth(account("carol"), token("welcome"))).await;
        to_do(&refused);
        assert_eq!(refused.errcode(), "M_UNAUTHORIZED");
    }

    #[tokio::test]
    async fn many_at_once_cannot_use_a_token_more_often() {
        let server = server_with_token(Some(3), None).await;
        let attempts = (0..10).map(|n| {
            let nobody = server.anonymous();
            let body = with_auth(account(&format!("user{n}")), token("welcome"));
            tokio::spawn(async move { register(&nobody, body).await.status })
        });
        let mut made = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            made += usize::from(attempt.await.expect("no panic") == 200);
        }
        assert_eq!(made, 3);
    }

    #[tokio::test]
    async fn an_expired_token_is_worth_nothing() {
        let server = server_with_token(None, Some(1)).await;
        assert_eq!(is_valid(&server, "welcome").await, false);
        let body = with_auth(account("alice"), token("welcome"));
        to_do(&register(&server.anonymous(), body).await);
    }
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#terms-of-service-at-registration)
#[tokio::test]
async fn terms_must_be_accepted_before_an_account_is_made() {
    let server = TestServer::with(|config| {
        config.registration.terms = Some(Terms {
            name: "House rules".to_owned(),
            url: "https://kith.test/rules".parse().expect("a URL"),
            version: "1".to_owned(),
        });
    })
    .await;
    let nobody = server.anonymous();
    let asked = register(&nobody, account("alice")).await;
    assert_eq!(*to_do(&asked), json!([{ "stages": ["m.login.terms", "m.login.dummy"] }]));
    let policies = &asked["params"]["m.login.terms"]["policies"];
    assert_eq!(policies["terms_of_service"]["en"]["url"], "https://kith.test/rules");
    let session = &asked["session"];
    let half = register(&nobody, with_auth(account("alice"), dummy(session))).await;
    to_do(&half);
    assert_eq!(half["completed"], json!(["m.login.dummy"]));
    let terms = json!({ "type": "m.login.terms", "session": session });
    register(&nobody, with_auth(account("alice"), terms)).await.ok();
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)
mod interactive_authentication {
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
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#password-management)
mod password {
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
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#account-deactivation)
mod deactivation {
    use super::*;

    async fn deactivate(user: &TestUser, body: Value) -> Answer {
        let asked = user.post("v3/account/deactivate", body.clone()).await;
        to_do(&asked);
        let body = with_auth(body, password_of(user, &asked["session"]));
        user.post("v3/account/deactivate", body).await
    }

    #[tokio::test]
    async fn a_deactivated_account_is_closed_for_good() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let other = alice.log_in_again().await;
        let name = json!({ "displayname": "Alice" });
        alice.put("v3/profile/@alice:kith.test/displayname", name).await.ok();
        let answer = deactivate(&alice, json!({ "erase": true })).await.ok();
        assert_eq!(answer["id_server_unbind_result"], "success");
        alice.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
        other.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": alice.password,
        });
        let nobody = server.anonymous();
        nobody.post("v3/login", login).await.error(403, "M_USER_DEACTIVATED");
        register(&nobody, account("alice")).await.error(400, "M_USER_IN_USE");
        bob.get("v3/profile/@alice:kith.test").await.error(404, "M_NOT_FOUND");
        let found = bob.post("v3/user_directory/search", json!({ "search_term": "alice" })).await;
        assert_eq!(found.ok()["results"], json!([]));
    }

    #[tokio::test]
    async fn an_erased_accounts_messages_are_hidden_from_those_who_come_later() {
        let mut server = TestServer::durable().await;
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let carol = server.register("carol").await;
        let room = bob.create_room_from(json!({ "preset": "public_chat", "name": "Garden" })).await;
        alice.join(&room).await;
        let event_id = alice.send_text(&room, "my address").await;
        deactivate(&alice, json!({ "erase": true })).await.ok();
        server.restart().await;
        carol.join(&room).await;
        let path = format!("v3/rooms/{room}/event/{event_id}");
        assert_eq!(bob.get(&path).await["content"]["body"], "my address");
        let hidden = carol.get(&path).await.ok();
        assert_eq!((&hidden["content"], &hidden["sender"]), (&json!({}), &json!(alice.user_id)));
        let history = carol.get(&format!("v3/rooms/{room}/messages?dir=b&limit=50")).await.ok();
        assert!(!history.to_string().contains("my address"));
        assert!(history.to_string().contains("Garden"), "what belongs to the room stays");
        let sync = carol.get("v3/sync").await.ok();
        assert!(!sync.to_string().contains("my address"));
    }

    #[tokio::test]
    async fn refresh_and_login_tokens_of_a_deactivated_account_are_dead() {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let nobody = server.anonymous();
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": alice.password,
            "refresh_token": true,
        });
        let session = nobody.post("v3/login", login).await;
        let asked = alice.post("v1/login/get_token", json!({})).await;
        let auth = password_of(&alice, &asked["session"]);
        let token = alice.post("v1/login/get_token", json!({ "auth": auth })).await;
        deactivate(&alice, json!({})).await.ok();
        let refresh = json!({ "refresh_token": session["refresh_token"] });
        nobody.post("v3/refresh", refresh).await.error(401, "M_UNKNOWN_TOKEN");
        let login = json!({ "type": "m.login.token", "token": token["login_token"] });
        nobody.post("v3/login", login).await.error(403, "M_USER_DEACTIVATED");
    }

    #[tokio::test]
    async fn nobody_without_a_token_can_deactivate() {
        let server = TestServer::start().await;
        let nobody = server.anonymous();
        nobody.post("v3/account/deactivate", json!({})).await.error(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn nobody_has_third_party_identifiers() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    // An empty list may be left away.
    assert_eq!(alice.get("v3/account/3pid").await.ok(), json!({}));
    server.anonymous().get("v3/account/3pid").await.error(401, "M_MISSING_TOKEN");
}

/// Neither what they prove nor what proves them can be read from a stolen disk.
#[tokio::test]
async fn no_password_and_no_token_is_on_the_disk() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let body = json!({ "new_password": "a password that was never set" });
    to_do(&alice.post("v3/account/password", body).await);
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": alice.password,
        "refresh_token": true,
    });
    let session = server.anonymous().post("v3/login", login).await;
    server.stop().await;
    let secrets = [
        alice.password.clone(),
        "a password that was never set".to_owned(),
        alice.access_token.clone().unwrap_or_default(),
        session.text_at("access_token"),
        session.text_at("refresh_token"),
    ];
    let (mut folders, mut found_alice) = (vec![server.data_dir().to_owned()], false);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file");
            let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            found_alice |= holds("@alice:kith.test");
            for secret in &secrets {
                assert!(!holds(secret), "a secret is in {}", path.display());
            }
        }
    }
    assert!(found_alice, "the rows would be readable");
}

#[tokio::test]
async fn whoami_refuses_unknown_tokens() {
    let server = TestServer::start().await;
    let stranger = server.anonymous().with_token("stranger");
    let refused = stranger.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(refused["soft_logout"], false);
}
