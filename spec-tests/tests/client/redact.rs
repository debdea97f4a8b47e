//! Taking back what was said.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn a_redaction_empties_the_event_everywhere() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let event_id = alice.send_text(&room, "regrettable").await;
    let redact = path!("v3/rooms/{}/redact/{}/{}", room, event_id, "once");
    let first = alice.put(&redact, json!({ "reason": "oops" })).await.ok();
    assert_eq!(alice.put(&redact, json!({ "reason": "oops" })).await.ok(), first);
    let redaction_id = first["event_id"].as_str().unwrap();

    let event = bob.event(&room, &event_id).await;
    assert_eq!(event["content"], json!({}));
    let because = &event["unsigned"]["redacted_because"];
    assert_eq!(because["event_id"], redaction_id, "{event:#}");
    assert_eq!(because["content"]["reason"], "oops", "{event:#}");
    let page = bob.messages(&room, "dir=b&limit=50").await;
    let context = bob.get(&path!("v3/rooms/{}/context/{}", room, event_id)).await.ok();
    let sync = bob.sync(Some(since)).await;
    for (place, json) in [("messages", &page), ("context", &context), ("sync", &sync.json)] {
        assert!(!json.to_string().contains("regrettable"), "{place}: {json:#}");
    }
    let redaction = bob.event(&room, redaction_id).await;
    assert_eq!(redaction["type"], "m.room.redaction");
    assert_eq!(redaction["content"]["redacts"], event_id.as_str(), "{redaction:#}");
}

#[tokio::test]
async fn others_events_need_power() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let (hers, his) = (alice.send_text(&room, "a").await, bob.send_text(&room, "b").await);
    let path = path!("v3/rooms/{}/redact/{}/{}", room, hers, "t");
    bob.put(&path, json!({})).await.error(403, "M_FORBIDDEN");
    assert_eq!(alice.event(&room, &hers).await["content"]["body"], "a");
    // One's own always, everybody's with the room's power to redact.
    let own = bob.send_text(&room, "c").await;
    bob.redact(&room, &own).await;
    alice.redact(&room, &his).await;
    assert_eq!(bob.event(&room, &his).await["content"], json!({}));
}

#[tokio::test]
async fn a_redaction_reaches_only_events_of_its_own_room() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "safe").await;
    let elsewhere = bob.create_room().await;
    let path = path!("v3/rooms/{}/redact/{}/{}", elsewhere, event_id, "t");
    let answer = bob.put(&path, json!({})).await;
    assert!([400, 403, 404].contains(&answer.status), "{answer}");
    assert_eq!(alice.event(&room, &event_id).await["content"]["body"], "safe");
}

/// State keeps what the room depends on.
/// [Spec](https://spec.matrix.org/latest/rooms/v11/#redactions)
#[tokio::test]
async fn redacted_state_keeps_its_bones() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/rooms/{}/state/m.room.member/{}", room, bob.user_id);
    let member = bob.put(&path, json!({ "membership": "join", "displayname": "Rude" })).await;
    alice.redact(&room, &member.text_at("event_id")).await;
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member, json!({ "membership": "join" }));
    bob.send_text(&room, "still a member").await;
    let name = alice.set_state(&room, "m.room.name", "", json!({ "name": "gone" })).await;
    alice.redact(&room, &name).await;
    assert_eq!(alice.state(&room, "m.room.name", "").await, json!({}));
}

/// Clients may send the event themselves, too.
#[tokio::test]
async fn a_redaction_can_be_sent_as_an_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for version in ["10", "11", "12"] {
        let room = alice.create_room_from(json!({ "room_version": version })).await;
        let event_id = alice.send_text(&room, "regrettable").await;
        alice.send(&room, "m.room.redaction", json!({ "redacts": event_id })).await;
        assert_eq!(alice.event(&room, &event_id).await["content"], json!({}), "{version}");
    }
}

/// By whichever way it is asked for, a redaction needs the right to redact.
#[tokio::test]
async fn no_way_around_the_power_to_redact() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in ["6", "10", "11", "12"] {
        // Bob may set any state, and may not redact what others say.
        let body = json!({
            "room_version": version,
            "invite": [bob.user_id],
            "power_level_content_override": { "state_default": 0, "events": {} },
        });
        let room = alice.create_room_from(body).await;
        bob.join(&room).await;
        let event_id = alice.send_text(&room, "safe").await;
        let content = json!({ "redacts": event_id });
        let as_event = path!("v3/rooms/{}/send/m.room.redaction/{}", room, "t");
        bob.put(&as_event, content.clone()).await.error(403, "M_FORBIDDEN");
        let as_state = path!("v3/rooms/{}/state/m.room.redaction/x", room);
        bob.put(&as_state, content).await.error(403, "M_FORBIDDEN");
        assert_eq!(bob.event(&room, &event_id).await["content"]["body"], "safe", "{version}");
        for malformed in [json!({}), json!({ "redacts": 1 }), json!({ "redacts": "no id" })] {
            let answer = bob.put(&as_event, malformed).await;
            assert!([400, 404].contains(&answer.status), "{answer}");
        }
    }
}

/// A name that was redacted is nowhere any more.
#[tokio::test]
async fn a_redacted_name_is_gone_from_the_list_of_members() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let member = path!("v3/rooms/{}/state/m.room.member/{}", room, bob.user_id);
    let named = bob.put(&member, json!({ "membership": "join", "displayname": "Rude" })).await;
    let joined = path!("v3/rooms/{}/joined_members", room);
    let name =
        async || alice.get(&joined).await.ok()["joined"][&bob.user_id]["display_name"].clone();
    assert_eq!(name().await, "Rude");
    alice.redact(&room, &named.text_at("event_id")).await;
    assert_eq!(name().await, json!(null));
}

#[tokio::test]
async fn a_redacted_name_is_gone_from_the_directory() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = json!({ "visibility": "public", "preset": "public_chat" });
    let room = alice.create_room_from(body).await;
    let named = alice.set_state(&room, "m.room.name", "", json!({ "name": "A slip" })).await;
    assert!(alice.get("v3/publicRooms").await.ok().to_string().contains("A slip"));
    alice.redact(&room, &named).await;
    assert!(!alice.get("v3/publicRooms").await.ok().to_string().contains("A slip"));
}

#[tokio::test]
async fn what_makes_a_room_is_never_redacted() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let path = path!("v3/rooms/{}/state/m.room.create/?format=event", room);
    let create = alice.get(&path).await.text_at("event_id");
    let path = path!("v3/rooms/{}/redact/{}/{}", room, create, alice.new_transaction());
    alice.put(&path, json!({})).await.error(403, "M_FORBIDDEN");
}
