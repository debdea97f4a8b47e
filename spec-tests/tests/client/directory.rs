//! The published rooms.

use kith_spec_tests::{TestServer, TestUser, encode, path};
use serde_json::{Value, json};

async fn publish(alice: &TestUser, name: &str, more: Value) -> String {
    let mut body = json!({ "preset": "public_chat", "visibility": "public", "name": name });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    alice.create_room_from(body).await
}

fn names(answer: &Value) -> Vec<&str> {
    let rooms = answer["chunk"].as_array().expect("a list of rooms");
    let mut names: Vec<_> =
        rooms.iter().map(|room| room["name"].as_str().unwrap_or_default()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_published_room_is_described() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let more = json!({ "topic": "of mice", "room_alias_name": "pub" });
    let room = publish(&alice, "Pub", more).await;
    bob.join(&room).await;
    publish(&alice, "Hidden", json!({ "visibility": "private" })).await;
    let answer = server.anonymous().get("v3/publicRooms").await.ok();
    assert_eq!(names(&answer), ["Pub"], "{answer:#}");
    let entry = &answer["chunk"][0];
    assert_eq!(entry["room_id"], room.as_str());
    assert_eq!(entry["topic"], "of mice");
    assert_eq!(entry["canonical_alias"], "#pub:kith.test");
    assert_eq!(entry["num_joined_members"], 2);
    assert_eq!(entry["world_readable"], false);
    assert_eq!(entry["guest_can_join"], false);
    // Public, unless it says otherwise.
    assert!(entry.get("join_rule").is_none_or(|rule| rule == "public"), "{entry:#}");
    assert!(entry.get("room_type").is_none_or(Value::is_null), "{entry:#}");
}

#[tokio::test]
async fn visibility_in_the_directory_is_set_by_those_with_power() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    bob.join(&room).await;
    let path = path!("v3/directory/list/room/{}", room);
    let visibility = async || server.anonymous().get(&path).await.ok()["visibility"].clone();
    assert_eq!(visibility().await, "private");
    bob.put(&path, json!({ "visibility": "public" })).await.error(403, "M_FORBIDDEN");
    assert_eq!(alice.put(&path, json!({ "visibility": "public" })).await.ok(), json!({}));
    assert_eq!(visibility().await, "public");
    alice.put(&path, json!({ "visibility": "private" })).await.ok();
    assert_eq!(visibility().await, "private");
    // Public, unless the client says otherwise.
    alice.put(&path, json!({})).await.ok();
    assert_eq!(visibility().await, "public");
    let unknown = path!("v3/directory/list/room/{}", "!nowhere:kith.test");
    alice.get(&unknown).await.error(404, "M_NOT_FOUND");
    alice.put(&unknown, json!({})).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_directory_is_searched_by_name_topic_alias_and_kind() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    publish(&alice, "Cheese lovers", json!({ "topic": "Brie and others" })).await;
    publish(&alice, "Wine", json!({ "topic": "goes with CHEESE" })).await;
    publish(&alice, "Third", json!({ "room_alias_name": "cheese-board" })).await;
    let space = json!({ "creation_content": { "type": "m.space" } });
    publish(&alice, "Food", space).await;
    let search = async |body: Value| alice.post("v3/publicRooms", body).await.ok();
    let found = search(json!({ "filter": { "generic_search_term": "cheese" } })).await;
    assert_eq!(names(&found), ["Cheese lovers", "Third", "Wine"], "{found:#}");
    let found = search(json!({ "filter": { "generic_search_term": "nothing of the kind" } })).await;
    assert_eq!(names(&found), [""; 0]);
    let found = search(json!({ "filter": { "room_types": ["m.space"] } })).await;
    assert_eq!(names(&found), ["Food"]);
    assert_eq!(found["chunk"][0]["room_type"], "m.space");
    let found = search(json!({ "filter": { "room_types": [null] } })).await;
    assert_eq!(names(&found), ["Cheese lovers", "Third", "Wine"]);
    assert_eq!(names(&search(json!({})).await).len(), 4);
    server.anonymous().post("v3/publicRooms", json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn the_directory_comes_in_pages() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for n in 0..5 {
        publish(&alice, &format!("room {n}"), json!({})).await;
    }
    let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
    for _ in 0..10 {
        let page = alice.get(&format!("v3/publicRooms?{query}")).await.ok();
        assert!(names(&page).len() <= 2, "{page:#}");
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_batch"].as_str() else { break };
        query = format!("limit=2&since={}", encode(next));
    }
    seen.sort();
    assert_eq!(seen, ["room 0", "room 1", "room 2", "room 3", "room 4"]);
    let answer = alice.get("v3/publicRooms?since=nonsense").await;
    assert_eq!(answer.status, 400, "{answer}");
}

#[tokio::test]
async fn an_empty_room_is_not_shown() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = publish(&alice, "Empty", json!({})).await;
    alice.leave(&room).await;
    let answer = alice.get("v3/publicRooms").await.ok();
    assert_eq!(names(&answer), [""; 0], "{answer:#}");
}

#[tokio::test]
async fn a_published_room_says_how_one_gets_in() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let knocking = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    publish(&alice, "Knock", json!({ "initial_state": [knocking] })).await;
    let answer = server.anonymous().get("v3/publicRooms").await.ok();
    assert_eq!(answer["chunk"][0]["join_rule"], "knock", "{answer:#}");
}

#[tokio::test]
async fn the_largest_rooms_come_first() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    publish(&alice, "small", json!({})).await;
    let large = publish(&alice, "large", json!({})).await;
    bob.join(&large).await;
    let answer = alice.get("v3/publicRooms").await.ok();
    let names: Vec<_> = answer["chunk"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["large", "small"]);
    assert_eq!(answer["total_room_count_estimate"], 2);
}
