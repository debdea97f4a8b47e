//! `GET /notifications`.

use kith_spec_tests::{TestServer, TestUser, encode, event_ids};
use serde_json::{Value, json};

use super::read;

async fn list(user: &TestUser, query: &str) -> Value {
    user.get(&format!("v3/notifications?{query}")).await.ok()
}

fn ids(list: &Value) -> Vec<String> {
    let notifications = list["notifications"].as_array().expect("a list");
    event_ids(&notifications.iter().map(|n| n["event"].clone()).collect())
}

#[tokio::test]
async fn notifications_of_all_rooms_are_listed_newest_first() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    assert_eq!(list(&bob, "").await, json!({ "notifications": [] }));
    let (a, b) = (alice.create_room_with(&[&bob]).await, alice.create_room_with(&[&bob]).await);
    let one = alice.send_text(&a, "one").await;
    bob.send_text(&a, "his own").await;
    alice.send(&b, "m.room.message", json!({ "msgtype": "m.notice", "body": "quiet" })).await;
    let mention = json!({
        "msgtype": "m.text", "body": "bob", "m.mentions": { "user_ids": [bob.user_id] },
    });
    let two = alice.send(&b, "m.room.message", mention).await;
    let three = alice.send_text(&a, "three").await;
    let gone = alice.send_text(&a, "gone").await;
    alice.redact(&a, &gone).await;
    let invited = alice.create_room().await;
    alice.invite(&invited, &bob).await;
    let all = list(&bob, "").await;
    assert_eq!(ids(&all)[1..], [three.clone(), two.clone(), one.clone()], "{all:#}");
    let invite = &all["notifications"][0];
    assert_eq!((&invite["room_id"], &invite["read"]), (&json!(invited), &json!(false)));
    assert_eq!(invite["event"]["content"]["membership"], "invite");
    let newest = &all["notifications"][1];
    assert_eq!((&newest["room_id"], &newest["read"]), (&json!(a), &json!(false)));
    assert_eq!(newest["actions"][0], "notify");
    assert_eq!(newest["ts"], newest["event"]["origin_server_ts"]);
    assert_eq!(newest["event"]["room_id"], Value::Null, "the room is said beside it");
    let read_flags = async || {
        let all = list(&bob, "").await;
        let notifications = all["notifications"].as_array().unwrap();
        notifications[1..].iter().map(|n| n["read"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read_flags().await, [false, false, true], "who writes has read what was before");
    read(&bob, &a, &three, json!({})).await;
    assert_eq!(read_flags().await, [true, false, true]);
    assert_eq!(ids(&list(&bob, "only=highlight").await), [two.clone()]);
    // Page by page.
    let (mut paged, mut from) = (Vec::new(), String::new());
    loop {
        let page = list(&bob, &format!("limit=1{from}")).await;
        paged.extend(ids(&page));
        let Some(next) = page["next_token"].as_str() else { break };
        from = format!("&from={}", encode(next));
    }
    assert_eq!(paged, ids(&all));
    bob.leave(&b).await;
    assert!(!ids(&list(&bob, "").await).contains(&two), "not of rooms that the user has left");
}

#[tokio::test]
async fn notifications_are_ones_own_and_tokens_are_ours() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.send_text(&room, "hello").await;
    assert!(list(&alice, "").await["notifications"].as_array().unwrap().is_empty());
    bob.get("v3/notifications?from=nonsense").await.error(400, "M_INVALID_PARAM");
    bob.get("v3/notifications?limit=x").await.error(400, "M_INVALID_PARAM");
    server.anonymous().get("v3/notifications").await.error(401, "M_MISSING_TOKEN");
    let carol = server.register("carol").await;
    alice.invite(&room, &carol).await;
    carol.join(&room).await;
    assert!(
        list(&carol, "").await["notifications"].as_array().unwrap().is_empty(),
        "nobody was notified of what they were not there for"
    );
}
