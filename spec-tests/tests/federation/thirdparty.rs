//! `3pid/onbind`, `exchange_third_party_invite`: this server works with no identity server.

use kith_spec_tests::path;
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn a_bound_address_changes_nothing() {
    let scene = Scene::new().await;
    let body = |mxid: &str| json!({ "medium": "email", "address": "a@b.example", "mxid": mxid, "invites": [] });
    let put =
        async |mxid: &str| scene.remote.put(&scene.server, "v1/3pid/onbind", body(mxid)).await;
    put(&scene.alice.user_id).await.error(403, "M_THREEPID_DENIED");
    put(&scene.remote.user("bob")).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn no_invite_of_a_third_party_is_exchanged() {
    let scene = Scene::new().await;
    let body = json!({
        "type": "m.room.member",
        "sender": scene.alice.user_id,
        "state_key": scene.remote.user("carol"),
        "room_id": scene.room,
        "content": { "membership": "invite" },
    });
    let path = path!("v1/exchange_third_party_invite/{}", scene.room);
    let answer = scene.remote.put(&scene.server, &path, body.clone()).await;
    answer.error(403, "M_THREEPID_DENIED");
    let stranger = Scene::stranger().await;
    stranger.put(&scene.server, &path, body).await.error(403, "M_FORBIDDEN");
}
