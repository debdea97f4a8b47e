//! What is bundled with an event of what relates to it.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#aggregations-of-child-events)

use kith_spec_tests::{TestServer, TestUser, event_ids, path};
use serde_json::{Value, json};

use super::relating::{edit, edit_of, ignore, react, reply, send_relating};

/// `m.relations` of an event, `Null` if there is none.
async fn bundle(user: &TestUser, room: &str, event: &str) -> Value {
    user.event(room, event).await["unsigned"]["m.relations"].clone()
}

async fn newest_edit(user: &TestUser, room: &str, event: &str) -> Value {
    bundle(user, room, event).await["m.replace"]["event_id"].clone()
}

#[tokio::test]
async fn the_newest_valid_edit_is_bundled_whole() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event = alice.send_text(&room, "one").await;
    assert_eq!(bundle(&bob, &room, &event).await, Value::Null);
    let first = edit(&alice, &room, &event, "two").await;
    let second = edit(&alice, &room, &event, "three").await;
    let whole = bundle(&bob, &room, &event).await["m.replace"].clone();
    assert_eq!(whole["event_id"], second.as_str());
    assert_eq!(whole["content"]["m.new_content"]["body"], "three");
    assert_eq!(
        (&whole["type"], &whole["sender"]),
        (&json!("m.room.message"), &json!(alice.user_id))
    );
    assert_eq!(whole["room_id"], room.as_str());
    assert!(whole["origin_server_ts"].is_u64());
    let original = bob.event(&room, &event).await;
    assert_eq!(original["content"]["body"], "one", "the content is left as it was");

    // None of these is an edit of it.
    edit(&bob, &room, &event, "somebody else's").await;
    alice.send(&room, "org.example.other", edit_of(&event, "another type")).await;
    let plain = send_relating(&alice, &room, "m.replace", &event, "no new content").await;
    let state = edit_of(&event, "a state event");
    alice.set_state(&room, "m.room.message", "", state).await;
    edit(&alice, &room, &second, "an edit of an edit").await;
    assert_eq!(newest_edit(&bob, &room, &event).await, second.as_str());
    assert_eq!(bundle(&bob, &room, &second).await, Value::Null);
    assert_eq!(bundle(&bob, &room, &plain).await, Value::Null);

    // An edit that is redacted uncovers the one before it.
    alice.redact(&room, &second).await;
    assert_eq!(newest_edit(&bob, &room, &event).await, first.as_str());
    alice.redact(&room, &first).await;
    assert_eq!(bundle(&bob, &room, &event).await, Value::Null);
}

#[tokio::test]
async fn a_redacted_event_has_no_edit_but_keeps_its_thread() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let event = alice.send_text(&room, "one").await;
    edit(&alice, &room, &event, "two").await;
    reply(&alice, &room, &event, "reply").await;
    alice.redact(&room, &event).await;
    let bundle = bundle(&alice, &room, &event).await;
    assert!(bundle.get("m.replace").is_none(), "{bundle:#}");
    assert_eq!(bundle["m.thread"]["count"], 1);
}

/// What an encrypted edit says only its readers know.
#[tokio::test]
async fn an_encrypted_edit_needs_no_new_content() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let secret = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "abc" });
    let event = alice.send(&room, "m.room.encrypted", secret.clone()).await;
    let mut content = secret;
    content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": event });
    let edit = alice.send(&room, "m.room.encrypted", content).await;
    assert_eq!(newest_edit(&alice, &room, &event).await, edit.as_str());
}

#[tokio::test]
async fn a_thread_is_summed_up_for_each_viewer() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    let root = alice.send_text(&room, "root").await;
    reply(&alice, &room, &root, "one").await;
    let last = reply(&bob, &room, &root, "two").await;
    let edited = edit(&bob, &room, &last, "two!").await;
    react(&carol, &room, &root, "👍").await;

    let thread = bundle(&carol, &room, &root).await["m.thread"].clone();
    assert_eq!(
        (&thread["count"], &thread["current_user_participated"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(thread["latest_event"]["event_id"], last.as_str());
    assert_eq!(thread["latest_event"]["room_id"], room.as_str());
    let inner = &thread["latest_event"]["unsigned"]["m.relations"];
    assert_eq!(inner["m.replace"]["event_id"], edited.as_str(), "{thread:#}");
    for participant in [&alice, &bob] {
        let thread = bundle(participant, &room, &root).await["m.thread"].clone();
        assert_eq!(thread["current_user_participated"], true, "{}", participant.user_id);
    }
    // Whom one ignores does not count.
    ignore(&carol, &bob).await;
    let thread = bundle(&carol, &room, &root).await["m.thread"].clone();
    assert_eq!(thread["count"], 1);
    assert_eq!(thread["latest_event"]["content"]["body"], "one");
    ignore(&carol, &alice).await;
    bob.redact(&room, &last).await;
    assert_eq!(bundle(&carol, &room, &root).await, Value::Null);
    assert_eq!(bundle(&bob, &room, &root).await["m.thread"]["count"], 1);
}

/// Clients count reactions themselves.
#[tokio::test]
async fn annotations_are_not_bundled_and_references_are() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event = alice.send_text(&room, "event").await;
    react(&bob, &room, &event, "👍").await;
    assert_eq!(bundle(&alice, &room, &event).await, Value::Null);
    let one = send_relating(&bob, &room, "m.reference", &event, "one").await;
    let two = send_relating(&alice, &room, "m.reference", &event, "two").await;
    let both = json!({ "chunk": [{ "event_id": one }, { "event_id": two }] });
    assert_eq!(bundle(&alice, &room, &event).await, json!({ "m.reference": both }));
    ignore(&alice, &bob).await;
    let one_left = json!({ "m.reference": { "chunk": [{ "event_id": two }] } });
    assert_eq!(bundle(&alice, &room, &event).await, one_left);
    // State events get nothing.
    let topic = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "t" })).await;
    send_relating(&alice, &room, "m.reference", &topic, "about the topic").await;
    assert_eq!(bundle(&alice, &room, &topic).await, Value::Null);
}

#[tokio::test]
async fn aggregations_are_served_wherever_events_are() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    let child = reply(&alice, &room, &root, "in the thread").await;
    let edited = edit(&alice, &room, &child, "edited").await;

    let find = |events: &Value, id: &str| -> Value {
        let events = events.as_array().unwrap_or_else(|| panic!("no events: {events}"));
        events.iter().find(|event| event["event_id"] == id).unwrap().clone()
    };
    let has_edit = |event: &Value| {
        assert_eq!(event["unsigned"]["m.relations"]["m.replace"]["event_id"], edited, "{event:#}");
    };
    has_edit(&find(&bob.messages(&room, "dir=b&limit=10").await["chunk"], &child));
    let context = bob.get(&path!("v3/rooms/{}/context/{}", room, child)).await.ok();
    has_edit(&context["event"]);
    let context = bob.get(&path!("v3/rooms/{}/context/{}", room, root)).await.ok();
    has_edit(&find(&context["events_after"], &child));
    has_edit(&bob.event(&room, &child).await);
    let relations = bob.get(&path!("v1/rooms/{}/relations/{}", room, root)).await.ok();
    has_edit(&find(&relations["chunk"], &child));
    let threads = bob.get(&path!("v1/rooms/{}/threads", room)).await.ok();
    let thread = &threads["chunk"][0]["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(thread["count"], 1, "{threads:#}");
    has_edit(&thread["latest_event"]);
    // A sync with a gap; without one the client sees all of it.
    let filter = json!({ "room": { "timeline": { "limit": 2 } } });
    let sync = bob.syncing(None).filter(&filter).get().await;
    assert_eq!(sync.joined(&room)["timeline"]["limited"], true);
    has_edit(&find(&sync.joined(&room)["timeline"]["events"], &child));
    assert_eq!(event_ids(&sync.joined(&room)["timeline"]["events"]).len(), 2);
}

#[tokio::test]
async fn of_edits_of_one_moment_the_greater_id_counts() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let event = alice.send_text(&room, "0").await;
    let mut edits = Vec::new();
    for n in 0..5 {
        let id = edit(&alice, &room, &event, &n.to_string()).await;
        let ts = alice.event(&room, &id).await["origin_server_ts"].as_u64().unwrap();
        edits.push((ts, id));
    }
    let (_, newest) = edits.into_iter().max().unwrap();
    assert_eq!(newest_edit(&alice, &room, &event).await, newest.as_str());
}
