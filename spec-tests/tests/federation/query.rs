//! `query/directory`, `query/profile` and other questions.

use kith_spec_tests::{RemoteServer, TestServer, path};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn an_alias_leads_to_its_room_and_the_servers_in_it() {
    let scene = Scene::of(json!({ "preset": "public_chat", "room_alias_name": "lounge" })).await;
    let alias = format!("#lounge:{}", scene.server.name());
    let found = scene.get(&path!("v1/query/directory?room_alias={}", alias)).await.ok();
    assert_eq!(found["room_id"], scene.room);
    assert_eq!(found["servers"], json!([scene.server.name(), scene.remote.name()]));
    let unknown = path!("v1/query/directory?room_alias={}", "#nothing:kith.test");
    scene.get(&unknown).await.error(404, "M_NOT_FOUND");
    scene.get("v1/query/directory?room_alias=lounge").await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_profile_is_told_whole_or_by_field() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let path = path!("v3/profile/{}/displayname", alice.user_id);
    alice.put(&path, json!({ "displayname": "Alice" })).await.ok();
    let path = path!("v3/profile/{}/m.tz", alice.user_id);
    alice.put(&path, json!({ "m.tz": "Europe/Prague" })).await.ok();
    let remote = RemoteServer::start().await;
    let profile = async |query: &str| {
        let path = path!("v1/query/profile?user_id={}", alice.user_id);
        remote.get(&server, &format!("{path}{query}")).await.ok()
    };
    assert_eq!(profile("").await, json!({ "displayname": "Alice", "m.tz": "Europe/Prague" }));
    assert_eq!(profile("&field=displayname").await, json!({ "displayname": "Alice" }));
    assert_eq!(profile("&field=avatar_url").await, json!({}));
}

#[tokio::test]
async fn profiles_of_others_and_of_nobody_are_not_told() {
    let server = TestServer::federating().await;
    let gone = server.register("gone").await;
    let auth = json!({
        "auth": {
            "type": "m.login.password", "password": gone.password,
            "identifier": { "type": "m.id.user", "user": gone.user_id },
        },
    });
    gone.post("v3/account/deactivate", auth).await.ok();
    let remote = RemoteServer::start().await;
    let ask =
        async |user: &str| remote.get(&server, &path!("v1/query/profile?user_id={}", user)).await;
    ask(&gone.user_id).await.error(404, "M_NOT_FOUND");
    ask(&format!("@nobody:{}", server.name())).await.error(404, "M_NOT_FOUND");
    ask(&remote.user("bob")).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn questions_of_an_unknown_type_are_not_found() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    let answer = remote.get(&server, "v1/query/weather?city=Brno").await;
    answer.error(404, "M_NOT_FOUND");
}
