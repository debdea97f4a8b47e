//! What is new, and how soon one hears of it.

use std::time::{Duration, Instant};

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn a_message_reaches_the_other_members_sync() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let event_id = alice.send_text(&room, "hello").await;
    let sync = bob.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).event_ids(), [event_id]);
    assert_ne!(sync.joined(&room)["timeline"]["limited"], true);
    let event = sync.timeline(&room).iter().next().unwrap();
    assert!(event.get("room_id").is_none(), "the room is known from where it stands: {event:#}");
    assert!(event["unsigned"]["age"].is_i64(), "{event:#}");
}

#[tokio::test]
async fn nothing_new_is_an_empty_answer() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.create_room().await;
    let since = alice.sync(None).await.next_batch;
    let sync = alice.sync(Some(since.clone())).await;
    assert!(sync.json["rooms"]["join"].as_object().is_none_or(serde_json::Map::is_empty));
    assert!(sync.account_data().is_empty(), "{:#}", sync.json);
    // The same position can be asked for again.
    let again = alice.sync(Some(since)).await;
    assert_eq!(again.next_batch, sync.next_batch);
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_there_is_something() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let started = Instant::now();
    let poll = tokio::spawn(async move { bob.syncing(Some(since)).timeout(30_000).get().await });
    // Until the poll waits, this is just a sync; afterwards it wakes it. Either must be prompt.
    tokio::task::yield_now().await;
    let event_id = alice.send_text(&room, "hello").await;
    let sync = poll.await.unwrap();
    assert_eq!(sync.timeline(&room).event_ids(), [event_id]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Account data, receipts, typing, invitations: every kind of news wakes a poll.
#[tokio::test]
async fn every_kind_of_news_wakes_a_long_poll() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event_id = alice.send_text(&room, "hello").await;
    let other = alice.create_room().await;
    let news = [
        (
            &bob,
            "PUT",
            path!("v3/user/{}/account_data/org.example.a", bob.user_id),
            json!({ "a": 1 }),
        ),
        (
            &bob,
            "PUT",
            path!("v3/user/{}/rooms/{}/account_data/org.example.b", bob.user_id, room),
            json!({ "b": 1 }),
        ),
        (
            &bob,
            "PUT",
            path!("v3/user/{}/rooms/{}/tags/m.favourite", bob.user_id, room),
            json!({ "order": 0.5 }),
        ),
        (
            &alice,
            "PUT",
            path!("v3/rooms/{}/typing/{}", room, alice.user_id),
            json!({ "typing": true, "timeout": 20_000 }),
        ),
        (&alice, "POST", path!("v3/rooms/{}/receipt/m.read/{}", room, event_id), json!({})),
        (&alice, "POST", path!("v3/rooms/{}/invite", other), json!({ "user_id": bob.user_id })),
        (&bob, "POST", path!("v3/rooms/{}/leave", other), json!({})),
        (&alice, "POST", path!("v3/rooms/{}/kick", room), json!({ "user_id": bob.user_id })),
    ];
    for (user, method, path, body) in news {
        // Until everything that is known has been told.
        let mut since = bob.sync(None).await.next_batch;
        loop {
            let sync = bob.sync(Some(since.clone())).await;
            if sync.next_batch == since {
                break;
            }
            since = sync.next_batch;
        }
        let bobs = bob.clone();
        let sent_since = since.clone();
        let poll = tokio::spawn(async move {
            bobs.syncing(Some(sent_since))
                .with("set_presence", "offline")
                .timeout(30_000)
                .get()
                .await
        });
        tokio::task::yield_now().await;
        let started = Instant::now();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        user.request(method, &path, Some(body.to_string().into_bytes())).await.ok();
        let sync = poll.await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
        assert_ne!(sync.next_batch, since, "{path}: {:#}", sync.json);
    }
}

#[tokio::test]
async fn a_long_poll_ends_at_its_timeout() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let since = alice.syncing(None).with("set_presence", "offline").get().await.next_batch;
    let since = alice.syncing(Some(since)).with("set_presence", "offline").get().await.next_batch;
    let started = Instant::now();
    let poll = alice.syncing(Some(since)).with("set_presence", "offline").timeout(300);
    let sync = poll.get().await;
    assert!(started.elapsed() >= Duration::from_millis(300), "{:#}", sync.json);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_stopping_server_ends_its_long_polls() {
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let since = alice.sync(None).await.next_batch;
    let since = alice.sync(Some(since)).await.next_batch;
    let poll = alice.syncing(Some(since)).timeout(60_000);
    let (answer, ()) = tokio::join!(poll.answer(), async {
        tokio::task::yield_now().await;
        // Something answered after the poll was sent: the poll has arrived.
        server.anonymous().get("versions").await.ok();
        server.stop().await;
    });
    assert_eq!(answer.status, 200, "{answer}");
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let wrong = [
        ("since", "nonsense"),
        ("since", "s999999999999999999999_1"),
        ("timeout", "-1"),
        ("timeout", "soon"),
        ("full_state", "maybe"),
        ("set_presence", "asleep"),
        ("filter", "{"),
        ("filter", "no such filter"),
        ("filter", "{\"room\":1}"),
    ];
    for (name, value) in wrong {
        let answer = alice.syncing(None).with(name, value).answer().await;
        assert!([400, 404].contains(&answer.status), "{name}={value}: {answer}");
        assert!(!answer.errcode().is_empty(), "{answer}");
    }
    server.anonymous().syncing(None).answer().await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_position_survives_a_restart() {
    let mut server = TestServer::durable().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let before = alice.send_text(&room, "before").await;
    server.restart().await;
    let after = alice.send_text(&room, "after").await;
    let sync = bob.sync(Some(since)).await;
    assert_eq!(sync.timeline(&room).event_ids(), [before, after]);
}
