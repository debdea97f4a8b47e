//! Who is there.

use kith_spec_tests::{Sync, TestServer, TestUser, path};
use serde_json::{Value, json};

fn presence_of(sync: &Sync, user: &TestUser) -> Option<Value> {
    let of_user = |event: &&Value| event["sender"] == user.user_id.as_str();
    sync.presence().iter().filter(of_user).last().map(|event| event["content"].clone())
}

#[tokio::test]
async fn presence_is_set_and_read() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let eve = server.register("eve").await;
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let path = path!("v3/presence/{}/status", alice.user_id);
    let body = json!({ "presence": "unavailable", "status_msg": "at lunch" });
    assert_eq!(alice.put(&path, body).await.ok(), json!({}));
    let status = bob.get(&path).await.ok();
    assert_eq!(status["presence"], "unavailable", "{status:#}");
    assert_eq!(status["status_msg"], "at lunch", "{status:#}");
    let at_lunch = |sync: &Sync| {
        presence_of(sync, &alice).is_some_and(|presence| presence["status_msg"] == "at lunch")
    };
    bob.sync_until(since, at_lunch).await;
    // Eve shares no room with alice.
    eve.get(&path).await.error(403, "M_FORBIDDEN");
    assert_eq!(presence_of(&eve.sync(None).await, &alice), None);
    bob.put(&path, json!({ "presence": "online" })).await.error(403, "M_FORBIDDEN");
    alice.put(&path, json!({ "presence": "asleep" })).await.error(400, "M_BAD_JSON");
    alice.leave(&room).await;
}

#[tokio::test]
async fn a_sync_says_that_the_user_is_there_unless_told_otherwise() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let _room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/presence/{}/status", alice.user_id);
    alice.syncing(None).with("set_presence", "offline").get().await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "offline");
    alice.syncing(None).with("set_presence", "unavailable").get().await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "unavailable");
    alice.syncing(None).get().await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "online");
}

#[tokio::test]
async fn the_liveliest_device_speaks_for_its_user() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let _room = alice.create_room_with(&[&bob]).await;
    let phone = alice.log_in_again().await;
    let path = path!("v3/presence/{}/status", alice.user_id);
    alice.syncing(None).get().await;
    let since = bob.sync(None).await.next_batch;
    phone.syncing(None).with("set_presence", "unavailable").get().await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "online");
    assert!(bob.sync(Some(since)).await.presence().is_empty(), "nobody is told of it");
    alice.put(&path, json!({ "presence": "offline" })).await.ok();
    assert_eq!(bob.get(&path).await.ok()["presence"], "unavailable");
}

#[tokio::test]
async fn presence_can_be_switched_off() {
    let server = TestServer::with(|config| config.presence.enabled = false).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let _room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/presence/{}/status", alice.user_id);
    alice.put(&path, json!({ "presence": "online" })).await;
    assert!(bob.sync(None).await.presence().is_empty());
}

#[tokio::test]
async fn doing_something_ends_an_absence_but_brings_nobody_online() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/presence/{}/status", alice.user_id);
    alice.syncing(None).with("set_presence", "unavailable").get().await;
    alice.send_text(&room, "Back again").await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "online");
    alice.put(&path, json!({ "presence": "offline" })).await;
    alice.send_text(&room, "Nobody is to know that I am here").await;
    assert_eq!(bob.get(&path).await.ok()["presence"], "offline");
}

#[tokio::test]
async fn whoever_meets_sees_how_the_others_are() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let path = path!("v3/presence/{}/status", alice.user_id);
    alice.put(&path, json!({ "presence": "online", "status_msg": "here" })).await.ok();
    let room = alice.create_public_room().await;
    let since = bob.sync(None).await.next_batch;
    let alices = alice.sync(None).await.next_batch;
    bob.join(&room).await;
    let of = |sync: &kith_spec_tests::Sync, user: &str| {
        sync.presence().iter().any(|event| event["sender"] == user)
    };
    assert!(of(&bob.sync(Some(since)).await, &alice.user_id), "who joins sees who is there");
    assert!(of(&alice.sync(Some(alices)).await, &bob.user_id), "who is there sees who joins");
}
