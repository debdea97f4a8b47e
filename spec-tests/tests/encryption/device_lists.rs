//! Whose devices changed: `device_lists` in `/sync`, and `/keys/changes`.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, TestServer, TestUser, encode, path};
use serde_json::{Value, json};

async fn changes(user: &TestUser, from: &str, to: &str) -> Value {
    let path = format!("v3/keys/changes?from={}&to={}", encode(from), encode(to));
    user.get(&path).await.ok()
}

#[tokio::test]
async fn those_who_share_a_room_hear_of_new_and_gone_devices_and_of_new_cross_signing_keys() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let stranger = server.register("stranger").await;
    alice.create_room_with(&[&bob]).await;
    let mut since = bob.sync(None).await.next_batch;
    let start = since.clone();
    let stranger_since = stranger.sync(None).await.next_batch;
    let tablet = alice.log_in_again().await;
    since = bob.sync(Some(since)).await.next_batch;

    let device = DeviceKeys::generate(&tablet);
    device.upload(&tablet).await.ok();
    let sync = bob.sync(Some(since)).await;
    assert_eq!(sync.changed_devices(), [&alice.user_id]);
    // The same keys again are no news, and neither are one-time keys.
    let body = json!({
        "device_keys": device.object(), "one_time_keys": device.one_time_keys("A", 1),
    });
    tablet.post("v3/keys/upload", body).await.ok();
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert!(sync.changed_devices().is_empty());

    let keys = CrossSigningKeys::generate(&alice);
    keys.upload(&alice).await.ok();
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert_eq!(sync.changed_devices(), [&alice.user_id]);
    let body = json!({ &alice.user_id: { &tablet.device_id: keys.sign_device(&device) } });
    tablet.post("v3/keys/signatures/upload", body.clone()).await.ok();
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert_eq!(sync.changed_devices(), [&alice.user_id]);
    tablet.post("v3/keys/signatures/upload", body).await.ok();
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert!(sync.changed_devices().is_empty());

    tablet.post("v3/logout", json!({})).await.ok();
    let sync = bob.sync(Some(sync.next_batch)).await;
    assert_eq!(sync.changed_devices(), [&alice.user_id]);

    let changed = changes(&bob, &start, &sync.next_batch).await;
    assert_eq!(changed, json!({ "changed": [alice.user_id], "left": [] }));
    let changed = changes(&bob, &sync.next_batch, &sync.next_batch).await;
    assert_eq!(changed, json!({ "changed": [], "left": [] }));
    let sync = stranger.sync(Some(stranger_since)).await;
    assert!(sync.changed_devices().is_empty());
}

#[tokio::test]
async fn ones_own_other_devices_hear_of_it_too() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let tablet = alice.log_in_again().await;
    let since = alice.sync(None).await.next_batch;
    let waiting = alice.syncing(Some(since)).timeout(60_000);
    let device = DeviceKeys::generate(&tablet);
    let (sync, _) = tokio::join!(waiting.get(), device.upload(&tablet));
    assert_eq!(sync.changed_devices(), [&alice.user_id]);
}

#[tokio::test]
async fn whoever_signs_anothers_master_key_hears_of_that_alone() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.create_room_with(&[&bob]).await;
    let (keys, theirs) = (CrossSigningKeys::generate(&alice), CrossSigningKeys::generate(&bob));
    keys.upload(&alice).await.ok();
    theirs.upload(&bob).await.ok();
    let alice_since = alice.sync(None).await.next_batch;
    let bob_since = bob.sync(None).await.next_batch;
    let body = json!({ &bob.user_id: { &theirs.master.public: keys.sign_master(&theirs) } });
    alice.post("v3/keys/signatures/upload", body).await.ok();
    assert_eq!(alice.sync(Some(alice_since)).await.changed_devices(), [&bob.user_id]);
    assert!(bob.sync(Some(bob_since)).await.changed_devices().is_empty());
}

#[tokio::test]
async fn those_who_come_are_changed_and_those_who_go_have_left() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let start = alice.sync(None).await.next_batch;
    bob.join(&room).await;
    let joined = alice.sync(Some(start.clone())).await;
    assert_eq!(joined.changed_devices(), [&bob.user_id]);
    assert_eq!(changes(&alice, &start, &joined.next_batch).await["changed"], json!([bob.user_id]));
    bob.leave(&room).await;
    let left = alice.sync(Some(joined.next_batch.clone())).await;
    assert_eq!(left.left_devices(), [&bob.user_id]);
    assert!(left.changed_devices().is_empty());
    let answer = changes(&alice, &joined.next_batch, &left.next_batch).await;
    assert_eq!(answer, json!({ "changed": [], "left": [bob.user_id] }));
}

#[tokio::test]
async fn a_new_display_name_is_no_new_device() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.create_room_with(&[&bob]).await;
    let since = alice.sync(None).await.next_batch;
    for user in [&alice, &bob] {
        let path = path!("v3/profile/{}/displayname", user.user_id);
        user.put(&path, json!({ "displayname": "Somebody else" })).await.ok();
    }
    let sync = alice.sync(Some(since)).await;
    assert!(sync.changed_devices().is_empty() && sync.left_devices().is_empty(), "{:#}", sync.json);
}

#[tokio::test]
async fn whoever_left_a_room_hears_whom_they_lost_and_nothing_of_it_later() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (carol, dave) = (server.register("carol").await, server.register("dave").await);
    let open = json!({
        "preset": "public_chat", "power_level_content_override": { "invite": 0 },
    });
    let room = alice.create_room_from(open).await;
    for user in [&bob, &carol] {
        user.join(&room).await;
    }
    // Carol they still meet elsewhere.
    alice.create_room_with(&[&carol]).await;
    let since = alice.sync(None).await.next_batch;
    alice.leave(&room).await;
    let sync = alice.sync(Some(since)).await;
    assert_eq!(sync.left_devices(), [&bob.user_id]);
    dave.join(&room).await;
    bob.leave(&room).await;
    let sync = alice.sync(Some(sync.next_batch)).await;
    assert!(sync.changed_devices().is_empty() && sync.left_devices().is_empty(), "{:#}", sync.json);
    dave.invite(&room, &alice).await;
    let sync = alice.sync(Some(sync.next_batch)).await;
    assert!(sync.changed_devices().is_empty() && sync.left_devices().is_empty(), "{:#}", sync.json);
    alice.join(&room).await;
    let sync = alice.sync(Some(sync.next_batch)).await;
    assert_eq!(sync.changed_devices(), [&carol.user_id, &dave.user_id]);
}

#[tokio::test]
async fn tokens_must_be_tokens() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let token = alice.sync(None).await.next_batch;
    for query in [format!("from=x&to={token}"), format!("from={token}&to=x"), "from=&to=".into()] {
        let answer = alice.get(&format!("v3/keys/changes?{query}")).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    alice.get(&format!("v3/keys/changes?from={token}")).await.error(400, "M_MISSING_PARAM");
    let nobody = server.anonymous();
    nobody.get("v3/keys/changes?from=x&to=y").await.error(401, "M_MISSING_TOKEN");
}
