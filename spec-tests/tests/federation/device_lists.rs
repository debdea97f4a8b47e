//! Who has which devices, as two servers tell each other. SECURITY lines 15, 16 and 25.

use kith_spec_tests::{CrossSigningKeys, DeviceKeys, RemoteReply as Reply, RemoteServer, path};
use serde_json::{Value, json};

use super::together::Together;

const UPDATE: &str = "m.device_list_update";

/// What a peer answers to `GET /user/devices` for its `bob`.
fn list(bob: &str, stream_id: u64, devices: &[&DeviceKeys]) -> Value {
    let devices: Vec<Value> = devices
        .iter()
        .map(|device| json!({ "device_id": device.device_id, "keys": device.object() }))
        .collect();
    json!({ "user_id": bob, "stream_id": stream_id, "devices": devices })
}

fn update(device: &DeviceKeys, stream_id: u64, previous: &[u64]) -> Value {
    json!({
        "user_id": device.user_id, "device_id": device.device_id, "stream_id": stream_id,
        "prev_id": previous, "keys": device.object(),
    })
}

impl Together {
    async fn query(&self) -> Value {
        let body = json!({ "device_keys": { &self.bob: [] } });
        self.alice.post("v3/keys/query", body).await.ok()
    }

    async fn devices(&self) -> Vec<String> {
        let answer = self.query().await;
        let devices = answer["device_keys"][&self.bob].as_object();
        devices.into_iter().flat_map(|devices| devices.keys().cloned()).collect()
    }

    fn times_asked(&self, method: &str, pattern: &str) -> usize {
        self.remote.asked().iter().filter(|asked| asked.is(method, pattern)).count()
    }

    fn device(&self, id: &str) -> DeviceKeys {
        DeviceKeys::named(&self.bob, id)
    }
}

#[tokio::test]
async fn a_list_is_asked_for_once_and_kept_up_by_updates() {
    let t = Together::start().await;
    let (phone, tablet) = (t.device("PHONE"), t.device("TABLET"));
    let answer = list(&t.bob, 5, &[&phone]);
    t.remote.answer("GET", "v1/user/devices/{}", move |_| answer.clone());
    let known = t.query().await;
    assert_eq!(known["device_keys"][&t.bob]["PHONE"], phone.object());
    assert_eq!(known["failures"], json!(null));
    assert_eq!(t.devices().await, ["PHONE"]);
    let since = t.alice.sync(None).await.next_batch;
    t.edu(UPDATE, update(&tablet, 6, &[5])).await;
    let sync = t.alice.sync_until(since, |sync| !sync.changed_devices().is_empty()).await;
    assert_eq!(sync.changed_devices(), [&t.bob]);
    assert_eq!(t.devices().await, ["PHONE", "TABLET"]);
    let gone = json!({
        "user_id": t.bob, "device_id": "PHONE", "stream_id": 9, "prev_id": [6], "deleted": true,
    });
    t.edu(UPDATE, gone).await;
    assert_eq!(t.devices().await, ["TABLET"]);
    // Told again, and from before.
    t.edu(UPDATE, update(&phone, 6, &[5])).await;
    assert_eq!(t.devices().await, ["TABLET"]);
    assert_eq!(t.times_asked("GET", "v1/user/devices/{}"), 1);
}

#[tokio::test]
async fn whoever_misses_an_update_asks_again() {
    let t = Together::start().await;
    let (phone, tablet) = (t.device("PHONE"), t.device("TABLET"));
    let first = list(&t.bob, 5, &[&phone]);
    t.remote.answer("GET", "v1/user/devices/{}", move |_| first.clone());
    assert_eq!(t.devices().await, ["PHONE"]);
    let since = t.alice.sync(None).await.next_batch;
    // At first the server does not answer.
    let second = list(&t.bob, 8, &[&phone, &tablet]);
    let mut tries = 0;
    t.remote.answer("GET", "v1/user/devices/{}", move |_| {
        tries += 1;
        if tries < 2 { Reply::error(503, "M_UNKNOWN") } else { second.clone().into() }
    });
    t.edu(UPDATE, update(&tablet, 8, &[7])).await;
    let mut since = since;
    loop {
        let changed = |sync: &kith_spec_tests::Sync| !sync.changed_devices().is_empty();
        since = t.alice.sync_until(since, changed).await.next_batch;
        if t.devices().await == ["PHONE", "TABLET"] {
            break;
        }
    }
    // From there on updates follow again.
    t.edu(UPDATE, update(&t.device("THIRD"), 9, &[8])).await;
    let asked = t.times_asked("GET", "v1/user/devices/{}");
    assert_eq!(t.devices().await, ["PHONE", "TABLET", "THIRD"]);
    assert_eq!(t.times_asked("GET", "v1/user/devices/{}"), asked);
}

#[tokio::test]
async fn cross_signing_keys_cross_servers() {
    let t = Together::start().await;
    let keys = CrossSigningKeys::named(&t.bob);
    let mut answer = list(&t.bob, 5, &[&t.device("PHONE")]);
    answer["master_key"] = keys.master_key();
    answer["self_signing_key"] = keys.self_signing_key();
    t.remote.answer("GET", "v1/user/devices/{}", move |_| answer.clone());
    let known = t.query().await;
    assert_eq!(known["master_keys"][&t.bob], keys.master_key());
    assert_eq!(known["self_signing_keys"][&t.bob], keys.self_signing_key());
    let others = CrossSigningKeys::named(&t.bob);
    let content = json!({
        "user_id": t.bob, "master_key": others.master_key(),
        "self_signing_key": others.self_signing_key(),
    });
    t.edu("m.signing_key_update", content).await;
    let known = t.query().await;
    assert_eq!(known["master_keys"][&t.bob], others.master_key());
    // Alice verifies Bob.
    let own = CrossSigningKeys::generate(&t.alice);
    own.upload(&t.alice).await.ok();
    let body = json!({ &t.bob: { &others.master.public: own.sign_master(&others) } });
    let failures = t.alice.post("v3/keys/signatures/upload", body).await.ok();
    assert_eq!(failures["failures"], json!(null));
    let known = t.query().await;
    let signatures = &known["master_keys"][&t.bob]["signatures"];
    assert!(signatures[&t.alice.user_id].is_object(), "{known:#}");
}

#[tokio::test]
async fn our_devices_are_told_one_after_the_other() {
    let t = Together::start().await;
    let phone = DeviceKeys::generate(&t.alice);
    phone.upload(&t.alice).await.ok();
    let has_keys = |edu: &Value| edu["content"]["keys"].is_object();
    let first = t.remote.wait_for_edu(UPDATE, has_keys).await["content"].clone();
    assert_eq!(first["user_id"], t.alice.user_id);
    assert_eq!(first["device_id"], t.alice.device_id);
    assert_eq!(first["keys"], phone.object());
    let path = path!("v1/user/devices/{}", t.alice.user_id);
    let listed = t.remote.get(&t.server, &path).await.ok();
    assert_eq!(listed["stream_id"], first["stream_id"]);
    let tablet = t.alice.log_in_again().await;
    let is_tablet = |edu: &Value| edu["content"]["device_id"] == tablet.device_id;
    let second = t.remote.wait_for_edu(UPDATE, is_tablet).await["content"].clone();
    assert_eq!(second["prev_id"], json!([first["stream_id"]]));
    tablet.post("v3/logout", json!({})).await.ok();
    let is_gone = |edu: &Value| is_tablet(edu) && edu["content"]["deleted"] == true;
    let third = t.remote.wait_for_edu(UPDATE, is_gone).await["content"].clone();
    assert_eq!(third["prev_id"], json!([second["stream_id"]]));
    let keys = CrossSigningKeys::generate(&t.alice);
    keys.upload(&t.alice).await.ok();
    let edu = t.remote.wait_for_edu("m.signing_key_update", |_| true).await;
    assert_eq!(edu["content"]["master_key"], keys.master_key());
    assert_eq!(edu["content"].get("user_signing_key"), None);
}

#[tokio::test]
async fn one_time_keys_of_the_other_server_are_claimed_there() {
    let t = Together::start().await;
    let key = t.device("PHONE").one_time_key();
    let answer = json!({ "one_time_keys": {
        &t.bob: { "PHONE": { "signed_curve25519:AAA": key.clone() }, "OTHER": { "x:1": key.clone() } },
        "@eve:kith.other": { "PHONE": { "signed_curve25519:AAA": key.clone() } },
    } });
    t.remote.answer("POST", "v1/user/keys/claim", move |_| answer.clone());
    let wanted = json!({ "one_time_keys": { &t.bob: { "PHONE": "signed_curve25519" } } });
    let claimed = t.alice.post("v3/keys/claim", wanted.clone()).await.ok();
    let expected = json!({ &t.bob: { "PHONE": { "signed_curve25519:AAA": key } } });
    assert_eq!(claimed["one_time_keys"], expected, "nothing but what was asked for");
    let asked = t.remote.wait_for(|asked| asked.is("POST", "v1/user/keys/claim")).await;
    assert_eq!(asked.body, wanted);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_failure_and_no_more() {
    let t = Together::start().await;
    t.remote.stop().await;
    let own = DeviceKeys::generate(&t.alice);
    own.upload(&t.alice).await.ok();
    let body = json!({ "device_keys": { &t.bob: [], &t.alice.user_id: [] } });
    let known = t.alice.post("v3/keys/query", body).await.ok();
    assert!(known["failures"][t.remote.name().as_str()]["errcode"].is_string(), "{known:#}");
    assert!(known["device_keys"][&t.alice.user_id][&t.alice.device_id].is_object());
    let body = json!({ "one_time_keys": { &t.bob: { "PHONE": "signed_curve25519" } } });
    let claimed = t.alice.post("v3/keys/claim", body).await.ok();
    assert!(claimed["failures"][t.remote.name().as_str()]["errcode"].is_string(), "{claimed:#}");
}

#[tokio::test]
async fn strangers_are_asked_for_and_not_kept() {
    let t = Together::start().await;
    let stranger = t.remote.user("stranger");
    let phone = DeviceKeys::named(&stranger, "PHONE");
    let answer = json!({ "device_keys": { &stranger: { "PHONE": phone.object() } } });
    t.remote.answer("POST", "v1/user/keys/query", move |_| answer.clone());
    for times in 1..=2 {
        let body = json!({ "device_keys": { &stranger: [] } });
        let known = t.alice.post("v3/keys/query", body).await.ok();
        assert_eq!(known["device_keys"][&stranger]["PHONE"], phone.object());
        assert_eq!(t.times_asked("POST", "v1/user/keys/query"), times);
    }
}

#[tokio::test]
async fn lists_are_forgotten_with_the_last_common_room() {
    let t = Together::start().await;
    let answer = list(&t.bob, 5, &[&t.device("PHONE")]);
    t.remote.answer("GET", "v1/user/devices/{}", move |_| answer.clone());
    assert_eq!(t.devices().await, ["PHONE"]);
    let leave = json!({
        "sender": t.bob, "type": "m.room.member", "state_key": t.bob,
        "content": { "membership": "leave" },
    });
    t.remote.send_event(&t.server, &t.room, leave).await;
    let bob = ruma::UserId::parse(t.bob.as_str()).unwrap();
    while t.server.app().keys.remote_list(&bob).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    // What is told of strangers is not kept.
    t.edu(UPDATE, update(&t.device("TABLET"), 6, &[5])).await;
    assert!(t.server.app().keys.remote_list(&bob).await.unwrap().is_none());
}

/// SECURITY lines 15 and 16.
#[tokio::test]
async fn malformed_keys_are_left_out() {
    let t = Together::start().await;
    let good = t.device("GOOD");
    let mut large = t.device("LARGE").unsigned();
    large["x"] = json!("x".repeat(1_000_000));
    let mut types = t.device("TYPES").unsigned();
    types["keys"] = json!([1, 2]);
    let other_user = DeviceKeys::named("@eve:kith.other", "USER").object();
    let other_device = t.device("ELSE").object();
    let mut short = t.device("SHORT").unsigned();
    short["keys"]["ed25519:SHORT"] = json!("AAAA");
    let named = [
        ("LARGE", large),
        ("TYPES", types),
        ("USER", other_user),
        ("DEVICE", other_device),
        ("SHORT", short),
        ("GOOD", good.object()),
    ];
    let devices: Vec<Value> =
        named.iter().map(|(id, keys)| json!({ "device_id": id, "keys": keys })).collect();
    let eve = CrossSigningKeys::named("@eve:kith.other");
    let answer = json!({
        "user_id": t.bob, "stream_id": 5, "devices": devices, "master_key": eve.master_key(),
    });
    t.remote.answer("GET", "v1/user/devices/{}", move |_| answer.clone());
    let known = t.query().await;
    assert_eq!(t.devices().await, ["GOOD"]);
    assert_eq!(known["master_keys"], json!(null), "it is of another user");
    for (stream, (id, keys)) in (5..).zip(named) {
        let content = json!({
            "user_id": t.bob, "device_id": id, "stream_id": stream + 1, "prev_id": [stream],
            "keys": keys,
        });
        t.edu(UPDATE, content).await;
    }
    assert_eq!(t.devices().await, ["GOOD"]);
}

/// SECURITY line 25.
#[tokio::test]
async fn nobody_tells_of_devices_of_others() {
    let t = Together::start().await;
    let other = RemoteServer::start().await;
    other.join(&t.server, &t.room, "carol").await;
    let carol = other.user("carol");
    let since = t.alice.sync(None).await.next_batch;
    for user in [&carol, &t.alice.user_id] {
        t.edu(UPDATE, update(&DeviceKeys::named(user, "X"), 6, &[5])).await;
        let keys = CrossSigningKeys::named(user);
        let content = json!({ "user_id": user, "master_key": keys.master_key() });
        t.edu("m.signing_key_update", content).await;
    }
    t.edu(UPDATE, update(&t.device("X"), 6, &[5])).await;
    let sync = t.alice.sync_until(since, |sync| !sync.changed_devices().is_empty()).await;
    assert_eq!(sync.changed_devices(), [&t.bob]);
}
