//! Rooms that one is invited to, knocks at, leaves.

use kith_spec_tests::{Events, TestServer};
use serde_json::json;

#[tokio::test]
async fn an_invitation_shows_what_the_room_is() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let since = bob.sync(None).await.next_batch;
    let body = json!({
        "name": "Pub",
        "topic": "of mice",
        "room_alias_name": "pub",
        "initial_state": [{ "type": "m.room.avatar", "content": { "url": "mxc://kith.test/a" } }],
        "invite": [bob.user_id],
    });
    let room = alice.create_room_from(body).await;
    alice.send_text(&room, "secret").await;
    let sync = bob.sync(Some(since)).await;
    assert!(!sync.json.to_string().contains("secret"), "{:#}", sync.json);
    let state = Events(&sync.invited(&room)["invite_state"]["events"]);
    for event_type in [
        "m.room.create",
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.join_rules",
    ] {
        let event = state.with_state_key(event_type, "");
        let event = event.unwrap_or_else(|| panic!("no {event_type} in {:#}", sync.json));
        let mut fields: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        fields.retain(|field| !["content", "sender", "state_key", "type"].contains(field));
        // Stripped, as the specification says; the create event may come whole.
        assert!(fields.is_empty() || event_type == "m.room.create", "{event:#}");
    }
    let own = state.with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "invite");
    assert_eq!(own["sender"], alice.user_id.as_str());
    // A first sync has it too; one that goes on not again.
    assert!(!bob.sync(None).await.invited(&room).is_null());
    assert!(bob.sync(Some(sync.next_batch)).await.invited(&room).is_null());
}

#[tokio::test]
async fn an_accepted_invitation_moves_to_the_joined_rooms() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    let since = bob.sync(None).await.next_batch;
    bob.join(&room).await;
    let sync = bob.sync(Some(since)).await;
    assert!(sync.invited(&room).is_null());
    assert!(!sync.joined(&room).is_null(), "{:#}", sync.json);
}

#[tokio::test]
async fn a_declined_and_a_withdrawn_invitation_leave() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (declined, withdrawn) = (alice.create_room().await, alice.create_room().await);
    alice.invite(&declined, &bob).await;
    alice.invite(&withdrawn, &bob).await;
    let since = bob.sync(None).await.next_batch;
    bob.leave(&declined).await;
    alice.kick(&withdrawn, &bob).await;
    let sync = bob.sync(Some(since)).await;
    for room in [&declined, &withdrawn] {
        assert!(sync.invited(room).is_null());
        assert!(!sync.left(room).is_null(), "{:#}", sync.json);
    }
    let first = bob.sync(None).await;
    assert!(first.invited(&declined).is_null() && first.left(&declined).is_null());
}

#[tokio::test]
async fn a_knock_shows_what_the_room_is() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let rules = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = alice.create_room_from(json!({ "name": "Club", "initial_state": [rules] })).await;
    let since = bob.sync(None).await.next_batch;
    bob.knock(&room).await;
    let sync = bob.sync(Some(since)).await;
    let state = Events(&sync.knocked(&room)["knock_state"]["events"]);
    assert_eq!(state.with_state_key("m.room.name", "").unwrap()["content"]["name"], "Club");
    let own = state.with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "knock");
    assert!(!bob.sync(None).await.knocked(&room).is_null());
    alice.invite(&room, &bob).await;
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert!(sync.knocked(&room).is_null() && !sync.invited(&room).is_null(), "{:#}", sync.json);
}

#[tokio::test]
async fn a_left_room_is_shown_up_to_the_leaving_and_then_no_more() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let last = alice.send_text(&room, "last words").await;
    alice.kick(&room, &bob).await;
    alice.send_text(&room, "among ourselves").await;
    let sync = bob.sync(Some(since)).await;
    assert!(sync.joined(&room).is_null());
    let timeline = sync.timeline(&room);
    assert_eq!(timeline.types(), ["m.room.message", "m.room.member"], "{:#}", sync.json);
    assert_eq!(timeline.event_ids()[0], last);
    assert!(!sync.json.to_string().contains("among ourselves"), "{:#}", sync.json);
    alice.send_text(&room, "among ourselves").await;
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert!(sync.left(&room).is_null() && sync.joined(&room).is_null(), "{:#}", sync.json);

    // A first sync shows it when asked to.
    assert!(bob.sync(None).await.left(&room).is_null());
    let filter = json!({ "room": { "include_leave": true } });
    let sync = bob.syncing(None).filter(filter).get().await;
    assert!(!sync.left(&room).is_null(), "{:#}", sync.json);
    assert!(!sync.json.to_string().contains("among ourselves"), "{:#}", sync.json);
}

#[tokio::test]
async fn a_ban_is_shown_as_leaving() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    alice.ban(&room, &bob).await;
    let sync = bob.sync(Some(since)).await;
    let own = sync.timeline(&room).with_state_key("m.room.member", &bob.user_id);
    assert_eq!(own.unwrap()["content"]["membership"], "ban");
    assert!(!sync.left(&room).is_null());
}

/// Who comes and goes in a room is nothing to those who are not in it.
#[tokio::test]
async fn outside_a_room_nobody_hears_who_comes_and_goes() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (carol, dave) = (server.register("carol").await, server.register("dave").await);
    let room = alice.create_room_with(&[&bob, &carol]).await;
    alice.invite(&room, &dave).await;
    bob.leave(&room).await;
    let left = bob.sync(None).await.next_batch;
    let invited = dave.sync(None).await.next_batch;
    carol.leave(&room).await;
    for (user, since) in [(&bob, left), (&dave, invited)] {
        let sync = user.sync(Some(since)).await;
        assert!(!sync.json.to_string().contains(&carol.user_id), "{:#}", sync.json);
    }
}

#[tokio::test]
async fn a_ban_after_leaving_shows_no_later_state() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "then" })).await;
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "a secret" })).await;
    alice.ban(&room, &bob).await;
    let filter = json!({ "room": { "include_leave": true, "timeline": { "limit": 1 } } });
    let first = bob.syncing(None).filter(&filter);
    let after = bob.syncing(None).filter(&filter).with("use_state_after", true);
    for sync in [first.get().await, after.get().await] {
        assert!(!sync.left(&room).is_null(), "{:#}", sync.json);
        let text = sync.json.to_string();
        assert!(text.contains("then") && !text.contains("a secret"), "{:#}", sync.json);
        assert!(text.contains(r#""membership":"ban""#), "they learn of the ban: {:#}", sync.json);
    }
}

#[tokio::test]
async fn tags_of_a_room_that_was_left_are_told() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let since = alice.sync(None).await.next_batch;
    let tag = kith_spec_tests::path!("v3/user/{}/rooms/{}/tags/u.old", alice.user_id, room);
    alice.put(&tag, json!({})).await.ok();
    alice.leave(&room).await;
    let sync = alice.sync(Some(since)).await;
    assert!(!sync.left(&room).is_null());
    let tags = sync.room_account_data(&room).last("m.tag").expect("the tags");
    assert!(tags["content"]["tags"]["u.old"].is_object(), "{tags:#}");
}
