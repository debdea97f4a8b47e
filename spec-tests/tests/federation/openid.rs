//! `openid/userinfo`, with tokens that users ask for.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn a_token_tells_whose_it_is() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let path = path!("v3/user/{}/openid/request_token", alice.user_id);
    let token = alice.post(&path, json!({})).await.ok();
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["matrix_server_name"], server.name());
    assert_eq!(token["expires_in"], 3600);
    let token = token["access_token"].as_str().expect("a token");
    // Nobody need sign in to ask.
    let path = path!("/_matrix/federation/v1/openid/userinfo?access_token={}", token);
    let info = server.anonymous().get(&path).await.ok();
    assert_eq!(info, json!({ "sub": alice.user_id }));
    // It is no access token.
    alice.with_token(token).get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn tokens_are_made_for_oneself_alone() {
    let server = TestServer::federating().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let path = path!("v3/user/{}/openid/request_token", bob.user_id);
    alice.post(&path, json!({})).await.error(403, "M_FORBIDDEN");
    server.anonymous().post(&path, json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn forged_tokens_and_those_of_closed_accounts_are_unknown() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    let ask = async |token: &str| {
        nobody.get(&path!("/_matrix/federation/v1/openid/userinfo?access_token={}", token)).await
    };
    let path = path!("v3/user/{}/openid/request_token", alice.user_id);
    let token = alice.post(&path, json!({})).await.text_at("access_token");
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    for wrong in [forged.as_str(), "", "abc", "!!", alice.access_token.as_deref().unwrap_or("")] {
        ask(wrong).await.error(401, "M_UNKNOWN_TOKEN");
    }
    let auth = json!({
        "auth": {
            "type": "m.login.password", "password": alice.password,
            "identifier": { "type": "m.id.user", "user": alice.user_id },
        },
    });
    alice.post("v3/account/deactivate", auth).await.ok();
    ask(&token).await.error(401, "M_UNKNOWN_TOKEN");
    nobody.get("/_matrix/federation/v1/openid/userinfo").await.error(400, "M_MISSING_PARAM");
}
