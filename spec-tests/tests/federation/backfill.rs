//! `backfill`.

use kith_spec_tests::path;
use serde_json::{Value, json};

use crate::scene::Scene;

async fn bodies(scene: &Scene, path: &str) -> Vec<String> {
    let answer = scene.get(path).await.ok();
    assert_eq!(answer["origin"], scene.server.name());
    let pdus = answer["pdus"].as_array().cloned().expect("a list");
    let body = |pdu: &Value| pdu["content"]["body"].as_str().unwrap_or("-").to_owned();
    pdus.iter().map(body).collect()
}

#[tokio::test]
async fn history_comes_from_the_named_events_backwards() {
    let scene = Scene::new().await;
    let mut sent = Vec::new();
    for n in 0..6 {
        sent.push(scene.alice.send_text(&scene.room, &format!("{n}")).await);
    }
    let room = &scene.room;
    let path = path!("v1/backfill/{}?v={}&limit=3", room, sent[4]);
    assert_eq!(bodies(&scene, &path).await, ["4", "3", "2"]);
    let path = path!("v1/backfill/{}?v={}&v={}&limit=2", room, sent[1], sent[4]);
    assert_eq!(bodies(&scene, &path).await, ["4", "3"]);
    let path = path!("v1/backfill/{}?v={}&limit=0", room, sent[4]);
    assert!(bodies(&scene, &path).await.is_empty());
    let path = path!("v1/backfill/{}?v={}&limit=10", room, "$nothing");
    assert!(bodies(&scene, &path).await.is_empty());
    let path = path!("v1/backfill/{}?v={}&limit=many", room, sent[4]);
    scene.get(&path).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn the_whole_room_comes_down_to_its_beginning() {
    let scene = Scene::new().await;
    let last = scene.alice.send_text(&scene.room, "last").await;
    let path = path!("v1/backfill/{}?v={}&limit=100", scene.room, last);
    let answer = scene.get(&path).await.ok();
    let pdus = answer["pdus"].as_array().expect("a list");
    assert_eq!(pdus.last().map(|pdu| &pdu["type"]), Some(&json!("m.room.create")));
}

#[tokio::test]
async fn a_page_is_never_longer_than_a_hundred_events() {
    let scene = Scene::new().await;
    let mut last = String::new();
    for n in 0..110 {
        last = scene.alice.send_text(&scene.room, &format!("{n}")).await;
    }
    let path = path!("v1/backfill/{}?v={}&limit=5000", scene.room, last);
    assert_eq!(bodies(&scene, &path).await.len(), 100);
}

#[tokio::test]
async fn redacted_events_come_without_their_content() {
    let scene = Scene::new().await;
    let secret = scene.alice.send_text(&scene.room, "secret").await;
    scene.alice.redact(&scene.room, &secret).await;
    let last = scene.alice.send_text(&scene.room, "last").await;
    let answer = scene.get(&path!("v1/backfill/{}?v={}&limit=20", scene.room, last)).await;
    assert!(!answer.text.contains("secret"), "{answer}");
    assert_eq!(scene.pdu(&secret).await["content"], json!({}));
}
