//! Following threads: MSC4306, and the list of changes of MSC4308.

use kith_spec_tests::{TestServer, encode, path};
use serde_json::{Value, json};

use super::relating::reply;

const NOT_IN_THREAD: &str = "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD";
const CONFLICT: &str = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION";
const CHANGES: &str = "unstable/io.element.msc4308/thread_subscriptions?dir=b";

fn subscription(room: &str, root: &str) -> String {
    path!("unstable/io.element.msc4306/rooms/{}/thread/{}/subscription", room, root)
}

#[tokio::test]
async fn a_thread_is_followed_and_left() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let versions = alice.get("versions").await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc4306"], true);
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let subscription = subscription(&room, &root);
    alice.get(&subscription).await.error(404, "M_NOT_FOUND");
    assert_eq!(alice.delete(&subscription, json!({})).await.ok(), json!({}));
    assert_eq!(alice.put(&subscription, json!({})).await.ok(), json!({}));
    assert_eq!(alice.get(&subscription).await.ok(), json!({ "automatic": false }));
    alice.put(&subscription, json!({})).await.ok();
    alice.delete(&subscription, json!({})).await.ok();
    alice.delete(&subscription, json!({})).await.ok();
    alice.get(&subscription).await.error(404, "M_NOT_FOUND");
    let stable = path!("v1/rooms/{}/thread/{}/subscription", room, root);
    alice.put(&stable, json!({})).await.ok();
    assert_eq!(alice.get(&stable).await.ok(), json!({ "automatic": false }));
}

#[tokio::test]
async fn what_the_user_did_stands_against_what_a_client_does_later() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root = alice.send_text(&room, "root").await;
    let first = reply(&bob, &room, &root, "alice, look").await;
    let subscription = subscription(&room, &root);
    let because = |cause: &str| json!({ "automatic": cause });
    alice.put(&subscription, because(&first)).await.ok();
    assert_eq!(alice.get(&subscription).await.ok(), json!({ "automatic": true }));
    // By hand is more, and stays so.
    alice.put(&subscription, json!({})).await.ok();
    alice.put(&subscription, because(&first)).await.ok();
    assert_eq!(alice.get(&subscription).await.ok(), json!({ "automatic": false }));
    // A device that slept knows of an old mention only.
    alice.delete(&subscription, json!({})).await.ok();
    for _ in 0..2 {
        alice.put(&subscription, because(&first)).await.error(409, CONFLICT);
    }
    alice.get(&subscription).await.error(404, "M_NOT_FOUND");
    let second = reply(&bob, &room, &root, "alice, look again").await;
    alice.put(&subscription, because(&second)).await.ok();
    assert_eq!(alice.get(&subscription).await.ok(), json!({ "automatic": true }));
}

#[tokio::test]
async fn a_cause_is_an_event_of_the_thread() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let other = alice.send_text(&room, "another root").await;
    let elsewhere = reply(&alice, &room, &other, "in the other thread").await;
    let subscription = subscription(&room, &root);
    for cause in [&root, &other, &elsewhere, "$nothing"] {
        let body = json!({ "automatic": cause });
        alice.put(&subscription, body).await.error(400, NOT_IN_THREAD);
    }
    alice.put(&subscription, json!({ "automatic": 1 })).await.error(400, "M_BAD_JSON");
    alice.get(&subscription).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_thread_that_one_does_not_see_is_not_found() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let child = reply(&alice, &room, &root, "no thread begins here").await;
    let (real, unknown) = (subscription(&room, &root), subscription("!no:kith.test", "$no"));
    for path in [&real, &unknown] {
        eve.get(path).await.error(404, "M_NOT_FOUND");
        eve.put(path, json!({})).await.error(404, "M_NOT_FOUND");
        eve.delete(path, json!({})).await.error(404, "M_NOT_FOUND");
    }
    assert_eq!(eve.get(&real).await.text, eve.get(&unknown).await.text);
    alice.put(&subscription(&room, &child), json!({})).await.error(404, "M_NOT_FOUND");
    alice.put(&subscription(&room, "$no"), json!({})).await.error(404, "M_NOT_FOUND");
    server.anonymous().put(&real, json!({})).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn the_newest_change_of_each_thread_is_listed_page_by_page() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut roots = Vec::new();
    for n in 0..4 {
        let root = alice.send_text(&room, &n.to_string()).await;
        alice.put(&subscription(&room, &root), json!({})).await.ok();
        roots.push(root);
    }
    alice.delete(&subscription(&room, &roots[0]), json!({})).await.ok();
    bob.put(&subscription(&room, &roots[0]), json!({})).await.ok();

    let all = alice.get(CHANGES).await.ok();
    assert_eq!(all["subscribed"][&room].as_object().unwrap().len(), 3);
    assert_eq!(all["subscribed"][&room][&roots[1]]["automatic"], false);
    assert_eq!(all["unsubscribed"][&room].as_object().unwrap().len(), 1);
    let stamp = |value: &Value| value["bump_stamp"].as_u64().unwrap();
    let unsubscribed = stamp(&all["unsubscribed"][&room][&roots[0]]);
    assert!(unsubscribed > stamp(&all["subscribed"][&room][&roots[3]]));
    assert!(all.get("end").is_none());

    let first = alice.get(&format!("{CHANGES}&limit=2")).await.ok();
    assert_eq!(first["unsubscribed"][&room][&roots[0]]["bump_stamp"], unsubscribed);
    assert!(first["subscribed"][&room][&roots[3]].is_object());
    let from = encode(first["end"].as_str().unwrap());
    let second = alice.get(&format!("{CHANGES}&limit=2&from={from}")).await.ok();
    assert!(second.get("unsubscribed").is_none() && second.get("end").is_none());
    let listed = second["subscribed"][&room].as_object().unwrap();
    assert!(listed.len() == 2 && listed.contains_key(&roots[1]) && listed.contains_key(&roots[2]));

    // `to` is where the client was.
    let since = alice.sync(None).await.next_batch;
    let none = alice.get(&format!("{CHANGES}&to={since}")).await.ok();
    assert_eq!(none, json!({}));
    alice.put(&subscription(&room, &roots[0]), json!({})).await.ok();
    let new = alice.get(&format!("{CHANGES}&to={since}")).await.ok();
    assert_eq!(new["subscribed"][&room].as_object().unwrap().len(), 1);
    assert!(stamp(&new["subscribed"][&room][&roots[0]]) > unsubscribed);

    for wrong in ["&limit=0", "&from=nonsense", "&to=nonsense"] {
        alice.get(&format!("{CHANGES}{wrong}")).await.error(400, "M_INVALID_PARAM");
    }
    server.anonymous().get(CHANGES).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn subscriptions_outlive_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let (kept, left) = (alice.send_text(&room, "1").await, alice.send_text(&room, "2").await);
    for root in [&kept, &left] {
        alice.put(&subscription(&room, root), json!({})).await.ok();
    }
    alice.delete(&subscription(&room, &left), json!({})).await.ok();
    server.restart().await;
    assert_eq!(alice.get(&subscription(&room, &kept)).await.ok(), json!({ "automatic": false }));
    alice.get(&subscription(&room, &left)).await.error(404, "M_NOT_FOUND");
    let all = alice.get(CHANGES).await.ok();
    assert!(all["subscribed"][&room][&kept].is_object());
    assert!(all["unsubscribed"][&room][&left].is_object());
}
