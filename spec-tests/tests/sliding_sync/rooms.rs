//! What an answer says of one room.

use kith_spec_tests::{TestServer, path};
use serde_json::{Value, json};

#[tokio::test]
async fn the_first_answer_describes_the_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice
        .create_room_from(json!({ "name": "Tea", "topic": "leaves", "invite": [bob.user_id] }))
        .await;
    let avatar = json!({ "url": "mxc://kith.test/tea" });
    alice.put(&path!("v3/rooms/{}/state/m.room.avatar/", room), avatar).await.ok();
    alice.send_text(&room, "one").await;
    let event_id = alice.send_text(&room, "two").await;
    let mut connection = alice.sliding_list(1, json!([["m.room.topic", ""]]));
    let slide = connection.next().await;
    let answer = slide.room(&room);
    assert_eq!(answer["initial"], true);
    assert_eq!(answer["name"], "Tea");
    assert_eq!(answer["avatar"], "mxc://kith.test/tea");
    assert_eq!((&answer["joined_count"], &answer["invited_count"]), (&json!(1), &json!(1)));
    assert_eq!(answer["num_live"], 0);
    assert_eq!(answer["limited"], true);
    assert!(answer["bump_stamp"].is_u64() && answer["heroes"].is_null());
    assert_eq!(slide.timeline(&room).event_ids(), [event_id.as_str()]);
    assert_eq!(slide.state(&room).types(), ["m.room.topic"]);
    // The page before goes on where the timeline began.
    let from = answer["prev_batch"].as_str().unwrap();
    let page = alice.messages(&room, &format!("dir=b&limit=1&from={from}")).await;
    assert_eq!(page["chunk"][0]["content"]["body"], "one");
}

#[tokio::test]
async fn a_later_answer_says_only_what_changed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let state = json!([["m.room.name", ""], ["m.room.topic", ""]]);
    let mut connection = alice.sliding_list(2, state);
    connection.next().await;
    let mut events = Vec::new();
    for n in 0..3 {
        events.push(bob.send_text(&room, &n.to_string()).await);
    }
    let slide = connection.next().await;
    let answer = slide.room(&room);
    assert_eq!(slide.timeline(&room).event_ids(), [&events[1], &events[2]]);
    assert_eq!((&answer["limited"], &answer["num_live"]), (&json!(true), &json!(2)));
    for absent in ["initial", "name", "avatar", "heroes", "required_state", "joined_count", "is_dm"]
    {
        assert!(answer[absent].is_null(), "{absent}: {answer:#}");
    }
    assert_eq!(answer["notification_count"], 3);
    let name = json!({ "name": "Coffee" });
    alice.put(&path!("v3/rooms/{}/state/m.room.name/", room), name).await.ok();
    let slide = connection.next().await;
    assert_eq!(slide.room(&room)["name"], "Coffee");
    assert_eq!(slide.state(&room).types(), ["m.room.name"]);
    alice.put(&path!("v3/rooms/{}/state/m.room.name/", room), json!({})).await.ok();
    let slide = connection.next().await;
    assert!(slide.room(&room).as_object().unwrap().contains_key("name"));
    assert_eq!(slide.room(&room)["name"], Value::Null);
    assert_eq!(slide.room(&room)["heroes"][0]["user_id"], bob.user_id.as_str());
}

#[tokio::test]
async fn a_room_without_a_name_has_heroes() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut others = Vec::new();
    for n in 0..7 {
        others.push(server.register(&format!("user{n}")).await);
    }
    let name = path!("v3/profile/{}/displayname", others[0].user_id);
    others[0].put(&name, json!({ "displayname": "Zero" })).await.ok();
    let members: Vec<_> = others.iter().collect();
    let room = alice.create_room_with(&members).await;
    let slide = alice.sliding_list(1, json!([])).next().await;
    let answer = slide.room(&room);
    assert!(answer["name"].is_null());
    let heroes = answer["heroes"].as_array().unwrap();
    assert_eq!(heroes.len(), 5);
    assert_eq!(heroes[0]["displayname"], "Zero");
    assert!(heroes.iter().all(|hero| hero["user_id"] != alice.user_id.as_str()));
    // A bot is nobody to call a room by.
    let hints = json!({ "service_members": [others[0].user_id] });
    alice.put(&path!("v3/rooms/{}/state/io.element.functional_members/", room), hints).await.ok();
    let slide = alice.sliding_list(1, json!([])).next().await;
    assert_eq!(slide.room(&room)["heroes"][0]["user_id"], others[1].user_id.as_str());
}

#[tokio::test]
async fn an_invite_shows_its_stripped_state_and_nothing_else() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_from(json!({ "name": "Secret", "topic": "plans" })).await;
    alice.send_text(&room, "not for bob").await;
    let mut connection = bob.sliding_list(20, json!([["*", "*"]]));
    connection.next().await;
    alice.invite(&room, &bob).await;
    let slide = connection.wait(5_000).await;
    let answer = slide.room(&room);
    let allowed = ["initial", "invite_state", "bump_stamp", "is_dm"];
    for field in answer.as_object().unwrap().keys() {
        assert!(allowed.contains(&field.as_str()), "{field} is not for the invited");
    }
    let stripped = kith_spec_tests::Events(&answer["invite_state"]);
    assert!(stripped.types().contains(&"m.room.name"));
    let own = stripped.with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "invite");
    // What happens meanwhile is none of their business.
    alice.send_text(&room, "still not").await;
    assert!(connection.next().await.is_empty());
    bob.join(&room).await;
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.room(&room)["initial"], true);
    assert!(slide.room(&room)["invite_state"].is_null());
    assert_eq!(slide.room(&room)["name"], "Secret");
}

#[tokio::test]
async fn a_knock_shows_its_stripped_state() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let rules = json!([{
        "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" },
    }]);
    let room = alice.create_room_from(json!({ "initial_state": rules })).await;
    bob.knock(&room).await;
    let slide = bob.sliding_list(1, json!([])).next().await;
    let stripped = kith_spec_tests::Events(&slide.room(&room)["invite_state"]);
    let own = stripped.with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "knock");
}

/// An invite that is declined goes: the client sees its own leave, and nothing of the room.
#[tokio::test]
async fn a_declined_invite_is_shown_as_left() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_from(json!({ "name": "Secret" })).await;
    alice.invite(&room, &bob).await;
    let mut connection = bob.sliding_list(5, json!([["*", "*"]]));
    connection.next().await;
    bob.leave(&room).await;
    let slide = connection.wait(5_000).await;
    let answer = slide.room(&room);
    assert!(answer["invite_state"].is_null() && answer["name"].is_null());
    assert_eq!(slide.timeline(&room).types(), ["m.room.member"]);
    assert_eq!(slide.state(&room).types(), ["m.room.member"]);
    assert_eq!(slide.state(&room).0[0]["content"]["membership"], "leave");
}

/// A reaction does not bring a room up; a message does.
#[tokio::test]
async fn the_bump_stamp_follows_messages_only() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut connection = alice.sliding_list(1, json!([]));
    let first = connection.next().await.room(&room)["bump_stamp"].as_u64().unwrap();
    let event_id = alice.send_text(&room, "up").await;
    let second = connection.next().await.room(&room)["bump_stamp"].as_u64().unwrap();
    assert!(second > first);
    let relates = json!({ "rel_type": "m.annotation", "event_id": event_id, "key": "+1" });
    let reaction = path!("v3/rooms/{}/send/m.reaction/{}", room, alice.new_transaction());
    alice.put(&reaction, json!({ "m.relates_to": relates })).await.ok();
    let slide = connection.next().await;
    assert_eq!(slide.timeline(&room).types(), ["m.reaction"]);
    assert!(slide.room(&room)["bump_stamp"].is_null());
}
