//! `publicRooms`.

use kith_spec_tests::{RemoteServer, TestServer};
use serde_json::{Value, json};

async fn scene() -> (TestServer, RemoteServer, Vec<String>) {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let mut rooms = Vec::new();
    for name in ["Garden", "Kitchen", "Garage"] {
        let body = json!({ "preset": "public_chat", "visibility": "public", "name": name });
        rooms.push(alice.create_room_from(body).await);
    }
    alice.create_room_from(json!({ "preset": "public_chat", "name": "Cellar" })).await;
    (server, RemoteServer::start().await, rooms)
}

fn names(page: &Value) -> Vec<&str> {
    let rooms = page["chunk"].as_array().expect("a list").iter();
    let mut names: Vec<&str> = rooms.filter_map(|room| room["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn published_rooms_are_listed_page_by_page() {
    let (server, remote, rooms) = scene().await;
    let all = remote.get(&server, "v1/publicRooms").await.ok();
    assert_eq!(names(&all), ["Garage", "Garden", "Kitchen"]);
    assert_eq!(all["total_room_count_estimate"], 3);
    assert!(all["chunk"].as_array().is_some_and(|chunk| {
        chunk.iter().all(|room| rooms.iter().any(|id| room["room_id"] == id.as_str()))
    }));
    let first = remote.get(&server, "v1/publicRooms?limit=2").await.ok();
    let next = first["next_batch"].as_str().expect("there is more");
    let second = remote.get(&server, &format!("v1/publicRooms?limit=2&since={next}")).await.ok();
    assert_eq!(names(&first).len() + names(&second).len(), 3);
    assert!(second.get("next_batch").is_none_or(Value::is_null));
    remote.get(&server, "v1/publicRooms?since=what").await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn published_rooms_are_searched() {
    let (server, remote, _) = scene().await;
    let search = json!({ "filter": { "generic_search_term": "gar" } });
    let found = remote.post(&server, "v1/publicRooms", search).await.ok();
    assert_eq!(names(&found), ["Garage", "Garden"]);
    let bridged = json!({ "third_party_instance_id": "irc" });
    let found = remote.post(&server, "v1/publicRooms", bridged).await.ok();
    assert_eq!(found["chunk"], json!([]));
    let wrong = json!({ "filter": "gar" });
    remote.post(&server, "v1/publicRooms", wrong).await.error(400, "M_BAD_JSON");
}
