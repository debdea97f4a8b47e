//! Lazy-loaded members: those whom one needs to show the timeline.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#lazy-loading-room-members)

use kith_spec_tests::{Sync, TestServer, TestUser};
use serde_json::{Value, json};

fn filter(limit: u32, redundant: bool) -> Value {
    let state = json!({ "lazy_load_members": true, "include_redundant_members": redundant });
    json!({ "room": { "state": state, "timeline": { "limit": limit } } })
}

/// The localparts of the members in the state.
fn members(sync: &Sync, room: &str) -> Vec<String> {
    let state = sync.state(room);
    let members = state.iter().filter(|event| event["type"] == "m.room.member");
    let localpart = |event: &Value| {
        let user_id = event["state_key"].as_str().unwrap_or_default();
        user_id.trim_start_matches('@').split(':').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<_> = members.map(localpart).collect();
    names.sort();
    names
}

struct Scene {
    _server: TestServer,
    alice: TestUser,
    bob: TestUser,
    carol: TestUser,
    room: String,
}

/// Seven others, so that not everybody is a hero of the summary; heroes come, too.
async fn scene() -> Scene {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut others = Vec::new();
    for name in ["u1", "u2", "u3", "u4", "u5", "bob", "carol"] {
        others.push(server.register(name).await);
    }
    let room = alice.create_room_from(json!({ "preset": "public_chat", "name": "Named" })).await;
    for user in &others {
        user.join(&room).await;
    }
    let carol = others.pop().expect("carol came last");
    let bob = others.pop().expect("bob came before her");
    Scene { _server: server, alice, bob, carol, room }
}

#[tokio::test]
async fn only_senders_and_oneself_are_loaded() {
    let Scene { alice, bob, carol, room, .. } = &scene().await;
    for _ in 0..2 {
        bob.send_text(room, "hello").await;
    }
    let sync = alice.syncing(None).filter(filter(2, false)).get().await;
    let loaded = members(&sync, room);
    assert!(loaded.contains(&"bob".to_owned()), "the sender: {loaded:?}");
    assert!(loaded.contains(&"alice".to_owned()), "oneself: {loaded:?}");
    assert!(!loaded.contains(&"carol".to_owned()), "nobody else: {loaded:?}");
    assert!(sync.state(room).with_state_key("m.room.create", "").is_some());
    // Later the next sender, when there is one.
    carol.send_text(room, "me too").await;
    let sync = alice.syncing(Some(sync.next_batch)).filter(filter(2, false)).get().await;
    assert!(members(&sync, room).contains(&"carol".to_owned()), "{:#}", sync.json);
}

#[tokio::test]
async fn members_in_a_gap_are_never_left_out() {
    let Scene { alice, bob, carol, room, .. } = &scene().await;
    bob.send_text(room, "hello").await;
    let since = alice.syncing(None).filter(filter(2, false)).get().await.next_batch;
    let own = kith_spec_tests::path!("v3/rooms/{}/state/m.room.member/{}", room, carol.user_id);
    carol.put(&own, json!({ "membership": "join", "displayname": "Renamed" })).await.ok();
    for _ in 0..4 {
        bob.send_text(room, "hello").await;
    }
    let sync = alice.syncing(Some(since)).filter(filter(2, false)).get().await;
    assert_eq!(sync.joined(room)["timeline"]["limited"], true);
    let event = sync.state(room).with_state_key("m.room.member", &carol.user_id);
    assert_eq!(event.expect("it is in the gap")["content"]["displayname"], "Renamed");
}

#[tokio::test]
async fn redundant_members_are_sent_again_when_asked_for() {
    let Scene { alice, bob, room, .. } = &scene().await;
    bob.send_text(room, "hello").await;
    let sync = alice.syncing(None).filter(filter(1, true)).get().await;
    bob.send_text(room, "hello again").await;
    let sync = alice.syncing(Some(sync.next_batch)).filter(filter(1, true)).get().await;
    assert!(members(&sync, room).contains(&"bob".to_owned()), "{:#}", sync.json);
}

/// Without lazy loading all members are there.
#[tokio::test]
async fn all_members_are_loaded_otherwise() {
    let Scene { alice, bob, room, .. } = &scene().await;
    for _ in 0..3 {
        bob.send_text(room, "hello").await;
    }
    let eager = json!({ "room": { "timeline": { "limit": 1 } } });
    let sync = alice.syncing(None).filter(eager).get().await;
    assert_eq!(members(&sync, room).len(), 8, "{:#}", sync.json);
}

/// Without them a client cannot say what the room is called.
#[tokio::test]
async fn heroes_of_a_nameless_room_are_loaded() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    alice.send_text(&room, "1").await;
    alice.send_text(&room, "2").await;
    let sync = alice.syncing(None).filter(filter(1, false)).get().await;
    assert_eq!(sync.joined(&room)["summary"]["m.heroes"], json!([bob.user_id]));
    assert!(members(&sync, &room).contains(&"bob".to_owned()), "{:#}", sync.json);
}

#[tokio::test]
async fn the_full_state_has_oneself_and_those_who_came_meanwhile() {
    let Scene { alice, bob, carol, room, .. } = &scene().await;
    let since = alice.syncing(None).filter(filter(2, false)).get().await.next_batch;
    carol.leave(room).await;
    for n in 0..4 {
        bob.send_text(room, &n.to_string()).await;
    }
    let sync = alice.syncing(Some(since)).filter(filter(2, false)).with("full_state", true);
    let sync = sync.get().await;
    let loaded = members(&sync, room);
    assert!(loaded.contains(&"alice".to_owned()), "oneself: {loaded:?}");
    assert!(loaded.contains(&"carol".to_owned()), "changed in the gap: {loaded:?}");
}
