//! Names of rooms.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn an_alias_is_made_found_and_removed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    let alias = path!("v3/directory/room/{}", "#monkeys:kith.test");
    server.anonymous().get(&alias).await.error(404, "M_NOT_FOUND");
    assert_eq!(alice.put(&alias, json!({ "room_id": room })).await.ok(), json!({}));
    // Whoever knows an alias may resolve it, without an account.
    let found = server.anonymous().get(&alias).await.ok();
    assert_eq!(found["room_id"], room.as_str());
    assert_eq!(found["servers"], json!(["kith.test"]));
    alice.put(&alias, json!({ "room_id": room })).await.error(409, "M_UNKNOWN");
    let aliases = alice.get(&path!("v3/rooms/{}/aliases", room)).await.ok();
    assert_eq!(aliases, json!({ "aliases": ["#monkeys:kith.test"] }));
    // Bob neither made it nor has power in the room.
    bob.delete(&alias, json!({})).await.error(403, "M_FORBIDDEN");
    assert_eq!(alice.delete(&alias, json!({})).await.ok(), json!({}));
    alice.delete(&alias, json!({})).await.error(404, "M_NOT_FOUND");
    server.anonymous().get(&alias).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_malformed_alias_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    for wrong in ["monkeys", "#monkeys", "!monkeys:kith.test"] {
        let path = path!("v3/directory/room/{}", wrong);
        alice.get(&path).await.error(400, "M_INVALID_PARAM");
        alice.put(&path, json!({ "room_id": room })).await.error(400, "M_INVALID_PARAM");
    }
    // Names of other servers are theirs to give.
    let foreign = path!("v3/directory/room/{}", "#monkeys:example.org");
    let answer = alice.put(&foreign, json!({ "room_id": room })).await;
    assert!([400, 403].contains(&answer.status), "{answer}");
    let no_room = path!("v3/directory/room/{}", "#monkeys:kith.test");
    let answer = alice.put(&no_room, json!({ "room_id": "!nowhere:kith.test" })).await;
    assert!([400, 403, 404].contains(&answer.status), "{answer}");
}

#[tokio::test]
async fn the_aliases_of_a_room_are_for_its_members_or_everybody() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room_from(json!({ "room_alias_name": "club" })).await;
    let path = path!("v3/rooms/{}/aliases", room);
    eve.get(&path).await.error(403, "M_FORBIDDEN");
    let open = json!({ "history_visibility": "world_readable" });
    alice.set_state(&room, "m.room.history_visibility", "", open).await;
    assert_eq!(eve.get(&path).await.ok(), json!({ "aliases": ["#club:kith.test"] }));
}
