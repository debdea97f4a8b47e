//! Messages to devices, keys and device lists, on a connection of their own as Element X has it.

use kith_spec_tests::{Slide, SlidingSync, TestServer, TestUser, path};
use serde_json::{Value, json};

fn encryption(user: &TestUser) -> SlidingSync {
    user.sliding(json!({
        "conn_id": "encryption",
        "extensions": { "to_device": { "enabled": true }, "e2ee": { "enabled": true } },
    }))
}

async fn send(from: &TestUser, to: &TestUser, n: usize) {
    let path = path!("v3/sendToDevice/m.test/{}", from.new_transaction());
    let messages = json!({ &to.user_id: { &to.device_id: { "n": n } } });
    from.put(&path, json!({ "messages": messages })).await.ok();
}

#[track_caller]
fn numbers(slide: &Slide) -> Vec<u64> {
    let events = kith_spec_tests::Events(&slide.extension("to_device")["events"]);
    events.iter().map(|event| event["content"]["n"].as_u64().unwrap()).collect()
}

/// The token of the messages, as the client puts it into its next request.
fn acknowledge(connection: &mut SlidingSync, slide: &Slide) {
    connection.body["extensions"]["to_device"]["since"] =
        slide.extension("to_device")["next_batch"].clone();
}

#[tokio::test]
async fn messages_come_until_they_are_acknowledged() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for n in 0..3 {
        send(&alice, &bob, n).await;
    }
    let mut connection = encryption(&bob);
    connection.body["extensions"]["to_device"]["limit"] = 2.into();
    let slide = connection.next().await;
    assert_eq!(numbers(&slide), [0, 1]);
    assert!(slide.extension("to_device")["next_batch"].is_string());
    // Without a token they begin anew, whatever `pos` says.
    assert_eq!(numbers(&connection.next().await), [0, 1]);
    acknowledge(&mut connection, &slide);
    let slide = connection.next().await;
    assert_eq!(numbers(&slide), [2]);
    acknowledge(&mut connection, &slide);
    assert!(numbers(&connection.next().await).is_empty());
    connection.body["extensions"]["to_device"]["since"] = Value::Null;
    assert!(numbers(&connection.next().await).is_empty(), "what was acknowledged is gone");
    connection.body["extensions"]["to_device"]["since"] = "x".into();
    connection.answer().await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_message_wakes_whoever_waits() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut connection = encryption(&bob);
    connection.next().await;
    let waiting = tokio::spawn(async move { connection.wait(50_000).await });
    send(&alice, &bob, 7).await;
    assert_eq!(numbers(&waiting.await.unwrap()), [7]);
}

/// How many keys are left is always said; whose devices changed, from the second answer on.
#[tokio::test]
async fn keys_are_counted_and_device_lists_followed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let stranger = server.register("stranger").await;
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = encryption(&alice);
    let slide = connection.next().await;
    let e2ee = slide.extension("e2ee");
    assert_eq!(e2ee["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(e2ee["device_unused_fallback_key_types"], json!([]));
    assert!(e2ee["device_lists"].is_null());
    stranger.log_in_again().await;
    let mut waiting = connection.clone();
    let woken = tokio::spawn(async move { (waiting.wait(50_000).await, waiting) });
    bob.log_in_again().await;
    let (slide, mut connection) = woken.await.unwrap();
    assert_eq!(slide.extension("e2ee")["device_lists"]["changed"], json!([bob.user_id]));
    alice.kick(&room, &bob).await;
    let slide = connection.wait(5_000).await;
    assert_eq!(slide.extension("e2ee")["device_lists"]["left"], json!([bob.user_id]));
    bob.log_in_again().await;
    let slide = connection.next().await;
    assert!(slide.extension("e2ee")["device_lists"].is_null());
}

#[tokio::test]
async fn thread_subscriptions_come_as_they_change() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut roots = Vec::new();
    for n in 0..3 {
        roots.push(alice.send_text(&room, &n.to_string()).await);
    }
    let subscription = |root: &str| {
        path!("unstable/io.element.msc4306/rooms/{}/thread/{}/subscription", room, root)
    };
    for root in &roots {
        alice.put(&subscription(root), json!({})).await.ok();
    }
    let name = "io.element.msc4308.thread_subscriptions";
    let mut connection =
        alice.sliding(json!({ "extensions": { name: { "enabled": true, "limit": 2 } } }));
    let slide = connection.next().await;
    let threads = slide.extension(name);
    let subscribed = threads["subscribed"][&room].as_object().unwrap();
    assert_eq!(subscribed.len(), 2, "the newest ones");
    assert_eq!(subscribed[&roots[2]]["automatic"], false);
    // The others are a page away.
    let from = threads["prev_batch"].as_str().unwrap();
    let path = format!("unstable/io.element.msc4308/thread_subscriptions?dir=b&from={from}");
    let page = alice.get(&path).await.ok();
    assert!(page["subscribed"][&room][&roots[0]].is_object());
    assert!(connection.next().await.is_empty());
    let mut waiting = connection.clone();
    let woken = tokio::spawn(async move { waiting.wait(50_000).await });
    alice.delete(&subscription(&roots[0]), json!({})).await.ok();
    let slide = woken.await.unwrap();
    let threads = slide.extension(name);
    assert!(threads["unsubscribed"][&room][&roots[0]]["bump_stamp"].is_u64());
    assert!(threads["subscribed"].is_null() && threads["prev_batch"].is_null());
}
