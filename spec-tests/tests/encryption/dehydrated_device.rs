//! Dehydrated devices (MSC3814).

use kith_spec_tests::{Answer, DeviceKeys, TestServer, TestUser, path, random_key};
use serde_json::{Value, json};

const PATH: &str = "unstable/org.matrix.msc3814.v1/dehydrated_device";

struct Dehydrated {
    keys: DeviceKeys,
    body: Value,
}

impl Dehydrated {
    fn new(user: &TestUser) -> Self {
        let keys = DeviceKeys::named(&user.user_id, &random_key());
        let mut object = keys.unsigned();
        object["dehydrated"] = true.into();
        let body = json!({
            "device_id": keys.device_id,
            "initial_device_display_name": "Dehydrated",
            "device_data": {
                "algorithm": "org.matrix.msc3814.v2", "device_pickle": "pickle", "nonce": "nonce",
            },
            "device_keys": keys.sign(object),
            "one_time_keys": keys.one_time_keys("A", 1),
            "fallback_keys": { "signed_curve25519:F": keys.fallback_key() },
        });
        Self { keys, body }
    }

    fn id(&self) -> &str {
        &self.keys.device_id
    }

    async fn put(&self, user: &TestUser) -> Answer {
        user.put(PATH, self.body.clone()).await
    }
}

async fn devices_with_keys(asking: &TestUser, user: &TestUser) -> Value {
    let body = json!({ "device_keys": { &user.user_id: [] } });
    asking.post("v3/keys/query", body).await.ok()["device_keys"][&user.user_id].clone()
}

async fn send(from: &TestUser, to: &TestUser, device: &str, n: usize) {
    let messages = json!({ &to.user_id: { device: { "n": n } } });
    let path = path!("v3/sendToDevice/m.test/{}", from.new_transaction());
    from.put(&path, json!({ "messages": messages })).await.ok();
}

fn events(device: &str) -> String {
    path!("unstable/org.matrix.msc3814.v1/dehydrated_device/{}/events", device)
}

fn numbers(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().expect("a list of events").iter();
    events.map(|event| event["content"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_device_is_left_here_with_its_keys_and_fetched_again() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.create_room_with(&[&bob]).await;
    alice.get(PATH).await.error(404, "M_NOT_FOUND");
    let since = bob.sync(None).await.next_batch;
    let device = Dehydrated::new(&alice);
    assert_eq!(device.put(&alice).await.ok(), json!({ "device_id": device.id() }));
    server.restart().await;
    let expected = json!({ "device_id": device.id(), "device_data": device.body["device_data"] });
    assert_eq!(alice.get(PATH).await.ok(), expected);
    bob.get(PATH).await.error(404, "M_NOT_FOUND");

    // To others it is a device.
    assert_eq!(bob.sync(Some(since)).await.changed_devices(), [&alice.user_id]);
    let mut keys = device.body["device_keys"].clone();
    keys["unsigned"] = json!({ "device_display_name": "Dehydrated" });
    assert_eq!(keys["dehydrated"], true);
    assert_eq!(devices_with_keys(&bob, &alice).await, json!({ device.id(): keys }));
    let asked = json!({ &alice.user_id: { device.id(): "signed_curve25519" } });
    for expected in ["signed_curve25519:A0", "signed_curve25519:F", "signed_curve25519:F"] {
        let body = json!({ "one_time_keys": asked });
        let claimed = bob.post("v3/keys/claim", body).await.ok();
        let key = &claimed["one_time_keys"][&alice.user_id][device.id()];
        assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), [expected]);
    }
}

#[tokio::test]
async fn what_is_sent_to_it_can_be_read_from_the_beginning_again_and_again() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let device = Dehydrated::new(&alice);
    device.put(&alice).await.ok();
    for n in 0..150 {
        send(&bob, &alice, device.id(), n).await;
    }
    let path = events(device.id());
    for _ in 0..2 {
        // As deployed clients do: until there is nothing more.
        let (mut all, mut body) = (Vec::new(), json!({}));
        loop {
            let answer = alice.post(&path, body).await.ok();
            let new = numbers(&answer);
            if new.is_empty() {
                break;
            }
            all.extend(new);
            body = json!({ "next_batch": answer["next_batch"] });
        }
        assert_eq!(all, (0..150).collect::<Vec<_>>());
        // As the draft says: until there is no `next_batch`.
        let first = alice.get(&path).await.ok();
        let next = first["next_batch"].as_str().expect("there are more");
        let second = alice.get(&format!("{path}?from={next}")).await.ok();
        assert!(second.get("next_batch").is_none(), "{second:#}");
        let all: Vec<_> = numbers(&first).into_iter().chain(numbers(&second)).collect();
        assert_eq!(all, (0..150).collect::<Vec<_>>());
    }
    for (user, device) in [(&alice, "OTHER"), (&bob, device.id())] {
        user.post(&events(device), json!({})).await.error(403, "M_FORBIDDEN");
        user.get(&events(device)).await.error(403, "M_FORBIDDEN");
    }
    alice.post(&path, json!({ "next_batch": "x" })).await.error(400, "M_INVALID_PARAM");
    server.anonymous().post(&path, json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn another_one_takes_its_place() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (first, second) = (Dehydrated::new(&alice), Dehydrated::new(&alice));
    first.put(&alice).await.ok();
    send(&bob, &alice, first.id(), 1).await;
    // The same request again, its answer was lost: what was sent stays.
    first.put(&alice).await.ok();
    assert_eq!(numbers(&alice.post(&events(first.id()), json!({})).await.ok()), [1]);
    second.put(&alice).await.ok();
    assert_eq!(alice.get(PATH).await.ok()["device_id"], second.id());
    let devices = devices_with_keys(&bob, &alice).await;
    assert_eq!(devices.as_object().unwrap().keys().collect::<Vec<_>>(), [second.id()]);
    alice.post(&events(first.id()), json!({})).await.error(403, "M_FORBIDDEN");
    assert!(numbers(&alice.post(&events(second.id()), json!({})).await.ok()).is_empty());
}

#[tokio::test]
async fn it_goes_when_it_is_deleted_in_whichever_way() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.delete(PATH, json!({})).await.error(404, "M_NOT_FOUND");
    let device = Dehydrated::new(&alice);
    device.put(&alice).await.ok();
    assert_eq!(alice.delete(PATH, json!({})).await.ok(), json!({ "device_id": device.id() }));
    alice.get(PATH).await.error(404, "M_NOT_FOUND");
    assert_eq!(devices_with_keys(&bob, &alice).await, json!({}));

    let device = Dehydrated::new(&alice);
    device.put(&alice).await.ok();
    let mut body = json!({ "devices": [device.id()] });
    let session = alice.post("v3/delete_devices", body.clone()).await["session"].clone();
    body["auth"] = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
        "session": session,
    });
    alice.post("v3/delete_devices", body).await.ok();
    alice.get(PATH).await.error(404, "M_NOT_FOUND");

    let tablet = alice.log_in_again().await;
    Dehydrated::new(&alice).put(&alice).await.ok();
    tablet.post("v3/logout", json!({})).await.ok();
    alice.get(PATH).await.ok();
    alice.post("v3/logout/all", json!({})).await.ok();
    let again = alice.log_in_again().await;
    again.get(PATH).await.error(404, "M_NOT_FOUND");
    assert_eq!(devices_with_keys(&bob, &alice).await, json!({}));
}

#[tokio::test]
async fn it_is_nobodys_session_and_whoever_signs_in_with_its_name_does_not_have_its_keys() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let device = Dehydrated::new(&alice);
    device.put(&alice).await.ok();
    send(&bob, &alice, device.id(), 1).await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
        "device_id": device.id(),
    });
    let answer = server.anonymous().post("v3/login", body).await;
    let signed_in = alice.signed_in(&answer, &alice.password);
    alice.get(PATH).await.error(404, "M_NOT_FOUND");
    assert_eq!(devices_with_keys(&bob, &alice).await, json!({}));
    assert!(signed_in.sync(None).await.to_device().is_empty());
}

#[tokio::test]
async fn what_is_no_dehydrated_device_is_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let device = Dehydrated::new(&alice);
    for field in ["device_id", "device_data", "device_keys"] {
        let mut body = device.body.clone();
        body.as_object_mut().unwrap().remove(field);
        alice.put(PATH, body).await.error(400, "M_BAD_JSON");
    }
    let mut no_algorithm = device.body.clone();
    no_algorithm["device_data"].as_object_mut().unwrap().remove("algorithm");
    alice.put(PATH, no_algorithm).await.error(400, "M_BAD_JSON");
    let mut large = device.body.clone();
    large["device_data"]["device_pickle"] = "x".repeat(70_000).into();
    alice.put(PATH, large).await.error(413, "M_TOO_LARGE");
    let mut forged = device.body.clone();
    forged["device_keys"]["algorithms"] = json!([]);
    alice.put(PATH, forged).await.error(400, "M_INVALID_SIGNATURE");
    bob.put(PATH, device.body.clone()).await.error(400, "M_BAD_JSON");
    // The name of a device that is signed in.
    let keys = DeviceKeys::generate(&alice);
    let mut taken = device.body.clone();
    taken["device_id"] = alice.device_id.clone().into();
    taken["device_keys"] = keys.object();
    alice.put(PATH, taken).await.error(403, "M_FORBIDDEN");
    alice.get(PATH).await.error(404, "M_NOT_FOUND");
    server.anonymous().get(PATH).await.error(401, "M_MISSING_TOKEN");
}
