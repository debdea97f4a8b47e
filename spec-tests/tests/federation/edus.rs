//! Typing, receipts and presence, both ways. SECURITY line 25: nobody speaks for users of others, or in
//! rooms in which they are not.

use kith_spec_tests::{RemoteServer, Sync, path};
use serde_json::{Value, json};

use super::together::Together;

fn typing(room: &str, user: &str, typing: bool) -> Value {
    let content = json!({ "room_id": room, "user_id": user, "typing": typing });
    json!({ "edu_type": "m.typing", "content": content })
}

fn receipt(room: &str, user: &str, event: &str) -> Value {
    let data = json!({ "data": { "ts": 7 }, "event_ids": [event] });
    json!({ "edu_type": "m.receipt", "content": { room: { "m.read": { user: data } } } })
}

fn presence(user: &str, state: &str) -> Value {
    let update = json!({
        "user_id": user, "presence": state, "last_active_ago": 100, "status_msg": "hi",
        "currently_active": true,
    });
    json!({ "edu_type": "m.presence", "content": { "push": [update] } })
}

fn typists(sync: &Sync, room: &str) -> Option<Value> {
    Some(sync.ephemeral(room).last("m.typing")?["content"]["user_ids"].clone())
}

fn read(sync: &Sync, room: &str, event: &str) -> Option<Value> {
    let content = &sync.ephemeral(room).last("m.receipt")?["content"];
    content[event]["m.read"].is_object().then(|| content[event]["m.read"].clone())
}

#[tokio::test]
async fn whoever_types_is_seen_by_the_other_server() {
    let Together { remote, alice, room, .. } = Together::start().await;
    let path = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    for typing in [true, false] {
        alice.put(&path, json!({ "typing": typing, "timeout": 30_000 })).await.ok();
        let edu = remote.wait_for_edu("m.typing", |edu| edu["content"]["typing"] == typing).await;
        let content = json!({ "room_id": room, "user_id": alice.user_id, "typing": typing });
        assert_eq!(edu["content"], content);
    }
}

#[tokio::test]
async fn typing_that_times_out_is_over_for_others_too() {
    let Together { remote, alice, room, .. } = Together::start().await;
    let path = path!("v3/rooms/{}/typing/{}", room, alice.user_id);
    alice.put(&path, json!({ "typing": true, "timeout": 100 })).await.ok();
    remote.wait_for_edu("m.typing", |edu| edu["content"]["typing"] == true).await;
    remote.wait_for_edu("m.typing", |edu| edu["content"]["typing"] == false).await;
}

#[tokio::test]
async fn users_of_the_other_server_are_seen_typing() {
    let t = Together::start().await;
    let since = t.alice.sync(None).await.next_batch;
    t.edus(vec![typing(&t.room, &t.bob, true)]).await;
    let sync = t.alice.sync_until(since, |sync| typists(sync, &t.room).is_some()).await;
    assert_eq!(typists(&sync, &t.room), Some(json!([t.bob])));
    // What others do in the room does not end it.
    t.alice.send_text(&t.room, "hello").await;
    t.edus(vec![typing(&t.room, &t.bob, false)]).await;
    let seen = |sync: &Sync| typists(sync, &t.room) == Some(json!([]));
    t.alice.sync_until(sync.next_batch, seen).await;
}

#[tokio::test]
async fn receipts_cross_servers() {
    let t = Together::start().await;
    let said = t.remote.send_text(&t.server, &t.room, "bob", "hello").await;
    let path = path!("v3/rooms/{}/receipt/{}/{}", t.room, "m.read", said);
    t.alice.post(&path, json!({ "thread_id": "main" })).await.ok();
    let edu = t.remote.wait_for_edu("m.receipt", |_| true).await;
    let told = &edu["content"][&t.room]["m.read"][&t.alice.user_id];
    assert_eq!(told["event_ids"], json!([said]));
    assert_eq!(told["data"]["thread_id"], "main");
    assert!(told["data"]["ts"].is_u64());
    let event = t.alice.send_text(&t.room, "hi").await;
    let since = t.alice.sync(None).await.next_batch;
    t.edus(vec![receipt(&t.room, &t.bob, &event)]).await;
    let sync = t.alice.sync_until(since, |sync| read(sync, &t.room, &event).is_some()).await;
    assert_eq!(read(&sync, &t.room, &event), Some(json!({ &t.bob: { "ts": 7 } })));
}

#[tokio::test]
async fn private_receipts_stay_here() {
    let t = Together::start().await;
    let said = t.remote.send_text(&t.server, &t.room, "bob", "hello").await;
    for kind in ["m.read.private", "m.fully_read"] {
        let path = path!("v3/rooms/{}/receipt/{}/{}", t.room, kind, said);
        t.alice.post(&path, json!({})).await.ok();
    }
    t.alice.send_text(&t.room, "last").await;
    t.remote.wait_for_pdu(|pdu| pdu["content"]["body"] == "last").await;
    let asked = t.remote.asked();
    assert_eq!(asked.iter().flat_map(|asked| asked.edus()).filter(is_receipt).count(), 0);
}

fn is_receipt(edu: &&Value) -> bool {
    edu["edu_type"] == "m.receipt"
}

#[tokio::test]
async fn presence_crosses_servers() {
    let t = Together::start().await;
    let path = path!("v3/presence/{}/status", t.alice.user_id);
    t.alice.put(&path, json!({ "presence": "unavailable", "status_msg": "tea" })).await.ok();
    let is_hers =
        |update: &Value| update["user_id"] == t.alice.user_id && update["status_msg"] == "tea";
    t.remote
        .wait_for_edu("m.presence", |edu| {
            edu["content"]["push"].as_array().unwrap().iter().any(is_hers)
        })
        .await;
    let since = t.alice.sync(None).await.next_batch;
    t.edus(vec![presence(&t.bob, "online")]).await;
    let of_bob = |sync: &Sync| sync.presence().iter().any(|event| event["sender"] == t.bob);
    let sync = t.alice.sync_until(since, of_bob).await;
    let event = sync.presence().iter().find(|event| event["sender"] == t.bob).unwrap();
    assert_eq!(event["content"]["presence"], "online");
    assert_eq!(event["content"]["status_msg"], "hi");
    let status = t.alice.get(&path!("v3/presence/{}/status", t.bob)).await.ok();
    assert_eq!(status["presence"], "online");
}

/// SECURITY line 25.
#[tokio::test]
async fn nobody_speaks_for_users_of_others_or_where_they_are_not() {
    let t = Together::start().await;
    let other = RemoteServer::start().await;
    other.join(&t.server, &t.room, "carol").await;
    let carol = other.user("carol");
    let private = t.alice.create_room().await;
    let (secret, said) =
        (t.alice.send_text(&private, "x").await, t.alice.send_text(&t.room, "y").await);
    let dave = t.server.register("dave").await;
    let since = t.alice.sync(None).await.next_batch;
    let stranger = t.remote.user("stranger");
    let mut edus = Vec::new();
    for user in [&carol, &t.alice.user_id, &dave.user_id, &stranger] {
        edus.push(typing(&t.room, user, true));
        edus.push(receipt(&t.room, user, &said));
        edus.push(presence(user, "unavailable"));
    }
    edus.push(typing(&private, &t.bob, true));
    edus.push(receipt(&private, &t.bob, &secret));
    edus.push(receipt(&t.room, &t.bob, &secret));
    t.edus(edus).await;
    // What is permitted comes after all that.
    t.edus(vec![typing(&t.room, &t.bob, true)]).await;
    let sync = t.alice.sync_until(since, |sync| typists(sync, &t.room).is_some()).await;
    assert_eq!(typists(&sync, &t.room), Some(json!([t.bob])));
    assert!(sync.ephemeral(&t.room).last("m.receipt").is_none());
    assert!(sync.ephemeral(&private).is_empty());
    for user in [&carol, &stranger] {
        let told = sync.presence().iter().any(|event| event["sender"] == **user);
        assert!(!told, "{user}");
    }
}

/// SECURITY line 11: what is malformed is passed over.
#[tokio::test]
async fn bad_edus_harm_no_other() {
    let t = Together::start().await;
    let since = t.alice.sync(None).await.next_batch;
    let mut deep = json!([]);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let mut edus = vec![json!({}), json!(7), json!([]), json!("x"), json!({ "edu_type": 7 })];
    let kinds = [
        "m.typing",
        "m.receipt",
        "m.presence",
        "m.direct_to_device",
        "m.device_list_update",
        "m.signing_key_update",
        "m.unknown",
    ];
    for kind in kinds {
        for content in [json!(null), json!({}), json!({ "user_id": "nobody" }), deep.clone()] {
            edus.push(json!({ "edu_type": kind, "content": content }));
        }
    }
    let half = json!({ "push": [{ "user_id": 7 }, 8] });
    edus.push(json!({ "edu_type": "m.presence", "content": half }));
    let half = json!({ "!x": 7, &t.room: { "m.read": { "nobody": 8, &t.bob: { "data": [] } } } });
    edus.push(json!({ "edu_type": "m.receipt", "content": half }));
    edus.push(typing(&t.room, &t.bob, true));
    t.edus(edus).await;
    t.alice.sync_until(since, |sync| typists(sync, &t.room).is_some()).await;
}
