//! `event`, `state`, `state_ids`, `get_missing_events`, `timestamp_to_event`.

use kith_spec_tests::{path, pdu_event_id};
use ruma::RoomVersionId;
use serde_json::{Value, json};

use crate::scene::Scene;

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_member_server_gets_an_event_as_it_was_signed() {
    let scene = Scene::new().await;
    let event_id = scene.alice.send_text(&scene.room, "hello").await;
    let answer = scene.get(&path!("v1/event/{}", event_id)).await.ok();
    assert_eq!(answer["origin"], scene.server.name());
    assert!(answer["origin_server_ts"].is_u64());
    let pdu = &answer["pdus"][0];
    assert_eq!(pdu["content"]["body"], "hello");
    assert_eq!(pdu["sender"], scene.alice.user_id);
    assert!(pdu.get("unsigned").is_none(), "transaction IDs stay here: {pdu}");
    let version = scene.remote.room(&scene.room).version;
    assert_eq!(pdu_event_id(&version, pdu), event_id);
}

#[tokio::test]
async fn unknown_events_are_not_found() {
    let scene = Scene::new().await;
    scene.get("v1/event/$nothing").await.error(404, "M_NOT_FOUND");
    for endpoint in ["state", "state_ids"] {
        let path = path!("v1/{}/{}?event_id=$nothing", endpoint, scene.room);
        scene.get(&path).await.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn servers_outside_get_nothing_of_a_room() {
    let scene = Scene::new().await;
    let event_id = scene.alice.send_text(&scene.room, "hello").await;
    let stranger = Scene::stranger().await;
    let room = &scene.room;
    let get = async |path: String| stranger.get(&scene.server, &path).await;
    get(path!("v1/event/{}", event_id)).await.error(404, "M_NOT_FOUND");
    for path in [
        path!("v1/state/{}?event_id={}", room, event_id),
        path!("v1/state_ids/{}?event_id={}", room, event_id),
        path!("v1/event_auth/{}/{}", room, event_id),
        path!("v1/backfill/{}?v={}&limit=10", room, event_id),
        path!("v1/timestamp_to_event/{}?ts=0&dir=f", room),
        path!("v1/state_ids/{}?event_id={}", "!nowhere:a.example", event_id),
    ] {
        get(path).await.error(403, "M_FORBIDDEN");
    }
    let body = json!({ "earliest_events": [], "latest_events": [event_id] });
    let path = path!("v1/get_missing_events/{}", room);
    stranger.post(&scene.server, &path, body).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_state_is_that_before_the_event_with_its_auth_chain() {
    let scene = Scene::new().await;
    let before = scene.alice.send_text(&scene.room, "nameless").await;
    let named = scene.alice.set_state(&scene.room, "m.room.name", "", json!({ "name": "A" })).await;
    let after = scene.alice.send_text(&scene.room, "named").await;

    let at = async |event_id: &str| {
        let path = path!("v1/state_ids/{}?event_id={}", scene.room, event_id);
        scene.get(&path).await.ok()
    };
    assert!(!ids(&at(&before).await["pdu_ids"]).contains(&&*named));
    assert!(!ids(&at(&named).await["pdu_ids"]).contains(&&*named), "the state is that before");
    let state = at(&after).await;
    assert!(ids(&state["pdu_ids"]).contains(&&*named));

    let path = path!("v1/state/{}?event_id={}", scene.room, after);
    let whole = scene.get(&path).await.ok();
    let version = scene.remote.room(&scene.room).version;
    for (ids_of, pdus) in [("pdu_ids", "pdus"), ("auth_chain_ids", "auth_chain")] {
        let pdus = whole[pdus].as_array().expect("a list").iter();
        let of_pdus: Vec<String> = pdus.map(|pdu| pdu_event_id(&version, pdu)).collect();
        assert_eq!(ids(&state[ids_of]), of_pdus);
    }
    // Everything that the state rests on is in the chain.
    let chain = ids(&state["auth_chain_ids"]);
    for pdu in whole["pdus"].as_array().into_iter().chain(whole["auth_chain"].as_array()).flatten()
    {
        for auth in ids(&pdu["auth_events"]) {
            assert!(chain.contains(&auth), "{auth} is missing in the chain");
        }
    }
}

#[tokio::test]
async fn a_room_of_version_12_gives_its_create_event_with_the_chain() {
    let scene = Scene::of(json!({ "preset": "public_chat", "room_version": "12" })).await;
    let event_id = scene.alice.send_text(&scene.room, "hello").await;
    let create = scene.room.replacen('!', "$", 1);
    let chain = scene.get(&path!("v1/event_auth/{}/{}", scene.room, event_id)).await.ok();
    let chain = chain["auth_chain"].as_array().expect("a list");
    let is_create = |pdu: &&Value| pdu_event_id(&RoomVersionId::V12, pdu) == create;
    assert_eq!(chain.iter().filter(is_create).count(), 1);
}

#[tokio::test]
async fn missing_events_are_those_between() {
    let scene = Scene::new().await;
    let mut sent = Vec::new();
    for n in 0..8 {
        sent.push(scene.alice.send_text(&scene.room, &format!("{n}")).await);
    }
    let path = path!("v1/get_missing_events/{}", scene.room);
    let missing = async |body: Value| {
        let answer = scene.post(&path, body).await.ok();
        let events = answer["events"].as_array().cloned().expect("a list");
        let bodies = events.iter().map(|event| event["content"]["body"].clone());
        bodies.map(|body| body.as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    let between = json!({ "earliest_events": [sent[2]], "latest_events": [sent[6]] });
    assert_eq!(missing(between).await, ["3", "4", "5"]);
    let limited = json!({ "earliest_events": [], "latest_events": [sent[7]], "limit": 2 });
    assert_eq!(missing(limited).await, ["5", "6"]);
    let deep = json!({
        "earliest_events": [], "latest_events": [sent[7]],
        "min_depth": scene.pdu(&sent[4]).await["depth"], "limit": 50,
    });
    assert_eq!(missing(deep).await, ["4", "5", "6"]);
    let unknown = json!({ "earliest_events": [], "latest_events": ["$nothing"] });
    assert!(missing(unknown).await.is_empty());
    let body = json!({ "earliest_events": "all", "latest_events": [] });
    scene.post(&path, body).await.error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn however_many_missing_events_are_asked_for_the_answer_is_short() {
    let scene = Scene::new().await;
    let mut last = String::new();
    for n in 0..60 {
        last = scene.alice.send_text(&scene.room, &format!("{n}")).await;
    }
    let body = json!({ "earliest_events": [], "latest_events": [last], "limit": 1_000_000 });
    let path = path!("v1/get_missing_events/{}", scene.room);
    let answer = scene.post(&path, body).await.ok();
    assert_eq!(answer["events"].as_array().expect("a list").len(), 50);
}

#[tokio::test]
async fn the_event_closest_to_a_moment_is_found() {
    let scene = Scene::new().await;
    let first = scene.alice.send_text(&scene.room, "first").await;
    let ts = scene.pdu(&first).await["origin_server_ts"].as_u64().expect("a time");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second = scene.alice.send_text(&scene.room, "second").await;
    let near = async |ts: u64, dir: &str| {
        scene.get(&path!("v1/timestamp_to_event/{}?ts={}&dir={}", scene.room, ts, dir)).await
    };
    let found = near(ts + 1, "f").await.ok();
    assert_eq!(found["event_id"], second.as_str());
    assert!(found["origin_server_ts"].as_u64() > Some(ts));
    assert_eq!(near(ts, "b").await.ok()["event_id"], first.as_str());
    near(u64::pow(2, 50), "f").await.error(404, "M_NOT_FOUND");
    near(ts, "sideways").await.error(400, "M_INVALID_PARAM");
}
