//! Unread counts, as they follow what happens.

use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::{Value, json};

use super::read;

/// Notifications and highlights: of the room outside threads, and of each thread.
async fn counts(user: &TestUser, room: &str) -> (u64, u64, Value) {
    let filter = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let sync = user.syncing(None).filter(filter).get().await;
    let joined = sync.joined(room);
    let count = |name: &str| joined["unread_notifications"][name].as_u64().unwrap_or(0);
    let threads = joined["unread_thread_notifications"].clone();
    (count("notification_count"), count("highlight_count"), threads)
}

async fn in_thread(user: &TestUser, room: &str, root: &str, body: &str) -> String {
    let content = json!({
        "msgtype": "m.text", "body": body,
        "m.relates_to": { "rel_type": "m.thread", "event_id": root },
    });
    user.send(room, "m.room.message", content).await
}

#[tokio::test]
async fn a_redacted_message_counts_no_more() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mention = json!({
        "msgtype": "m.text", "body": "bob", "m.mentions": { "user_ids": [bob.user_id] },
    });
    let loud = alice.send(&room, "m.room.message", mention).await;
    alice.send_text(&room, "stays").await;
    assert_eq!(counts(&bob, &room).await.0, 2);
    assert_eq!(counts(&bob, &room).await.1, 1);
    let since = bob.sync(None).await.next_batch;
    alice.redact(&room, &loud).await;
    assert_eq!(counts(&bob, &room).await, (1, 0, Value::Null));
    // It is told with the redaction, to whom it was told otherwise.
    let sync = bob.sync(Some(since)).await;
    assert_eq!(sync.joined(&room)["unread_notifications"]["notification_count"], 1);
}

#[tokio::test]
async fn who_writes_has_read_what_was_there() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    in_thread(&alice, &room, &root, "in the thread").await;
    let in_the_thread = json!({ &root: { "notification_count": 1, "highlight_count": 0 } });
    assert_eq!(counts(&bob, &room).await, (1, 0, in_the_thread.clone()));
    // A new name is no message.
    let profile = path!("v3/profile/{}/displayname", bob.user_id);
    bob.put(&profile, json!({ "displayname": "Bob" })).await.ok();
    assert_eq!(counts(&bob, &room).await, (1, 0, in_the_thread.clone()));
    bob.send_text(&room, "an answer").await;
    assert_eq!(counts(&bob, &room).await, (0, 0, in_the_thread));
    in_thread(&bob, &room, &root, "an answer there").await;
    assert_eq!(counts(&bob, &room).await, (0, 0, Value::Null));
    alice.send_text(&room, "new").await;
    assert_eq!(counts(&bob, &room).await, (1, 0, Value::Null));
}

#[tokio::test]
async fn receipts_read_a_thread_the_room_or_both() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    let reply = in_thread(&alice, &room, &root, "in the thread").await;
    let main = alice.send_text(&room, "outside").await;
    let thread = |n: u64| json!({ &root: { "notification_count": n, "highlight_count": 0 } });
    assert_eq!(counts(&bob, &room).await, (2, 0, thread(1)));
    read(&bob, &room, &main, json!({ "thread_id": "main" })).await;
    assert_eq!(counts(&bob, &room).await, (0, 0, thread(1)));
    in_thread(&alice, &room, &root, "another").await;
    read(&bob, &room, &reply, json!({ "thread_id": root })).await;
    assert_eq!(counts(&bob, &room).await, (0, 0, thread(1)));
    // A private receipt does as well, and an older one takes nothing back.
    let last = in_thread(&alice, &room, &root, "the last").await;
    let private = path!("v3/rooms/{}/receipt/m.read.private/{}", room, last);
    bob.post(&private, json!({})).await.ok();
    read(&bob, &room, &reply, json!({})).await;
    assert_eq!(counts(&bob, &room).await, (0, 0, Value::Null));
}

#[tokio::test]
async fn changed_rules_and_ignored_users_change_the_counts() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let eve = server.register("eve").await;
    let room = alice.create_room_with(&[&bob, &eve]).await;
    alice.send_text(&room, "cake").await;
    eve.send_text(&room, "spam").await;
    assert_eq!(counts(&bob, &room).await.0, 2);
    let rule = json!({ "pattern": "cake", "actions": ["notify", { "set_tweak": "highlight" }] });
    bob.put("v3/pushrules/global/content/cake", rule).await.ok();
    let (notifications, highlights, _) = counts(&bob, &room).await;
    assert_eq!((notifications, highlights), (2, 1));
    let ignored = json!({ "ignored_users": { eve.user_id.as_str(): {} } });
    let path = path!("v3/user/{}/account_data/m.ignored_user_list", bob.user_id);
    bob.put(&path, ignored).await.ok();
    assert_eq!(counts(&bob, &room).await.0, 1);
    let master = "v3/pushrules/global/override/.m.rule.master/enabled";
    bob.put(master, json!({ "enabled": true })).await.ok();
    assert_eq!(counts(&bob, &room).await.0, 0);
}
