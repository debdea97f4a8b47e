//! Which state comes with a room.

use kith_spec_tests::{Slide, TestServer, path};
use serde_json::{Value, json};

/// Type and state key of the state of a room, sorted.
fn state(slide: &Slide, room: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = slide.state(room);
    let mut state: Vec<_> =
        events.iter().map(|event| (text(&event["type"]), text(&event["state_key"]))).collect();
    state.sort();
    state
}

#[tokio::test]
async fn stars_stand_for_any_type_and_any_key() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    for child in ["!a:kith.test", "!b:kith.test"] {
        let path = path!("v3/rooms/{}/state/m.space.child/{}", room, child);
        alice.put(&path, json!({ "via": ["kith.test"] })).await.ok();
    }
    let children = ["!a:kith.test", "!b:kith.test"].map(|child| ("m.space.child", child));
    let (me, other) = (alice.user_id.as_str(), bob.user_id.as_str());
    let member = "m.room.member";
    let whole = alice.full_state(&room).await.as_array().unwrap().len();
    let cases = [
        (json!([["m.space.child", "*"]]), children.to_vec()),
        (json!([["m.space.child", "!a:kith.test"]]), vec![children[0]]),
        (json!([["m.space.child", "$ME"], ["m.room.name", ""]]), vec![]),
        (json!([[member, "$ME"]]), vec![(member, me)]),
        (json!([[member, other]]), vec![(member, other)]),
        (json!([[member, "*"]]), vec![(member, me), (member, other)]),
        (json!([["*", other]]), vec![(member, other)]),
    ];
    for (required, expected) in cases {
        let slide = alice.sliding_list(0, required.clone()).next().await;
        let expected: Vec<_> =
            expected.iter().map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned())).collect();
        assert_eq!(state(&slide, &room), expected, "{required}");
    }
    let slide = alice.sliding_list(0, json!([["*", "*"]])).next().await;
    assert_eq!(state(&slide, &room).len(), whole);
    // Everything but the members, of whom the timeline needs none.
    let slide = alice.sliding_list(0, json!([["*", "*"], [member, "$LAZY"]])).next().await;
    assert_eq!(state(&slide, &room).len(), whole - 2);
}

/// Members who said something, once.
#[tokio::test]
async fn lazy_members_come_with_what_they_send() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    bob.send_text(&room, "first").await;
    let mut connection = alice.sliding_list(1, json!([["m.room.member", "$LAZY"]]));
    let slide = connection.next().await;
    let members = |slide: &Slide| -> Vec<String> {
        state(slide, &room).into_iter().map(|(_, user)| user).collect()
    };
    assert_eq!(members(&slide), [bob.user_id.as_str()]);
    carol.send_text(&room, "second").await;
    assert_eq!(members(&connection.next().await), [carol.user_id.as_str()]);
    bob.send_text(&room, "third").await;
    carol.send_text(&room, "fourth").await;
    assert!(members(&connection.next().await).is_empty());
}

/// A client may keep its list of members as long as there is no gap.
#[tokio::test]
async fn every_change_of_a_member_comes_while_there_is_no_gap() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (carol, dave) = (server.register("carol").await, server.register("dave").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = alice.sliding_list(3, json!([["m.room.member", "$LAZY"]]));
    connection.next().await;
    alice.invite(&room, &carol).await;
    alice.kick(&room, &bob).await;
    let slide = connection.next().await;
    assert!(slide.room(&room)["limited"].is_null());
    let changed: Vec<_> = state(&slide, &room).into_iter().map(|(_, user)| user).collect();
    assert!(changed.contains(&bob.user_id) && changed.contains(&carol.user_id), "{changed:?}");
    // With a gap only those come that the timeline shows.
    alice.invite(&room, &dave).await;
    for n in 0..4 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let slide = connection.next().await;
    assert_eq!(slide.room(&room)["limited"], true);
    assert!(slide.state(&room).with_state_key("m.room.member", &dave.user_id).is_none());
}
