//! Sending events and paging through them.

use kith_spec_tests::{Events, TestServer, TestUser, encode, event_ids, path};
use serde_json::{Value, json};

fn text(body: impl ToString) -> Value {
    json!({ "msgtype": "m.text", "body": body.to_string() })
}

/// A room with so many messages; their IDs.
async fn room_with(alice: &TestUser, messages: usize) -> (String, Vec<String>) {
    let room = alice.create_room().await;
    let mut sent = Vec::new();
    for n in 0..messages {
        sent.push(alice.send_text(&room, &n.to_string()).await);
    }
    (room, sent)
}

/// Pages until the end; all events in the order in which they came.
async fn page_through(user: &TestUser, room: &str, dir: &str, limit: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut query = format!("dir={dir}&limit={limit}");
    for _ in 0..100 {
        let page = user.messages(room, &query).await;
        let chunk = page["chunk"].as_array().expect("a list of events");
        assert!(chunk.len() <= limit, "{page:#}");
        events.extend(chunk.iter().cloned());
        let Some(end) = page["end"].as_str() else { return events };
        query = format!("dir={dir}&limit={limit}&from={}", encode(end));
    }
    panic!("no end after 100 pages");
}

#[tokio::test]
async fn a_transaction_id_sends_once_per_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, other) = (alice.create_room().await, alice.create_room().await);
    let send = path!("v3/rooms/{}/send/m.room.message/{}", room, "once");
    let first = alice.put(&send, text("hello")).await.ok();
    assert_eq!(alice.put(&send, text("hello")).await.ok(), first);
    // What the repetition says does not matter.
    assert_eq!(alice.put(&send, text("something else")).await.ok(), first);
    let second_device = alice.log_in_again().await;
    assert_ne!(second_device.put(&send, text("hello")).await.ok(), first);
    let elsewhere = path!("v3/rooms/{}/send/m.room.message/{}", other, "once");
    assert_ne!(alice.put(&elsewhere, text("hello")).await.ok(), first);
    let bodies = page_through(&alice, &room, "f", 100).await;
    let sent = bodies.iter().filter(|event| event["type"] == "m.room.message").count();
    assert_eq!(sent, 2, "{bodies:#?}");
}

#[tokio::test]
async fn only_the_sending_device_gets_its_transaction_id_back() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let second_device = alice.log_in_again().await;
    let send = path!("v3/rooms/{}/send/m.room.message/{}", room, "mine");
    let event_id = alice.put(&send, text("hello")).await.text_at("event_id");
    for (user, expected) in
        [(&alice, json!("mine")), (&second_device, Value::Null), (&bob, Value::Null)]
    {
        let sync = user.sync(None).await;
        let event =
            sync.timeline(&room).iter().find(|event| event["event_id"] == event_id.as_str());
        assert_eq!(event.unwrap()["unsigned"]["transaction_id"], expected, "{}", user.device_id);
        let event = user.event(&room, &event_id).await;
        assert_eq!(event["unsigned"]["transaction_id"], expected, "{}", user.device_id);
    }
}

#[tokio::test]
async fn sending_needs_membership_and_power() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    let send = path!("v3/rooms/{}/send/m.room.message/{}", room, "x");
    bob.put(&send, text("hello")).await.error(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).await;
    bob.put(&send, text("hello")).await.error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    bob.put(&send, text("hello")).await.ok();
    let mut levels = alice.state(&room, "m.room.power_levels", "").await;
    levels["events"]["org.example.rare"] = json!(10);
    alice.set_state(&room, "m.room.power_levels", "", levels).await;
    let rare = path!("v3/rooms/{}/send/org.example.rare/{}", room, "y");
    bob.put(&rare, json!({})).await.error(403, "M_FORBIDDEN");
    alice.put(&rare, json!({})).await.ok();
    let nowhere = path!("v3/rooms/{}/send/m.room.message/{}", "!nowhere:kith.test", "x");
    let answer = alice.put(&nowhere, text("hello")).await;
    assert!([403, 404].contains(&answer.status), "{answer}");
}

#[tokio::test]
async fn pages_meet_without_gap_or_overlap_in_both_directions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, sent) = room_with(&alice, 25).await;
    for limit in [1, 7, 100] {
        let forward = event_ids(&page_through(&alice, &room, "f", limit).await.into());
        let mut backward = event_ids(&page_through(&alice, &room, "b", limit).await.into());
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(forward[forward.len() - 25..], sent);
        let first = alice.event(&room, &forward[0]).await;
        assert_eq!(first["type"], "m.room.create");
    }
}

#[tokio::test]
async fn a_gap_in_the_sync_is_filled_from_its_prev_batch() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let mut sent = Vec::new();
    for n in 0..12 {
        sent.push(alice.send_text(&room, &n.to_string()).await);
    }
    let filter = json!({ "room": { "timeline": { "limit": 3 } } });
    let sync = bob.syncing(Some(since.clone())).filter(filter).get().await;
    let timeline = &sync.joined(&room)["timeline"];
    assert_eq!(timeline["limited"], true, "{timeline:#}");
    assert_eq!(sync.timeline(&room).event_ids(), sent[9..]);
    let prev_batch = timeline["prev_batch"].as_str().unwrap();
    // To where the last sync ended, and not further.
    let query = format!("dir=b&limit=50&from={}&to={}", encode(prev_batch), encode(since.as_str()));
    let page = bob.messages(&room, &query).await;
    let mut filled = event_ids(&page["chunk"]);
    filled.reverse();
    assert_eq!(filled, sent[..9], "{page:#}");
    // And from a sync's end on there is what came later.
    let later = alice.send_text(&room, "later").await;
    let query = format!("dir=f&from={}", encode(sync.next_batch.as_str()));
    let page = bob.messages(&room, &query).await;
    assert_eq!(event_ids(&page["chunk"]), [later]);
}

#[tokio::test]
async fn messages_are_filtered() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let hers = alice.send_text(&room, "hers").await;
    let his = bob.send_text(&room, "his").await;
    let image = json!({ "msgtype": "m.image", "body": "pic", "url": "mxc://kith.test/a" });
    let picture = bob.send(&room, "m.room.message", image).await;
    let sticker = bob.send(&room, "m.sticker", json!({ "body": "hi" })).await;
    let filtered = async |filter: Value| {
        let query = format!("dir=f&limit=50&filter={}", encode(filter));
        event_ids(&alice.messages(&room, &query).await["chunk"])
    };
    let messages = json!({ "types": ["m.room.message"] });
    assert_eq!(filtered(messages).await, [&hers, &his, &picture].map(Clone::clone));
    let hers_only = json!({ "types": ["m.room.mess*"], "senders": [alice.user_id] });
    assert_eq!(filtered(hers_only).await, [hers.as_str()]);
    let not_hers = json!({ "not_types": ["m.room.*"], "not_senders": [alice.user_id] });
    assert_eq!(filtered(not_hers).await, [sticker.as_str()]);
    let with_url = json!({ "contains_url": true });
    assert_eq!(filtered(with_url).await, [picture.as_str()]);
    let without = json!({ "contains_url": false, "types": ["m.room.message", "m.sticker"] });
    assert_eq!(filtered(without).await, [hers.clone(), his.clone(), sticker.clone()]);
    let limit = json!({ "types": ["m.sticker"], "limit": 1 });
    assert_eq!(filtered(limit).await, [sticker]);
    let nothing = json!({ "types": [] });
    assert_eq!(filtered(nothing).await, [""; 0]);
}

/// A page of which a filter leaves nothing is not the end.
#[tokio::test]
async fn a_filter_finds_what_is_far_away() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let rare = alice.send(&room, "org.example.rare", json!({})).await;
    for n in 0..60 {
        alice.send_text(&room, &n.to_string()).await;
    }
    let filter = encode(json!({ "types": ["org.example.rare"] }));
    let mut from = String::new();
    for _ in 0..100 {
        let page = alice.messages(&room, &format!("dir=b&limit=5&filter={filter}{from}")).await;
        if event_ids(&page["chunk"]) == [rare.clone()] {
            return;
        }
        let end = page["end"].as_str().expect("there is more to look at");
        from = format!("&from={}", encode(end));
    }
    panic!("never found");
}

#[tokio::test]
async fn messages_need_a_direction_and_valid_tokens() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let path = path!("v3/rooms/{}/messages", room);
    let answer = alice.get(&path).await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(["M_MISSING_PARAM", "M_INVALID_PARAM"].contains(&answer.errcode()), "{answer}");
    for wrong in ["dir=x", "dir=b&from=nonsense", "dir=b&limit=-1", "dir=b&filter=%7B"] {
        let answer = alice.get(&format!("{path}?{wrong}")).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    eve.get(&format!("{path}?dir=b")).await.error(403, "M_FORBIDDEN");
}

/// Clients that show a page want the senders' names, and not all members'.
#[tokio::test]
async fn lazy_loading_adds_the_senders_of_the_page() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    bob.send_text(&room, "hello").await;
    let filter = encode(json!({ "lazy_load_members": true }));
    let page = alice.messages(&room, &format!("dir=b&limit=1&filter={filter}")).await;
    let members: Vec<_> =
        Events(&page["state"]).iter().map(|event| event["state_key"].clone()).collect();
    assert_eq!(members, [json!(bob.user_id)], "{page:#}");
}

#[tokio::test]
async fn a_limit_beyond_reason_is_cut_and_zero_is_harmless() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, _) = room_with(&alice, 3).await;
    let page = alice.messages(&room, "dir=b&limit=9007199254740991").await;
    assert!(page["chunk"].as_array().unwrap().len() >= 3);
    alice.messages(&room, "dir=b&limit=0").await;
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#avoiding-duplicate-annotations)
#[tokio::test]
async fn the_same_reaction_twice_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, sent) = room_with(&alice, 1).await;
    let reaction = |key: &str| {
        let relation = json!({ "rel_type": "m.annotation", "event_id": sent[0], "key": key });
        json!({ "m.relates_to": relation })
    };
    let first = alice.send(&room, "m.reaction", reaction("👍")).await;
    let again = path!("v3/rooms/{}/send/m.reaction/{}", room, "again");
    alice.put(&again, reaction("👍")).await.error(400, "M_DUPLICATE_ANNOTATION");
    alice.send(&room, "m.reaction", reaction("🎉")).await;
    // Taken back, it may be given again.
    alice.redact(&room, &first).await;
    alice.send(&room, "m.reaction", reaction("👍")).await;
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#size-limits)
#[tokio::test]
async fn an_event_of_65_kb_is_too_large() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let send = path!("v3/rooms/{}/send/m.room.message/{}", room, "large");
    alice.put(&send, text("a".repeat(66_000))).await.error(413, "M_TOO_LARGE");
    let send = path!("v3/rooms/{}/send/m.room.message/{}", room, "fits");
    alice.put(&send, text("a".repeat(60_000))).await.ok();
    let long_type = path!("v3/rooms/{}/send/{}/{}", room, "t".repeat(256), "type");
    let answer = alice.put(&long_type, json!({})).await;
    assert!([400, 413].contains(&answer.status), "{answer}");
}

/// A page full of what one may not see is not the end of history.
#[tokio::test]
async fn history_goes_on_behind_events_that_are_hidden() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let content = json!({ "history_visibility": "joined" });
    alice.set_state(&room, "m.room.history_visibility", "", content).await;
    bob.join(&room).await;
    let early = alice.send_text(&room, "early").await;
    bob.leave(&room).await;
    for n in 0..120 {
        alice.send_text(&room, &format!("hidden {n}")).await;
    }
    bob.join(&room).await;
    let seen = page_through(&bob, &room, "b", 3).await;
    assert!(seen.iter().any(|event| event["event_id"] == early.as_str()));
    assert!(!Value::Array(seen).to_string().contains("hidden"));
    let seen = page_through(&bob, &room, "f", 3).await;
    assert!(seen.iter().any(|event| event["event_id"] == early.as_str()));
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#ignoring-users)
#[tokio::test]
async fn pages_and_contexts_are_without_what_ignored_users_wrote() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let hello = alice.send_text(&room, "hello").await;
    bob.send_text(&room, "noise").await;
    let data = path!("v3/user/{}/account_data/m.ignored_user_list", alice.user_id);
    alice.put(&data, json!({ "ignored_users": { &bob.user_id: {} } })).await.ok();
    let page = alice.messages(&room, "dir=b&limit=20").await.to_string();
    assert!(page.contains("hello") && !page.contains("noise"), "{page}");
    assert!(page.contains(&bob.user_id), "state is told");
    let context = alice.get(&path!("v3/rooms/{}/context/{}", room, hello)).await.ok().to_string();
    assert!(!context.contains("noise"), "{context}");
    assert!(bob.messages(&room, "dir=b&limit=20").await.to_string().contains("noise"));
}
