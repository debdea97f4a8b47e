//! Making an account and managing it.

mod deactivation;
mod interactive_authentication;
mod password;
mod registration;
mod registration_tokens;

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
