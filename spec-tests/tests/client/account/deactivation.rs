//! Leaving for good.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#account-deactivation)

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
