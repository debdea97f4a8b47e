//! Whoever follows threads hears of those that they follow: MSC4306.

use kith_spec_tests::{PushGateway, TestUser, path};
use serde_json::{Value, json};

use super::{server, set_pusher};

async fn reply(user: &TestUser, room: &str, root: &str, mentions: Value) -> String {
    let content = json!({
        "msgtype": "m.text", "body": "in the thread", "m.mentions": mentions,
        "m.relates_to": { "rel_type": "m.thread", "event_id": root },
    });
    user.send(room, "m.room.message", content).await
}

#[tokio::test]
async fn threads_that_a_user_does_not_follow_are_silent_once_they_follow_any() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    let followed = alice.send_text(&room, "one").await;
    let other = alice.send_text(&room, "two").await;
    set_pusher(&bob, &gateway).await;
    let before = reply(&alice, &room, &other, json!({})).await;
    let push = gateway.next_event().await;
    assert_eq!(push["event_id"], before, "without subscriptions threads are as the room is");
    assert_eq!(push["devices"][0]["tweaks"], Value::Null);

    let path = path!("unstable/io.element.msc4306/rooms/{}/thread/{}/subscription", room, followed);
    bob.put(&path, json!({})).await.ok();
    reply(&alice, &room, &other, json!({})).await;
    let heard = reply(&alice, &room, &followed, json!({})).await;
    let push = gateway.next_event().await;
    assert_eq!(push["event_id"], heard);
    assert_eq!(push["devices"][0]["tweaks"], json!({ "sound": "default" }));
    // A mention is heard wherever it is, and so is what is in no thread.
    let mentioned = reply(&alice, &room, &other, json!({ "user_ids": [bob.user_id] })).await;
    assert_eq!(gateway.next_event().await["event_id"], mentioned);
    let outside = alice.send_text(&room, "three").await;
    assert_eq!(gateway.next_event().await["event_id"], outside);
    // Left again.
    bob.delete(&path, json!({})).await.ok();
    reply(&alice, &room, &followed, json!({})).await;
    let last = alice.send_text(&room, "four").await;
    assert_eq!(gateway.next_event().await["event_id"], last);
    let rule = path!(
        "v3/pushrules/global/io.element.msc4306.postcontent/{}/enabled",
        ".io.element.msc4306.rule.unsubscribed_thread"
    );
    bob.put(&rule, json!({ "enabled": false })).await.ok();
    let again = reply(&alice, &room, &followed, json!({})).await;
    assert_eq!(gateway.next_event().await["event_id"], again, "the rule can be switched off");
}

#[tokio::test]
async fn an_invite_that_is_ignored_is_not_pushed() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (eve, bob) = (server.register("eve").await, server.register("bob").await);
    let alice = server.register("alice").await;
    let filter = json!({ "enabled": true, "ignored_users": [eve.user_id] });
    let kind = "org.matrix.msc4155.invite_permission_config";
    bob.put(&path!("v3/user/{}/account_data/{}", bob.user_id, kind), filter).await.ok();
    set_pusher(&bob, &gateway).await;
    let (unwanted, wanted) = (eve.create_room().await, alice.create_room().await);
    eve.invite(&unwanted, &bob).await;
    alice.invite(&wanted, &bob).await;
    let push = gateway.next_event().await;
    assert_eq!((&push["room_id"], &push["counts"]["unread"]), (&json!(wanted), &json!(1)));
    let listed = bob.get("v3/notifications").await.ok();
    assert_eq!(listed["notifications"].as_array().map(Vec::len), Some(1), "{listed:#}");
}
