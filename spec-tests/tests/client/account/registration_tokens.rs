//! Accounts for those who have a token.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#token-authenticated-registration)

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
