//! How a user sorts their rooms.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn tags_are_set_replaced_and_removed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let tags = path!("v3/user/{}/rooms/{}/tags", alice.user_id, room);
    let tag = |name: &str| path!("v3/user/{}/rooms/{}/tags/{}", alice.user_id, room, name);
    assert_eq!(alice.get(&tags).await.ok(), json!({ "tags": {} }));
    alice.put(&tag("m.favourite"), json!({ "order": 0.25 })).await.ok();
    alice.put(&tag("u.work"), json!({})).await.ok();
    let expected = json!({ "tags": { "m.favourite": { "order": 0.25 }, "u.work": {} } });
    assert_eq!(alice.get(&tags).await.ok(), expected);
    alice.put(&tag("m.favourite"), json!({ "order": 1 })).await.ok();
    alice.delete(&tag("u.work"), json!({})).await.ok();
    alice.delete(&tag("u.none"), json!({})).await.ok();
    let expected = json!({ "tags": { "m.favourite": { "order": 1.0 } } });
    assert_eq!(alice.get(&tags).await.ok(), expected);
}

#[tokio::test]
async fn a_tag_reaches_the_next_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let since = alice.sync(None).await.next_batch;
    let path = path!("v3/user/{}/rooms/{}/tags/{}", alice.user_id, room, "u.work");
    alice.put(&path, json!({ "order": 0.5 })).await.ok();
    let sync = alice.sync(Some(since)).await;
    let tags = sync.room_account_data(&room).last("m.tag").expect("it is there")["content"].clone();
    assert_eq!(tags, json!({ "tags": { "u.work": { "order": 0.5 } } }));
}

#[tokio::test]
async fn tags_are_their_users_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let hers = path!("v3/user/{}/rooms/{}/tags/{}", alice.user_id, room, "u.work");
    alice.put(&hers, json!({})).await.ok();
    let his = path!("v3/user/{}/rooms/{}/tags", bob.user_id, room);
    assert_eq!(bob.get(&his).await.ok(), json!({ "tags": {} }));
    bob.put(&hers, json!({})).await.error(403, "M_FORBIDDEN");
    bob.delete(&hers, json!({})).await.error(403, "M_FORBIDDEN");
    let list = path!("v3/user/{}/rooms/{}/tags", alice.user_id, room);
    bob.get(&list).await.error(403, "M_FORBIDDEN");
    let nowhere = path!("v3/user/{}/rooms/{}/tags", bob.user_id, "!nowhere:kith.test");
    bob.get(&nowhere).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn malformed_tags_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let tag = |name: &str| path!("v3/user/{}/rooms/{}/tags/{}", alice.user_id, room, name);
    for order in [json!(-0.1), json!(1.1), json!(1e300)] {
        let body = json!({ "order": order });
        alice.put(&tag("u.x"), body).await.error(400, "M_INVALID_PARAM");
    }
    alice.put(&tag("u.x"), json!({ "order": "first" })).await.error(400, "M_BAD_JSON");
    alice.put(&tag(&"x".repeat(256)), json!({})).await.error(400, "M_INVALID_PARAM");
}
