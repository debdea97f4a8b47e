//! Messages between devices of two servers.

use kith_spec_tests::{RemoteReply as Reply, RemoteServer, path};
use serde_json::{Value, json};

use super::together::Together;

const KIND: &str = "m.direct_to_device";

fn edu(sender: &str, id: &str, messages: Value) -> Value {
    let content =
        json!({ "sender": sender, "type": "m.test", "message_id": id, "messages": messages });
    json!({ "edu_type": KIND, "content": content })
}

async fn send(t: &Together, n: usize) {
    let path = path!("v3/sendToDevice/{}/{}", "m.test", t.alice.new_transaction());
    let messages = json!({ &t.bob: { "PHONE": { "n": n }, "*": { "n": n } } });
    t.alice.put(&path, json!({ "messages": messages })).await.ok();
}

/// The numbers that the peer was sent, in order, each as often as it came.
fn numbers(remote: &RemoteServer) -> Vec<u64> {
    let asked = remote.asked();
    let edus = asked.iter().flat_map(|asked| asked.edus()).filter(|edu| edu["edu_type"] == KIND);
    edus.flat_map(|edu| edu["content"]["messages"].as_object().expect("messages").values())
        .map(|devices| devices["PHONE"]["n"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn a_message_reaches_the_other_server_once() {
    let t = Together::start().await;
    let path = path!("v3/sendToDevice/{}/{}", "m.test", "again");
    let messages = json!({ &t.bob: { "PHONE": { "n": 1 } }, "@x:kith.other": {} });
    for _ in 0..3 {
        t.alice.put(&path, json!({ "messages": messages })).await.ok();
    }
    send(&t, 2).await;
    let edu = t.remote.wait_for_edu(KIND, |edu| edu["content"]["messages"][&t.bob]["*"]["n"] == 2);
    let edu = edu.await;
    assert_eq!(numbers(&t.remote), [1, 2]);
    assert_eq!(edu["content"]["sender"], t.alice.user_id);
    assert_eq!(edu["content"]["type"], "m.test");
    assert!(!edu["content"]["message_id"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn messages_wait_for_a_server_that_is_down_over_a_restart() {
    let mut t = Together::durable().await;
    t.remote.stop().await;
    for n in 0..150 {
        send(&t, n).await;
    }
    t.server.restart().await;
    t.remote.start_again().await;
    t.edus(Vec::new()).await;
    let is_last = |edu: &Value| edu["content"]["messages"][&t.bob]["PHONE"]["n"] == 149;
    t.remote.wait_for_edu(KIND, is_last).await;
    assert_eq!(numbers(&t.remote), (0..150).collect::<Vec<_>>());
    for asked in t.remote.asked() {
        assert!(asked.edus().count() <= 100);
    }
}

#[tokio::test]
async fn a_message_that_was_not_taken_comes_again() {
    let t = Together::start().await;
    t.remote.answer("PUT", "v1/send/{}", |_| Reply::error(500, "M_UNKNOWN"));
    send(&t, 1).await;
    t.remote.wait_for_edu(KIND, |_| true).await;
    t.remote.answer_as_usual();
    send(&t, 2).await;
    let is_second = |edu: &Value| edu["content"]["messages"][&t.bob]["PHONE"]["n"] == 2;
    t.remote.wait_for_edu(KIND, is_second).await;
    assert_eq!(numbers(&t.remote).first(), Some(&1));
    assert_eq!(numbers(&t.remote)[numbers(&t.remote).len() - 2..], [1, 2]);
}

#[tokio::test]
async fn what_the_other_server_sends_reaches_its_device_once() {
    let t = Together::start().await;
    let tablet = t.alice.log_in_again().await;
    let since = t.alice.sync(None).await.next_batch;
    let to_phone = json!({ &t.alice.user_id: { &t.alice.device_id: { "n": 1 } } });
    for _ in 0..2 {
        t.edus(vec![edu(&t.bob, "1", to_phone.clone())]).await;
    }
    let to_all = json!({ &t.alice.user_id: { "*": { "n": 2 } }, "@nobody:kith.test": { "*": {} } });
    t.edus(vec![edu(&t.bob, "2", to_all)]).await;
    let sync = t.alice.sync(Some(since)).await;
    let event = |n| json!({ "type": "m.test", "sender": t.bob, "content": { "n": n } });
    assert_eq!(*sync.to_device().0, json!([event(1), event(2)]));
    assert_eq!(*tablet.sync(None).await.to_device().0, json!([event(2)]));
}

#[tokio::test]
async fn nobody_sends_in_the_name_of_others() {
    let t = Together::start().await;
    let other = RemoteServer::start().await;
    let messages = json!({ &t.alice.user_id: { "*": { "n": 1 } } });
    let users = [other.user("carol"), t.alice.user_id.clone()];
    t.edus(users.iter().map(|user| edu(user, "1", messages.clone())).collect()).await;
    t.edus(vec![edu(&t.bob, "1", messages)]).await;
    let sync = t.alice.sync(None).await;
    let senders: Vec<_> = sync.to_device().iter().map(|event| &event["sender"]).collect();
    assert_eq!(senders, [&json!(t.bob)]);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_passed_over() {
    let t = Together::start().await;
    let large = json!({ &t.alice.user_id: { "*": { "n": "x".repeat(70_000) } } });
    let small = json!({ &t.alice.user_id: { "*": { "n": 1 } } });
    t.edus(vec![edu(&t.bob, "1", large), edu(&t.bob, "2", small)]).await;
    assert_eq!(t.alice.sync(None).await.to_device().iter().count(), 1);
}
