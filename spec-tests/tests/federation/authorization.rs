//! `event_auth`.

use kith_spec_tests::path;
use serde_json::Value;

use crate::scene::Scene;

#[tokio::test]
async fn the_auth_chain_goes_down_to_the_create_event() {
    let scene = Scene::new().await;
    let event_id = scene.alice.send_text(&scene.room, "hello").await;
    let answer = scene.get(&path!("v1/event_auth/{}/{}", scene.room, event_id)).await.ok();
    let chain = answer["auth_chain"].as_array().expect("a list");
    let mut kinds: Vec<&str> = chain.iter().filter_map(|pdu| pdu["type"].as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in ["m.room.create", "m.room.member", "m.room.power_levels"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    assert!(!kinds.contains(&"m.room.message"), "the event itself is no part of it");
    assert!(
        chain.iter().all(|pdu| pdu["signatures"].is_object()),
        "{}",
        Value::Array(chain.clone())
    );
}

#[tokio::test]
async fn the_auth_chain_of_an_unknown_event_is_not_found() {
    let scene = Scene::new().await;
    let path = path!("v1/event_auth/{}/{}", scene.room, "$nothing");
    scene.get(&path).await.error(404, "M_NOT_FOUND");
}
