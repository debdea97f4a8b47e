//! Unread counts, of the room and of its threads.

use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::{Value, json};

async fn counts(user: &TestUser, room: &str, threads: bool) -> Value {
    let timeline = json!({ "unread_thread_notifications": threads });
    let sync = user.syncing(None).filter(json!({ "room": { "timeline": timeline } })).get().await;
    let joined = sync.joined(room);
    json!({
        "room": joined["unread_notifications"]["notification_count"],
        "highlights": joined["unread_notifications"]["highlight_count"],
        "threads": joined["unread_thread_notifications"],
    })
}

#[tokio::test]
async fn a_threads_messages_count_for_the_thread_when_asked_for() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    let in_thread = |body: &str| {
        json!({
            "msgtype": "m.text",
            "body": body,
            "m.relates_to": { "rel_type": "m.thread", "event_id": root },
            "m.mentions": { "user_ids": if body == "bob" { vec![&bob.user_id] } else { vec![] } },
        })
    };
    alice.send(&room, "m.room.message", in_thread("one")).await;
    let last = alice.send(&room, "m.room.message", in_thread("bob")).await;
    let whole = counts(&bob, &room, false).await;
    assert_eq!((&whole["room"], &whole["highlights"]), (&json!(3), &json!(1)), "{whole:#}");
    let parted = counts(&bob, &room, true).await;
    assert_eq!((&parted["room"], &parted["highlights"]), (&json!(1), &json!(0)), "{parted:#}");
    let thread = &parted["threads"][&root];
    assert_eq!(thread, &json!({ "notification_count": 2, "highlight_count": 1 }), "{parted:#}");
    // Read in the thread, unread outside of it.
    let path = path!("v3/rooms/{}/receipt/m.read/{}", room, last);
    bob.post(&path, json!({ "thread_id": root })).await.ok();
    let parted = counts(&bob, &room, true).await;
    assert_eq!(parted["room"], 1, "{parted:#}");
    assert!(parted["threads"][&root]["notification_count"].as_u64().is_none_or(|n| n == 0));
    // Without a thread everything is read.
    bob.post(&path, json!({})).await.ok();
    assert_eq!(counts(&bob, &room, false).await["room"], 0);
}

#[tokio::test]
async fn what_a_push_rule_silences_does_not_count() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let rule = path!("v3/pushrules/global/room/{}", room);
    bob.put(&rule, json!({ "actions": [] })).await.ok();
    let quiet = alice.send_text(&room, "quiet").await;
    assert_eq!(counts(&bob, &room, false).await["room"], 0);
    // Read, so that it does not matter whether the rules of then or of now are asked.
    bob.post(&path!("v3/rooms/{}/receipt/m.read/{}", room, quiet), json!({})).await.ok();
    bob.delete(&rule, json!({})).await.ok();
    alice.send_text(&room, "loud").await;
    assert_eq!(counts(&bob, &room, false).await["room"], 1);
    // Notices and reactions are silent by default.
    alice.send(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "beep" })).await;
    assert_eq!(counts(&bob, &room, false).await["room"], 1);
    // A keyword highlights.
    let keyword = path!("v3/pushrules/global/content/{}", "cake");
    let highlight = json!({ "set_tweak": "highlight" });
    let body = json!({ "pattern": "cake", "actions": ["notify", highlight] });
    bob.put(&keyword, body).await.ok();
    alice.send_text(&room, "there is Cake!").await;
    alice.send_text(&room, "there are pancakes").await;
    let counted = counts(&bob, &room, false).await;
    assert_eq!((&counted["room"], &counted["highlights"]), (&json!(3), &json!(1)), "{counted:#}");
}
