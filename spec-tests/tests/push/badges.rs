//! The number on the icon.

use kith_spec_tests::{PushGateway, path};
use serde_json::{Value, json};

use super::{read, server, set_pusher};

#[tokio::test]
async fn the_badge_counts_messages_of_all_rooms_and_falls_when_they_are_read() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (a, b) = (alice.create_room_with(&[&bob]).await, alice.create_room_with(&[&bob]).await);
    set_pusher(&bob, &gateway).await;
    let unread = async |gateway: &mut PushGateway| gateway.next().await["counts"]["unread"].clone();
    alice.send_text(&a, "one").await;
    assert_eq!(unread(&mut gateway).await, 1);
    let in_a = alice.send_text(&a, "two").await;
    assert_eq!(unread(&mut gateway).await, 2);
    let in_b = alice.send_text(&b, "three").await;
    assert_eq!(unread(&mut gateway).await, 3);
    let invited = alice.create_room().await;
    alice.invite(&invited, &bob).await;
    assert_eq!(unread(&mut gateway).await, 4, "an invitation counts as one");

    read(&bob, &a, &in_a, json!({})).await;
    let push = gateway.next().await;
    assert_eq!(push["counts"], json!({ "unread": 2 }));
    assert_eq!((&push["event_id"], &push["room_id"]), (&Value::Null, &Value::Null));
    assert_eq!(push["devices"][0]["pushkey"], "bob");
    bob.leave(&invited).await;
    assert_eq!(unread(&mut gateway).await, 1, "declined");
    bob.send_text(&b, "an answer").await;
    assert_eq!(unread(&mut gateway).await, 0, "who answers has read; a zero is said");
    // The same number is not said again.
    read(&bob, &b, &in_b, json!({})).await;
    alice.send_text(&b, "four").await;
    assert_eq!(unread(&mut gateway).await, 1);
    // Silence takes away what it silences.
    bob.put(&path!("v3/pushrules/global/room/{}", b), json!({ "actions": [] })).await.ok();
    alice.send_text(&a, "five").await;
    assert_eq!(unread(&mut gateway).await, 1);
}
