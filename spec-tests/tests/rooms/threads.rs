//! A room's threads.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#threading)

use kith_spec_tests::{TestServer, TestUser, encode, event_ids, path};
use serde_json::{Value, json};

use super::relating::{edit, ignore, react, reply};

async fn threads(user: &TestUser, room: &str, query: &str) -> Value {
    user.get(&format!("v1/rooms/{}/threads?{query}", encode(room))).await.ok()
}

async fn roots(user: &TestUser, room: &str) -> Vec<String> {
    event_ids(&threads(user, room, "").await["chunk"])
}

#[tokio::test]
async fn threads_are_listed_by_their_newest_event() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    assert_eq!(threads(&alice, &room, "").await, json!({ "chunk": [] }));
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(alice.send_text(&room, &n.to_string()).await);
    }
    let [a, b, c, unthreaded] = &sent[..] else { panic!("four were sent") };
    reply(&alice, &room, a, "a1").await;
    reply(&alice, &room, b, "b1").await;
    reply(&bob, &room, c, "c1").await;
    let last = reply(&bob, &room, a, "a2").await;
    react(&bob, &room, unthreaded, "👍").await;
    assert_eq!(roots(&alice, &room).await, [a.clone(), c.clone(), b.clone()]);
    // Wherever the newest event goes, the thread follows.
    bob.redact(&room, &last).await;
    assert_eq!(roots(&alice, &room).await, [c.clone(), b.clone(), a.clone()]);
    reply(&bob, &room, b, "b2").await;
    assert_eq!(roots(&alice, &room).await, [b.clone(), c.clone(), a.clone()]);
    // A root that is redacted still has its thread.
    alice.redact(&room, c).await;
    assert_eq!(roots(&alice, &room).await, [b.clone(), c.clone(), a.clone()]);
}

#[tokio::test]
async fn a_thread_whose_events_are_all_redacted_is_none() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let mut replies = Vec::new();
    for n in 0..3 {
        replies.push(reply(&alice, &room, &root, &n.to_string()).await);
    }
    for reply in [1, 2, 0] {
        assert_eq!(roots(&alice, &room).await, [root.clone()]);
        alice.redact(&room, &replies[reply]).await;
    }
    assert_eq!(roots(&alice, &room).await, [""; 0]);
}

#[tokio::test]
async fn threads_come_page_by_page() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut sent = Vec::new();
    for n in 0..5 {
        let root = alice.send_text(&room, &n.to_string()).await;
        reply(&alice, &room, &root, "reply").await;
        sent.insert(0, root);
    }
    let (mut seen, mut from) = (Vec::new(), String::new());
    loop {
        let page = threads(&alice, &room, &format!("limit=2{from}")).await;
        seen.extend(event_ids(&page["chunk"]));
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={}", encode(next));
        // New threads do not disturb whoever reads on.
        let root = alice.send_text(&room, "new").await;
        reply(&alice, &room, &root, "reply").await;
    }
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn participated_threads_are_those_one_wrote_in() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let own = bob.send_text(&room, "bob's").await;
    let answered = alice.send_text(&room, "answered by bob").await;
    let foreign = alice.send_text(&room, "not bob's").await;
    for root in [&own, &answered, &foreign] {
        reply(&alice, &room, root, "alice was here").await;
    }
    reply(&bob, &room, &answered, "bob was here").await;
    react(&bob, &room, &foreign, "👍").await;
    let of_bob = threads(&bob, &room, "include=participated").await;
    assert_eq!(event_ids(&of_bob["chunk"]), [answered.clone(), own.clone()]);
    let all = threads(&bob, &room, "include=all").await;
    assert_eq!(event_ids(&all["chunk"]), [answered, foreign, own]);
}

#[tokio::test]
async fn the_root_of_somebody_ignored_comes_without_its_content() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = bob.send_text(&room, "bob's").await;
    edit(&bob, &room, &root, "bob's again").await;
    reply(&alice, &room, &root, "reply").await;
    let lonely = bob.send_text(&room, "only bob").await;
    reply(&bob, &room, &lonely, "talks to himself").await;
    ignore(&alice, &bob).await;
    let list = threads(&alice, &room, "").await;
    assert_eq!(event_ids(&list["chunk"]), [root], "{list:#}");
    assert_eq!(list["chunk"][0]["content"], json!({}));
    let bundle = &list["chunk"][0]["unsigned"]["m.relations"];
    assert_eq!((&bundle["m.thread"]["count"], bundle.get("m.replace")), (&json!(1), None));
}

#[tokio::test]
async fn threads_of_a_room_that_one_may_not_read_are_refused() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    reply(&alice, &room, &root, "reply").await;
    let path = path!("v1/rooms/{}/threads", room);
    let private = eve.get(&path).await;
    let unknown = eve.get(&path!("v1/rooms/{}/threads", "!no:kith.test")).await;
    assert_eq!(private.text, unknown.text);
    private.error(403, "M_FORBIDDEN");
    for wrong in ["from=nonsense", "limit=0", "include=some"] {
        alice.get(&format!("{path}?{wrong}")).await.error(400, "M_INVALID_PARAM");
    }
    server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
    // Who leaves sees the threads as they were.
    alice.invite(&room, &eve).await;
    eve.join(&room).await;
    eve.leave(&room).await;
    let later = alice.send_text(&room, "later").await;
    reply(&alice, &room, &later, "reply").await;
    assert_eq!(roots(&eve, &room).await, [root]);
}

#[tokio::test]
async fn no_thread_begins_with_an_event_that_is_in_a_relation() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let child = reply(&alice, &room, &root, "child").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": child });
    let content = json!({ "msgtype": "m.text", "body": "deeper", "m.relates_to": relation });
    let path = path!("v3/rooms/{}/send/m.room.message/{}", room, "t");
    alice.put(&path, content).await.error(400, "M_UNKNOWN");
    // An answer without a relation type is no child.
    let relation = json!({ "m.in_reply_to": { "event_id": root } });
    let content = json!({ "msgtype": "m.text", "body": "answer", "m.relates_to": relation });
    let answer = alice.send(&room, "m.room.message", content).await;
    reply(&alice, &room, &answer, "a thread of its own").await;
    assert_eq!(roots(&alice, &room).await, [answer, root]);
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#threaded-read-receipts)
#[tokio::test]
async fn a_receipt_is_for_the_thread_that_the_event_is_in() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let other = alice.send_text(&room, "other").await;
    let child = reply(&alice, &room, &root, "child").await;
    let indirect = edit(&alice, &room, &child, "child, edited").await;
    let of_root = react(&alice, &room, &root, "👍").await;
    let receipt = async |event: &str, thread: &str| {
        let path = path!("v3/rooms/{}/receipt/m.read/{}", room, event);
        alice.post(&path, json!({ "thread_id": thread })).await
    };
    for (event, thread) in [
        (&root, "main"),
        (&root, root.as_str()),
        (&other, "main"),
        (&child, &root),
        (&indirect, &root),
        (&of_root, "main"),
    ] {
        receipt(event, thread).await.ok();
    }
    for (event, thread) in [
        (&child, "main"),
        (&indirect, "main"),
        (&child, other.as_str()),
        (&other, &root),
        (&of_root, &root),
        (&other, "$unknown"),
    ] {
        receipt(event, thread).await.error(400, "M_INVALID_PARAM");
    }
}
