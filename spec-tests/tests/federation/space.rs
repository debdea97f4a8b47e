//! `hierarchy`.

use kith_spec_tests::{TestUser, path};
use serde_json::{Value, json};

use crate::scene::Scene;

async fn space(alice: &TestUser, server: &str, children: &[(&str, Value)]) -> String {
    let body = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = alice.create_room_from(body).await;
    for (child, more) in children {
        let mut content = json!({ "via": [server] });
        content
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        alice.set_state(&space, "m.space.child", child, content).await;
    }
    space
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(|room| room["room_id"].as_str()).collect()
}

#[tokio::test]
async fn a_space_is_told_with_the_rooms_that_the_server_may_know() {
    let scene = Scene::new().await;
    let alice = &scene.alice;
    let private = alice.create_room().await;
    let with_bob = alice.create_room().await;
    let bob = scene.remote.user("bob");
    let invite = path!("v3/rooms/{}/invite", with_bob);
    scene.remote.answer("PUT", "v2/invite/{}/{}", |asked| json!({ "event": asked.body["event"] }));
    alice.post(&invite, json!({ "user_id": bob })).await;
    let restricted = alice
        .create_room_from(json!({
            "initial_state": [{
                "type": "m.room.join_rules", "state_key": "",
                "content": {
                    "join_rule": "restricted",
                    "allow": [{ "type": "m.room_membership", "room_id": scene.room }],
                },
            }],
        }))
        .await;
    let children = [
        (scene.room.as_str(), json!({ "suggested": true, "order": "a" })),
        (restricted.as_str(), json!({ "order": "b" })),
        (private.as_str(), json!({ "order": "c" })),
        ("!elsewhere:other.example", json!({})),
    ];
    let space = space(alice, scene.server.name(), &children).await;

    let told = scene.get(&path!("v1/hierarchy/{}", space)).await.ok();
    assert_eq!(told["room"]["room_id"], space.as_str());
    assert_eq!(told["room"]["room_type"], "m.space");
    assert_eq!(told["room"]["children_state"].as_array().map(Vec::len), Some(4));
    assert_eq!(ids(&told["children"]), [&scene.room, &restricted]);
    assert_eq!(told["inaccessible_children"], json!([private]));
    let rule = &told["children"][1];
    assert_eq!(rule["join_rule"], "restricted");
    assert_eq!(rule["allowed_room_ids"], json!([scene.room]));

    let suggested = path!("v1/hierarchy/{}?suggested_only=true", space);
    let told = scene.get(&suggested).await.ok();
    assert_eq!(ids(&told["children"]), [&scene.room]);

    // Nobody of the stranger's is in the room that lets in by membership.
    let stranger = Scene::stranger().await;
    let told = stranger.get(&scene.server, &path!("v1/hierarchy/{}", space)).await.ok();
    assert_eq!(ids(&told["children"]), [&scene.room]);
}

#[tokio::test]
async fn rooms_that_a_server_may_not_know_are_not_found() {
    let scene = Scene::new().await;
    let private = scene.alice.create_room().await;
    let unfederated = json!({
        "preset": "public_chat", "creation_content": { "m.federate": false },
    });
    let unfederated = scene.alice.create_room_from(unfederated).await;
    let hidden = scene.get(&path!("v1/hierarchy/{}", private)).await;
    let nowhere = scene.get(&path!("v1/hierarchy/{}", "!nowhere:a.example")).await;
    assert_eq!(hidden.text, nowhere.text);
    hidden.error(404, "M_NOT_FOUND");
    scene.get(&path!("v1/hierarchy/{}", unfederated)).await.error(404, "M_NOT_FOUND");
}
