//! The requests that matrix-sdk-ui 0.18 sends (Element X), one after the other.

use kith_spec_tests::{ROOM_LIST_STATE, TestServer, path};
use serde_json::json;

/// The list grows by a hundred at a time until it has all rooms, then the client waits.
#[tokio::test]
async fn the_room_list_is_loaded_step_by_step() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut rooms = Vec::new();
    for n in 0..130 {
        rooms.push(alice.create_room_from(json!({ "name": format!("room {n}") })).await);
    }
    let mut connection = alice.sliding_room_list();
    let slide = connection.next().await;
    assert_eq!((slide.rooms(), slide.count("all_rooms")), (20, &json!(130)));
    let newest = slide.room(&rooms[129]);
    assert_eq!(newest["name"], "room 129");
    let mut types = slide.state(&rooms[129]).types();
    types.sort_unstable();
    assert_eq!(
        types,
        [
            "m.room.create",
            "m.room.history_visibility",
            "m.room.join_rules",
            "m.room.member",
            "m.room.name",
            "m.room.power_levels",
        ]
    );
    connection.body["lists"]["all_rooms"]["ranges"] = json!([[0, 119]]);
    assert_eq!(connection.next().await.rooms(), 100);
    connection.body["lists"]["all_rooms"]["ranges"] = json!([[0, 129]]);
    assert_eq!(connection.next().await.rooms(), 10);
    assert!(connection.next().await.is_empty());
    // Long polls from here on.
    let invited = bob.create_room_from(json!({ "invite": [alice.user_id] })).await;
    let slide = connection.wait(30_000).await;
    assert!(slide.room(&invited)["invite_state"].is_array());
    assert_eq!(slide.count("all_rooms"), 131);
}

/// A room is opened: a subscription with more events and one more type of state.
#[tokio::test]
async fn a_room_is_opened_and_followed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(bob.send_text(&room, &n.to_string()).await);
    }
    let pins = path!("v3/rooms/{}/state/m.room.pinned_events/", room);
    alice.put(&pins, json!({ "pinned": [sent[0]] })).await.ok();
    let mut connection = alice.sliding_room_list();
    connection.next().await;
    let required = [&ROOM_LIST_STATE[..], &[("m.room.pinned_events", "")]].concat();
    connection.body["room_subscriptions"] =
        json!({ &room: { "required_state": required, "timeline_limit": 20 } });
    let slide = connection.wait(30_000).await;
    assert_eq!(slide.timeline(&room).iter().count(), 20);
    assert_eq!(slide.room(&room)["limited"], true);
    let types = slide.state(&room).types();
    assert!(types.contains(&"m.room.pinned_events"), "{types:?}");
    // bob's membership comes with his messages.
    assert!(slide.state(&room).with_state_key("m.room.member", &bob.user_id).is_some());
    let typing = path!("v3/rooms/{}/typing/{}", room, bob.user_id);
    bob.put(&typing, json!({ "typing": true, "timeout": 30_000 })).await.ok();
    let slide = connection.wait(30_000).await;
    assert_eq!(
        slide.extension("typing")["rooms"][&room]["content"]["user_ids"],
        json!([bob.user_id])
    );
    let read = path!("v3/rooms/{}/receipt/m.read/{}", room, sent[29]);
    bob.post(&read, json!({})).await.ok();
    connection.until(|slide| slide.extension("receipts")["rooms"][&room].is_object()).await;
    let event_id = bob.send_text(&room, "live").await;
    let slide = connection
        .until(|slide| slide.timeline(&room).event_ids().contains(&event_id.as_str()))
        .await;
    assert_eq!(slide.room(&room)["num_live"], 1);
    assert!(slide.state(&room).with_state_key("m.room.member", &bob.user_id).is_none());
}

/// The `pos` is on the client's disk: after a restart of the client it goes on with a small window,
/// and loads what else is new as the window grows.
#[tokio::test]
async fn the_client_comes_back_with_its_position() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..30 {
        rooms.push(alice.create_room().await);
    }
    let mut connection = alice.sliding_room_list();
    connection.body["lists"]["all_rooms"]["ranges"] = json!([[0, 29]]);
    assert_eq!(connection.next().await.rooms(), 30);
    // Offline meanwhile.
    for room in rooms.iter().take(25) {
        alice.send_text(room, "while you were away").await;
    }
    let mut back = alice.sliding_room_list();
    back.pos.clone_from(&connection.pos);
    let slide = back.next().await;
    assert_eq!(slide.rooms(), 20);
    assert!(slide.room(&rooms[24])["initial"].is_null());
    back.body["lists"]["all_rooms"]["ranges"] = json!([[0, 29]]);
    assert_eq!(back.next().await.rooms(), 5);
    assert!(back.next().await.is_empty());
}
