//! `/sendToDevice`, and what the receivers' syncs bring.

use kith_spec_tests::{Answer, Sync, TestServer, TestUser, path};
use serde_json::{Value, json};

async fn put(from: &TestUser, kind: &str, transaction: &str, messages: Value) -> Answer {
    let path = path!("v3/sendToDevice/{}/{}", kind, transaction);
    from.put(&path, json!({ "messages": messages })).await
}

/// Sends `{"n": n}` to one device.
async fn send(from: &TestUser, to: &TestUser, n: usize) {
    let messages = json!({ &to.user_id: { &to.device_id: { "n": n } } });
    put(from, "m.test", &from.new_transaction(), messages).await.ok();
}

#[track_caller]
fn numbers(sync: &Sync) -> Vec<usize> {
    let events = sync.to_device().iter();
    events.map(|event| event["content"]["n"].as_u64().unwrap() as usize).collect()
}

#[tokio::test]
async fn a_message_reaches_its_device_and_no_other() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = bob.log_in_again().await;
    let since = bob.sync(None).await.next_batch;
    send(&alice, &bob, 7).await;
    let sync = bob.sync(Some(since)).await;
    let expected = json!([{
        "type": "m.test", "sender": alice.user_id, "content": { "n": 7 },
    }]);
    assert_eq!(*sync.to_device().0, expected);
    for other in [&tablet, &alice] {
        assert!(other.sync(None).await.to_device().is_empty());
    }
}

#[tokio::test]
async fn a_message_wakes_a_waiting_sync() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let since = bob.sync(None).await.next_batch;
    let waiting = bob.syncing(Some(since)).timeout(60_000);
    let (sync, ()) = tokio::join!(waiting.get(), send(&alice, &bob, 1));
    assert_eq!(numbers(&sync), [1]);
}

#[tokio::test]
async fn a_message_comes_again_until_it_is_acknowledged() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let since = bob.sync(None).await.next_batch;
    send(&alice, &bob, 1).await;
    let first = bob.sync(Some(since.clone())).await;
    assert_eq!(numbers(&first), [1]);
    // The answer was lost.
    assert_eq!(numbers(&bob.sync(Some(since.clone())).await), [1]);
    server.restart().await;
    assert_eq!(numbers(&bob.sync(Some(since.clone())).await), [1]);
    send(&alice, &bob, 2).await;
    let second = bob.sync(Some(first.next_batch)).await;
    assert_eq!(numbers(&second), [2], "the first was acknowledged");
    // And is gone, even for who starts again.
    assert_eq!(numbers(&bob.sync(Some(since)).await), [2]);
    assert_eq!(numbers(&bob.sync(None).await), [2]);
    bob.sync(Some(second.next_batch)).await;
    server.restart().await;
    assert!(bob.sync(None).await.to_device().is_empty());
}

#[tokio::test]
async fn many_messages_come_in_order_a_hundred_at_a_time() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut since = bob.sync(None).await.next_batch;
    for n in 0..250 {
        send(&alice, &bob, n).await;
    }
    let mut all = Vec::new();
    for expected in [100, 100, 50] {
        // A minute's wait would fail the test: what waits is answered at once.
        let sync = bob.syncing(Some(since)).timeout(120_000).get().await;
        let numbers = numbers(&sync);
        assert_eq!(numbers.len(), expected);
        all.extend(numbers);
        since = sync.next_batch;
    }
    assert_eq!(all, (0..250).collect::<Vec<_>>());
    assert!(bob.sync(Some(since)).await.to_device().is_empty());
}

#[tokio::test]
async fn a_repeated_transaction_sends_nothing_again() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let laptop = alice.log_in_again().await;
    let message = |n: u32| json!({ &bob.user_id: { "*": { "n": n } } });
    put(&alice, "m.test", "one", message(1)).await.ok();
    put(&alice, "m.test", "one", message(2)).await.ok();
    server.restart().await;
    put(&alice, "m.test", "one", message(3)).await.ok();
    assert_eq!(numbers(&bob.sync(None).await), [1]);
    // The same ID on another device, or for another event type, is another transaction.
    put(&laptop, "m.test", "one", message(4)).await.ok();
    put(&alice, "m.other", "one", message(5)).await.ok();
    assert_eq!(numbers(&bob.sync(None).await), [1, 4, 5]);
}

#[tokio::test]
async fn a_transaction_sent_twice_at_once_sends_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let message = json!({ &bob.user_id: { "*": { "n": 1 } } });
    let twice = || put(&alice, "m.test", "one", message.clone());
    let answers = tokio::join!(twice(), twice(), twice());
    for answer in [answers.0, answers.1, answers.2] {
        answer.ok();
    }
    assert_eq!(numbers(&bob.sync(None).await), [1]);
}

#[tokio::test]
async fn a_star_reaches_all_devices_and_a_name_takes_precedence() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = bob.log_in_again().await;
    let messages = json!({
        &bob.user_id: { "*": { "n": 1 }, &tablet.device_id: { "n": 2 }, "NOWHERE": { "n": 3 } },
        &alice.user_id: { "*": { "n": 4 } },
        "@nobody:kith.test": { "*": { "n": 5 } },
        "@far:elsewhere.test": { "*": { "n": 6 } },
    });
    put(&alice, "m.test", "one", messages).await.ok();
    assert_eq!(numbers(&bob.sync(None).await), [1]);
    assert_eq!(numbers(&tablet.sync(None).await), [2]);
    assert_eq!(numbers(&alice.sync(None).await), [4]);
}

#[tokio::test]
async fn a_device_that_was_deleted_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tablet = bob.log_in_again().await;
    send(&alice, &tablet, 1).await;
    tablet.post("v3/logout", json!({})).await.ok();
    send(&alice, &tablet, 2).await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": bob.user_id },
        "password": bob.password,
        "device_id": tablet.device_id,
    });
    let answer = server.anonymous().post("v3/login", body).await;
    let again = bob.signed_in(&answer, &bob.password);
    assert!(again.sync(None).await.to_device().is_empty());
    send(&alice, &again, 3).await;
    assert_eq!(numbers(&again.sync(None).await), [3]);
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let to_bob = |content: Value| json!({ &bob.user_id: { &bob.device_id: content } });
    for content in [json!("text"), json!(1), json!([]), Value::Null] {
        put(&alice, "m.test", "one", to_bob(content)).await.error(400, "M_BAD_JSON");
    }
    let large = to_bob(json!({ "text": "x".repeat(65_537) }));
    put(&alice, "m.test", "one", large).await.error(413, "M_TOO_LARGE");
    put(&alice, &"m".repeat(300), "one", to_bob(json!({}))).await.error(400, "M_INVALID_PARAM");
    let path = "v3/sendToDevice/m.test/one";
    alice.put(path, json!({})).await.error(400, "M_BAD_JSON");
    alice.put(path, json!({ "messages": { "bob": {} } })).await.error(400, "M_BAD_JSON");
    server.anonymous().put(path, json!({})).await.error(401, "M_MISSING_TOKEN");
    assert!(bob.sync(None).await.to_device().is_empty());
}

#[tokio::test]
async fn messages_of_many_senders_at_once_all_arrive() {
    let server = TestServer::start().await;
    let bob = server.register("bob").await;
    let mut sending = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let (from, to) = (server.register(&format!("user{sender}")).await, bob.clone());
        sending.spawn(async move {
            for n in 0..10 {
                send(&from, &to, sender * 10 + n).await;
            }
        });
    }
    sending.join_all().await;
    let sync = bob.sync(None).await;
    let mut all = numbers(&sync);
    // Each sender's in order.
    for sender in 0..8 {
        let theirs: Vec<_> = all.iter().copied().filter(|n| n / 10 == sender).collect();
        assert_eq!(theirs, (sender * 10..sender * 10 + 10).collect::<Vec<_>>());
    }
    all.sort_unstable();
    assert_eq!(all, (0..80).collect::<Vec<_>>());
}
