//! Pages for clients that do not know a stage or a login flow.

use kith_homeserver::config::{OpenRegistration, RegistrationToken, Secret, Terms};
use kith_spec_tests::{Answer, TestServer, TestUser};
use reqwest::Method;
use serde_json::{Value, json};

/// A server that asks for a token and for its terms to be accepted.
async fn server() -> TestServer {
    TestServer::with(|config| {
        config.registration.open = OpenRegistration::Never;
        let token = Secret::new("welcome");
        let token = RegistrationToken { token, uses_allowed: Some(1), expires: None };
        config.registration.tokens = vec![token];
        config.registration.terms = Some(Terms {
            name: "Rules <b>of the house</b>".to_owned(),
            url: "https://kith.example/rules?a=1&b=\"2\"".parse().expect("a URL"),
            version: "1".to_owned(),
        });
    })
    .await
}

async fn session(nobody: &TestUser) -> String {
    let body = json!({ "username": "alice", "password": "a secret of hers" });
    let asked = nobody.post("v3/register", body).await;
    assert_eq!(asked.status, 401);
    asked.text_at("session")
}

fn page(stage: &str, session: &str) -> String {
    format!("v3/auth/{stage}/fallback/web?session={session}")
}

async fn send_form(nobody: &TestUser, path: &str, form: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    nobody.request_with(Method::POST, path, Some(form.as_bytes().to_vec()), &headers).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#fallback)
#[tokio::test]
async fn an_account_can_be_made_with_a_browser_alone() {
    let server = server().await;
    let nobody = server.anonymous();
    let session = session(&nobody).await;
    let terms = nobody.get(&page("m.login.terms", &session)).await;
    assert_eq!(terms.status, 200);
    assert!(terms.text.contains("Rules &lt;b&gt;of the house"), "{}", terms.text);
    assert!(terms.text.contains("a=1&amp;b="), "{}", terms.text);
    let agreed = send_form(&nobody, &page("m.login.terms", &session), "").await;
    assert!(agreed.text.contains("onAuthDone"), "{}", agreed.text);
    let path = page("m.login.registration_token", &session);
    let wrong = send_form(&nobody, &path, "token=wrong").await;
    assert!(wrong.text.contains("This token is not valid"), "{}", wrong.text);
    let right = send_form(&nobody, &path, "token=welcome").await;
    assert!(right.text.contains("postMessage"), "{}", right.text);
    let body = json!({
        "username": "alice", "password": "a secret of hers", "auth": { "session": session },
    });
    let made = nobody.post("v3/register", body).await.ok();
    assert_eq!(made["user_id"], "@alice:kith.test");
    // The token was good for one account.
    nobody.get("v1/register/m.login.registration_token/validity?token=welcome").await.ok();
    let again: Value =
        nobody.get("v1/register/m.login.registration_token/validity?token=welcome").await.ok();
    assert_eq!(again["valid"], false);
}

#[tokio::test]
async fn pages_are_for_sessions_and_stages_that_there_are() {
    let server = server().await;
    let nobody = server.anonymous();
    let session = session(&nobody).await;
    let unknown = nobody.get(&page("m.login.terms", "nothing")).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    nobody.get(&page("m.login.password", &session)).await.error(404, "M_NOT_FOUND");
    nobody.get(&page("m.login.dummy", &session)).await.error(404, "M_NOT_FOUND");
    let unknown = send_form(&nobody, &page("m.login.terms", "nothing"), "").await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    nobody.get("v3/auth/m.login.terms/fallback/web").await.error(400, "M_INVALID_PARAM");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#login-fallback)
#[tokio::test]
async fn pages_run_no_script_but_their_own() {
    let server = server().await;
    let nobody = server.anonymous();
    let session = session(&nobody).await;
    let login = nobody.get("/_matrix/static/client/login/").await;
    let form = nobody.get(&page("m.login.terms", &session)).await;
    for answer in [&login, &form] {
        assert_eq!(answer.status, 200);
        assert_eq!(header(answer, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(answer, "x-content-type-options"), "nosniff");
        let policy = header(answer, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src '"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-eval"));
    }
    assert!(header(&login, "content-security-policy").contains("'sha256-"));
    assert!(header(&form, "content-security-policy").contains("script-src 'none'"));
}
