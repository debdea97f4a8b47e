//! Several rules for one room, and rules that change.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

/// Of two rules that name a room the room gets everything that either wants.
#[tokio::test]
async fn a_list_and_a_subscription_add_up() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room_from(json!({ "name": "Tea", "topic": "leaves" })).await;
    for n in 0..4 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let mut connection = alice.sliding_list(1, json!([["m.room.name", ""]]));
    connection.body["room_subscriptions"] =
        json!({ &room: { "timeline_limit": 3, "required_state": [["m.room.topic", ""]] } });
    let slide = connection.next().await;
    assert_eq!(slide.timeline(&room).bodies(), ["1", "2", "3"]);
    let mut types = slide.state(&room).types();
    types.sort_unstable();
    assert_eq!(types, ["m.room.name", "m.room.topic"]);
}

/// Rooms that do not exist or are none of the user's business are passed over.
#[tokio::test]
async fn a_subscription_to_a_room_that_the_user_may_not_see_is_ignored() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let secret = alice.create_room().await;
    let public = alice.create_public_room().await;
    let mut connection = bob.sliding(json!({ "room_subscriptions": {
        &secret: { "timeline_limit": 10, "required_state": [["*", "*"]] },
        &public: { "timeline_limit": 10, "required_state": [["*", "*"]] },
        "!nowhere:kith.test": { "timeline_limit": 10, "required_state": [["*", "*"]] },
    } }));
    assert!(connection.next().await.is_empty());
    alice.send_text(&public, "not for bob yet").await;
    assert!(connection.next().await.is_empty());
    bob.join(&public).await;
    let slide = connection.wait(5_000).await;
    assert_eq!((slide.rooms(), &slide.room(&public)["initial"]), (1, &json!(true)));
}

/// A room that is only subscribed to is followed wherever it stands in a list.
#[tokio::test]
async fn a_subscription_follows_a_room_outside_of_every_window() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.create_room().await;
    let mut connection = alice.sliding(json!({
        "lists": { "top": { "ranges": [[0, 0]], "timeline_limit": 1, "required_state": [] } },
        "room_subscriptions": { &room: { "timeline_limit": 1, "required_state": [] } },
    }));
    assert_eq!(connection.next().await.rooms(), 2);
    let event_id = bob.send_text(&room, "hello").await;
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.timeline(&room).event_ids(), [event_id.as_str()]);
}

/// With a higher limit the newest events come again, at once.
#[tokio::test]
async fn a_higher_timeline_limit_brings_the_newest_events_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    for n in 0..6 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let mut connection = alice.sliding_list(1, json!([]));
    assert_eq!(connection.next().await.timeline(&room).bodies(), ["5"]);
    connection.body["room_subscriptions"] =
        json!({ &room: { "timeline_limit": 4, "required_state": [] } });
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.timeline(&room).bodies(), ["2", "3", "4", "5"]);
    let answer = slide.room(&room);
    assert_eq!(answer["unstable_expanded_timeline"], true);
    assert_eq!((&answer["limited"], &answer["num_live"]), (&json!(true), &json!(0)));
    assert!(answer["initial"].is_null());
    // Once, and then only what is new.
    assert!(connection.next().await.is_empty());
    alice.send_text(&room, "6").await;
    let slide = connection.next().await;
    assert_eq!(slide.timeline(&room).bodies(), ["6"]);
    assert!(slide.room(&room)["unstable_expanded_timeline"].is_null());
    // Less is no news, and as much as before is none either.
    for limit in [1, 4] {
        connection.body["room_subscriptions"][&room]["timeline_limit"] = limit.into();
        assert!(connection.next().await.is_empty(), "limit {limit}");
    }
}

/// Live events that come together with a higher limit are told from old ones.
#[tokio::test]
async fn an_expanded_timeline_says_how_much_of_it_is_live() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    for n in 0..3 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    alice.send_text(&room, "3").await;
    connection.body["lists"]["all"]["timeline_limit"] = 3.into();
    let slide = connection.next().await;
    assert_eq!(slide.timeline(&room).bodies(), ["1", "2", "3"]);
    assert_eq!(slide.room(&room)["num_live"], 1);
}

/// Whoever has a room's every event is told nothing again.
#[tokio::test]
async fn a_higher_limit_brings_nothing_where_nothing_is_missing() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut connection = alice.sliding_list(50, json!([]));
    let slide = connection.next().await;
    assert!(slide.room(&room)["limited"].is_null());
    connection.body["lists"]["all"]["timeline_limit"] = 90.into();
    assert!(connection.next().await.is_empty());
}

/// State that is wanted only now is sent now, and what was sent is not sent again.
#[tokio::test]
async fn more_required_state_brings_what_was_not_sent() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room_from(json!({ "name": "Tea", "topic": "leaves" })).await;
    let mut connection = alice.sliding_list(1, json!([["m.room.name", ""]]));
    connection.next().await;
    let more = json!([["m.room.name", ""], ["m.room.topic", ""], ["m.room.create", ""]]);
    connection.body["lists"]["all"]["required_state"] = more;
    let slide = connection.next().await;
    let mut types = slide.state(&room).types();
    types.sort_unstable();
    assert_eq!(types, ["m.room.create", "m.room.topic"]);
    assert!(connection.next().await.is_empty());
    // Less is no news; what changes meanwhile comes when it is wanted again.
    connection.body["lists"]["all"]["required_state"] = json!([["m.room.name", ""]]);
    assert!(connection.next().await.is_empty());
    let topic = json!({ "topic": "cups" });
    alice.put(&path!("v3/rooms/{}/state/m.room.topic/", room), topic).await.ok();
    assert!(connection.next().await.state(&room).is_empty());
    connection.body["lists"]["all"]["required_state"] =
        json!([["m.room.name", ""], ["m.room.topic", ""]]);
    let slide = connection.next().await;
    assert_eq!(slide.state(&room).0[0]["content"]["topic"], "cups");
}
