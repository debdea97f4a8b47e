//! What clients send that the server has no opinion on comes back as it was sent: polls, stickers,
//! image packs, locations, voice messages.

use kith_spec_tests::{TestServer, TestUser, event_ids, path};
use serde_json::{Value, json};

/// Sends an event and finds its content again, by every way that another member reads it.
async fn passes(
    alice: &TestUser,
    bob: &TestUser,
    room: &str,
    kind: &str,
    content: Value,
) -> String {
    let since = bob.sync(None).await.next_batch;
    let event = alice.send(room, kind, content.clone()).await;
    assert_eq!(bob.event(room, &event).await["content"], content, "{kind}");
    let sync = bob.sync_until(since, |sync| !sync.timeline(room).is_empty()).await;
    assert_eq!(sync.timeline(room).last(kind).unwrap()["content"], content, "{kind}");
    let page = bob.messages(room, "dir=b&limit=1").await;
    assert_eq!((&page["chunk"][0]["type"], &page["chunk"][0]["content"]), (&json!(kind), &content));
    event
}

fn poll() -> Value {
    json!({
        "m.poll": {
            "kind": "m.disclosed",
            "max_selections": 1,
            "question": { "m.text": [{ "body": "Tea?" }] },
            "answers": [
                { "m.id": "yes", "m.text": [{ "body": "Yes" }] },
                { "m.id": "no", "m.text": [{ "body": "No" }] },
            ],
        },
        "m.text": [{ "body": "Tea? 1. Yes 2. No" }],
    })
}

fn relates(content: Value, poll: &str) -> Value {
    let mut content = content;
    content["m.relates_to"] = json!({ "rel_type": "m.reference", "event_id": poll });
    content
}

#[tokio::test]
async fn a_poll_is_asked_answered_and_closed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    for prefix in ["m.poll", "org.matrix.msc3381.poll"] {
        let kind = |part: &str| format!("{prefix}.{part}");
        let poll = passes(&alice, &bob, &room, &kind("start"), poll()).await;
        let answer = relates(json!({ "m.selections": ["yes"] }), &poll);
        let of_bob = passes(&bob, &alice, &room, &kind("response"), answer).await;
        let answer = relates(json!({ "m.selections": ["no"] }), &poll);
        let of_alice = passes(&alice, &bob, &room, &kind("response"), answer).await;
        let end = relates(json!({ "m.text": [{ "body": "No tea" }] }), &poll);
        let end = passes(&alice, &bob, &room, &kind("end"), end).await;

        let relations = path!("v1/rooms/{}/relations/{}/m.reference", room, poll);
        let all = bob.get(&relations).await.ok();
        assert_eq!(event_ids(&all["chunk"]), [&*end, &of_alice, &of_bob]);
        let responses = bob.get(&format!("{relations}/{}", kind("response"))).await.ok();
        assert_eq!(event_ids(&responses["chunk"]), [&*of_alice, &of_bob]);
        let bundle = bob.event(&room, &poll).await["unsigned"]["m.relations"].clone();
        let ids = [of_bob, of_alice, end].map(|id| json!({ "event_id": id }));
        assert_eq!(bundle, json!({ "m.reference": { "chunk": ids } }));
    }
}

#[tokio::test]
async fn stickers_locations_and_voice_messages_come_as_they_were_sent() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let info = json!({ "mimetype": "image/png", "w": 256, "h": 256, "size": 73602,
        "xyz.amorgan.blurhash": "LKO2?U%2Tw=w]~RBVZRi};RPxuwH" });
    let sticker = json!({ "body": "Landing", "url": "mxc://kith.test/sticker", "info": info });
    passes(&alice, &bob, &room, "m.sticker", sticker).await;
    let location = json!({
        "msgtype": "m.location",
        "body": "Big Ben",
        "geo_uri": "geo:51.5008,0.1247;u=35",
        "org.matrix.msc3488.location": { "uri": "geo:51.5008,0.1247;u=35", "description": "Big Ben" },
        "org.matrix.msc3488.asset": { "type": "m.pin" },
        "org.matrix.msc3488.ts": 1_636_829_458_432_u64,
    });
    passes(&alice, &bob, &room, "m.room.message", location).await;
    let voice = json!({
        "msgtype": "m.audio",
        "body": "Voice message",
        "url": "mxc://kith.test/voice",
        "info": { "mimetype": "audio/ogg", "size": 5000, "duration": 2000 },
        "org.matrix.msc1767.audio": { "duration": 2000, "waveform": [0, 256, 1024, 512] },
        "org.matrix.msc3245.voice": {},
    });
    let voice = passes(&alice, &bob, &room, "m.room.message", voice).await;
    // And what relates to them.
    let relation = json!({ "rel_type": "m.annotation", "event_id": voice, "key": "👂" });
    let reaction = bob.send(&room, "m.reaction", json!({ "m.relates_to": relation })).await;
    let found = alice.get(&path!("v1/rooms/{}/relations/{}", room, voice)).await.ok();
    assert_eq!(event_ids(&found["chunk"]), [reaction]);
    // A live location: the beacon is state, what it sends refers to it.
    let beacon = json!({ "description": "me", "live": true, "timeout": 3_600_000 });
    let kind = "org.matrix.msc3672.beacon_info";
    let info = alice.set_state(&room, kind, &alice.user_id, beacon.clone()).await;
    assert_eq!(bob.state(&room, kind, &alice.user_id).await, beacon);
    let relation = json!({ "rel_type": "m.reference", "event_id": info });
    let place = json!({ "m.relates_to": relation, "org.matrix.msc3488.ts": 1 });
    passes(&alice, &bob, &room, "org.matrix.msc3672.beacon", place).await;
    let found = bob.get(&path!("v1/rooms/{}/relations/{}/m.reference", room, info)).await.ok();
    assert_eq!(found["chunk"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn image_packs_are_kept_in_rooms_and_in_account_data() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let image = json!({ "url": "mxc://kith.test/parrot", "body": "party", "usage": ["emoticon"] });
    let pack = json!({
        "images": { "parrot": image },
        "pack": { "display_name": "Birds", "avatar_url": "mxc://kith.test/bird", "usage": ["sticker"] },
    });
    for kind in ["m.room.image_pack", "im.ponies.room_emotes"] {
        alice.set_state(&room, kind, "birds", pack.clone()).await;
        assert_eq!(bob.state(&room, kind, "birds").await, pack);
        let sync = bob.sync(None).await;
        let in_timeline = sync.timeline(&room).with_state_key(kind, "birds");
        let event = in_timeline.or_else(|| sync.state(&room).with_state_key(kind, "birds"));
        assert_eq!(event.unwrap()["content"], pack);
    }
    let rooms = json!({ "rooms": { room: { "birds": {} } } });
    for (kind, content) in [
        ("m.image_pack", &pack),
        ("m.image_pack.rooms", &rooms),
        ("im.ponies.user_emotes", &pack),
        ("im.ponies.emote_rooms", &rooms),
    ] {
        let path = path!("v3/user/{}/account_data/{}", bob.user_id, kind);
        bob.put(&path, content.clone()).await.ok();
        assert_eq!(bob.get(&path).await.ok(), *content);
        let sync = bob.sync(None).await;
        assert_eq!(sync.account_data().last(kind).unwrap()["content"], *content);
    }
}
