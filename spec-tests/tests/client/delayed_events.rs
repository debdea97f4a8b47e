//! What is sent later, unless the sender says otherwise before. MSC4140.

use std::time::Duration;

use kith_spec_tests::{TestServer, TestUser, encode, path, until};
use serde_json::{Value, json};
use tokio::time::sleep;

const BASE: &str = "unstable/org.matrix.msc4140";
const MEMBER: &str = "org.matrix.msc3401.call.member";
const HOUR: u64 = 3_600_000;

fn sending(room: &str, transaction: &str, delay: u64) -> String {
    format!(
        "v3/rooms/{}/send/m.room.message/{transaction}?org.matrix.msc4140.delay={delay}",
        encode(room)
    )
}

fn setting(room: &str, key: &str, delay: u64) -> String {
    format!("v3/rooms/{}/state/{MEMBER}/{key}?org.matrix.msc4140.delay={delay}", encode(room))
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

async fn act(user: &TestUser, delay_id: &str, action: &str) -> kith_spec_tests::Answer {
    user.post(&format!("{BASE}/delayed_events/{delay_id}"), json!({ "action": action })).await
}

async fn waiting(user: &TestUser) -> Vec<Value> {
    let listed = user.get(&format!("{BASE}/delayed_events")).await.ok();
    listed["delayed_events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_message_comes_when_its_time_has_come_and_once() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let flags = alice.get("versions").await.ok();
    assert_eq!(flags["unstable_features"]["org.matrix.msc4140"], true);
    let first = alice.put(&sending(&room, "one", 1_500), text("later")).await.ok();
    let delay_id = first["delay_id"].as_str().unwrap().to_owned();
    assert_eq!(first, json!({ "delay_id": delay_id }));
    // A request that is repeated schedules nothing new.
    assert_eq!(alice.put(&sending(&room, "one", 1_500), text("later")).await.ok(), first);
    let listed = waiting(&alice).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["room_id"], &listed[0]["type"], &listed[0]["delay"], &listed[0]["content"]),
        (&json!(room), &json!("m.room.message"), &json!(1_500), &text("later"))
    );
    let since = listed[0]["running_since"].as_u64().unwrap();
    let one = format!("{BASE}/delayed_events/{delay_id}");
    let done = until("what became of it", async || {
        let one = alice.get(&one).await.ok();
        one.get("finalised_ts").is_some().then_some(one)
    })
    .await;
    let event = alice.event(&room, done["event_id"].as_str().unwrap()).await;
    assert_eq!(event["content"], text("later"));
    assert!(event["origin_server_ts"].as_u64().unwrap() >= since + 1_500, "not early: {event}");
    assert!(waiting(&alice).await.is_empty());
    assert_eq!(alice.history(&room).await, ["later"]);
}

#[tokio::test]
async fn it_is_put_off_sent_at_once_or_cancelled() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let schedule = async |key: &str, delay: u64| {
        let scheduled = alice.put(&setting(&room, key, delay), json!({})).await.ok();
        scheduled["delay_id"].as_str().unwrap().to_owned()
    };
    let (put_off, sent, cancelled) = (
        schedule("put-off", 2_000).await,
        schedule("sent", HOUR).await,
        schedule("no", HOUR).await,
    );
    let path = |key: &str| path!("v3/rooms/{}/state/{}/{}", room, MEMBER, key);

    for _ in 0..4 {
        sleep(Duration::from_millis(700)).await;
        act(&alice, &put_off, "restart").await.ok();
    }
    // 2.8 s have passed: without that it would be there.
    alice.get(&path("put-off")).await.error(404, "M_NOT_FOUND");

    act(&alice, &sent, "send").await.ok();
    assert_eq!(alice.get(&path("sent")).await.ok(), json!({}));
    act(&alice, &sent, "send").await.ok();
    act(&alice, &sent, "cancel").await.error(409, "M_UNKNOWN");
    act(&alice, &sent, "restart").await.error(404, "M_NOT_FOUND");

    // In the words of the draft.
    let by_path = format!("{BASE}/delayed_events/{cancelled}/cancel");
    bob.post(&by_path, json!({})).await.error(404, "M_NOT_FOUND");
    alice.post(&by_path, json!({})).await.ok();
    alice.post(&by_path, json!({})).await.ok();
    act(&alice, &cancelled, "send").await.error(409, "M_UNKNOWN");

    until("the one that was put off", async || {
        let answer = alice.get(&path("put-off")).await;
        (answer.status == 200).then_some(())
    })
    .await;
    alice.get(&path("no")).await.error(404, "M_NOT_FOUND");
    act(&alice, "made-up", "cancel").await.error(404, "M_NOT_FOUND");
    act(&alice, &sent, "explode").await.error(400, "M_BAD_JSON");
    let finalised = alice.get(&format!("{BASE}/delayed_events?status=finalised")).await.ok();
    assert_eq!(finalised["delayed_events"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn what_became_due_while_the_server_was_stopped_is_sent_when_it_starts() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    alice.put(&sending(&room, "second", 1_000), text("second")).await.ok();
    alice.put(&sending(&room, "first", 500), text("first")).await.ok();
    alice.put(&sending(&room, "last", HOUR), text("last")).await.ok();
    server.stop().await;
    sleep(Duration::from_millis(1_100)).await;
    server.restart().await;
    until("both", async || {
        let texts = alice.history(&room).await;
        (texts.len() >= 2).then(|| assert_eq!(texts, ["first", "second"]))
    })
    .await;
    // It is in the room before it is no longer waiting.
    until("one that waits", async || (waiting(&alice).await.len() == 1).then_some(())).await;
}

/// Rights count when it is sent.
#[tokio::test]
async fn what_is_not_allowed_any_more_is_not_sent_and_says_so() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let scheduled = bob.put(&sending(&room, "one", 700), text("hello")).await.ok();
    let waits = bob.put(&sending(&room, "two", HOUR), text("hello")).await.ok();
    alice.kick(&room, &bob).await;
    let one = format!("{BASE}/delayed_events/{}", scheduled["delay_id"].as_str().unwrap());
    let done = until("what became of it", async || {
        let one = bob.get(&one).await.ok();
        one.get("finalised_ts").is_some().then_some(one)
    })
    .await;
    assert!(done["error"].is_string() && done.get("event_id").is_none(), "{done}");
    // What the user asks for at once tells why it was not done, and waits on.
    act(&bob, waits["delay_id"].as_str().unwrap(), "send").await.error(403, "M_FORBIDDEN");
    assert_eq!(waiting(&bob).await.len(), 1);
    assert!(alice.history(&room).await.is_empty());
}

#[tokio::test]
async fn delays_have_limits() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    eve.put(&sending(&room, "one", HOUR), text("x")).await.error(403, "M_FORBIDDEN");
    alice.put(&sending(&room, "one", 0), text("x")).await.error(400, "M_INVALID_PARAM");
    let path =
        format!("v3/rooms/{}/send/m.room.message/2?org.matrix.msc4140.delay=soon", encode(&room));
    alice.put(&path, text("x")).await.error(400, "M_INVALID_PARAM");
    let long =
        alice.put(&sending(&room, "one", 25 * HOUR), text("x")).await.error(400, "M_UNKNOWN");
    assert_eq!(long["org.matrix.msc4140.errcode"], "M_MAX_DELAY_EXCEEDED");
    assert_eq!(long["org.matrix.msc4140.max_delay"], 24 * HOUR);
    let large = text(&"x".repeat(66_000));
    alice.put(&sending(&room, "large", HOUR), large).await.error(413, "M_TOO_LARGE");
    let capabilities = alice.get("v3/capabilities").await.ok();
    let most = &capabilities["capabilities"]["org.matrix.msc4140.delayed_events"]["max_scheduled"];
    let draft = path!("{}/rooms/{}/delayed_event/{}/one", BASE, room, MEMBER).replace("%2F", "/");
    let body = json!({ "delay_ms": HOUR, "state_key": "key", "content": {} });
    alice.put(&draft, body.clone()).await.ok();
    assert_eq!(waiting(&alice).await[0]["state_key"], "key");
    alice.put(&draft, json!({ "delay_ms": HOUR, "content": [] })).await.error(400, "M_BAD_JSON");
    for n in 1..most.as_u64().unwrap() {
        alice.put(&sending(&room, &format!("n{n}"), HOUR), text("x")).await.ok();
    }
    alice.put(&sending(&room, "more", HOUR), text("x")).await.error(429, "M_LIMIT_EXCEEDED");
}
