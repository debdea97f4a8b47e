//! Reports to the administrators: rooms, events and users.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#reporting-content)

use kith_homeserver::config::RateLimit;
use kith_spec_tests::{TestServer, TestUser, path};
use serde_json::{Value, json};

async fn reports(server: &TestServer, admin: &TestUser, query: &str) -> Value {
    let user_id = <&ruma::UserId>::try_from(admin.user_id.as_str()).unwrap();
    server.app().users.set_admin(user_id, true).await.unwrap();
    // Tokens say whether their user is an administrator when they are made.
    let admin = admin.log_in_again().await;
    admin.get(&format!("/_kith/admin/v1/reports{query}")).await.ok()
}

#[tokio::test]
async fn administrators_read_what_was_reported() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let event = alice.send_text(&room, "rude").await;
    let reason = |text: &str| json!({ "reason": text });
    let about_event = path!("v3/rooms/{}/report/{}", room, event);
    assert_eq!(bob.post(&about_event, reason("rude")).await.ok(), json!({}));
    assert_eq!(bob.post(&about_event, json!({})).await.ok(), json!({}));
    let about_room = path!("v3/rooms/{}/report", room);
    assert_eq!(bob.post(&about_room, reason("all of it")).await.ok(), json!({}));
    let about_user = path!("v3/users/{}/report", alice.user_id);
    assert_eq!(bob.post(&about_user, reason("")).await.ok(), json!({}));
    bob.post(&about_user, json!({})).await.error(400, "M_BAD_JSON");

    let list = reports(&server, &alice, "").await;
    let list = list["reports"].as_array().unwrap();
    let about: Vec<_> = list.iter().map(|report| report["about"].as_str().unwrap()).collect();
    assert_eq!(about, ["user", "room", "event", "event"]);
    assert_eq!((&list[3]["reason"], &list[2]["reason"]), (&json!("rude"), &json!("")));
    assert_eq!(list[3]["event_id"], event.as_str());
    assert_eq!(list[3]["sender"], alice.user_id.as_str());
    assert_eq!(list[3]["reporter"], bob.user_id.as_str());
    assert_eq!(list[1]["room_id"], room.as_str());
    assert_eq!(list[0]["user_id"], alice.user_id.as_str());
    assert!(list[0]["received"].is_u64());
    let page = reports(&server, &alice, "?limit=1").await;
    assert_eq!(page["reports"][0]["about"], "user");
    let next = page["next"].as_u64().unwrap();
    let page = reports(&server, &alice, &format!("?limit=1&before={next}")).await;
    assert_eq!(page["reports"][0]["about"], "room");

    bob.get("/_kith/admin/v1/reports").await.error(403, "M_FORBIDDEN");
    server.anonymous().get("/_kith/admin/v1/reports").await.error(401, "M_MISSING_TOKEN");
}

/// Nobody finds out what exists by reporting it; and nothing is kept of what does not, or of an
/// event of a room that the reporter is not in.
#[tokio::test]
async fn reports_are_answered_alike_whatever_they_are_about() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_room().await;
    let event = alice.send_text(&room, "secret").await;
    let body = json!({ "reason": "guessing" });
    for path in [
        path!("v3/rooms/{}/report/{}", room, event),
        path!("v3/rooms/{}/report/{}", room, "$no"),
        path!("v3/rooms/{}/report/{}", "!no:kith.test", event),
        path!("v3/rooms/{}/report", "!no:kith.test"),
        path!("v3/users/{}/report", "@nobody:kith.test"),
        // This one is kept: who was invited sees a room without being in it.
        path!("v3/rooms/{}/report", room),
    ] {
        let answer = eve.post(&path, body.clone()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{}"), "{path}");
        server.anonymous().post(&path, body.clone()).await.error(401, "M_MISSING_TOKEN");
    }
    let list = reports(&server, &alice, "").await;
    let list = list["reports"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["about"]), (1, &json!("room")), "{list:#?}");
}

#[tokio::test]
async fn reports_are_limited_in_size_and_number() {
    let server = TestServer::with(|config| {
        config.rate_limits.enabled = true;
        config.rate_limits.report = RateLimit::On { per_second: 0.001, burst: 3 };
    })
    .await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let path = path!("v3/rooms/{}/report", room);
    let long = json!({ "reason": "x".repeat(10_000) });
    alice.post(&path, long).await.error(413, "M_TOO_LARGE");
    for _ in 0..2 {
        alice.post(&path, json!({ "reason": "x" })).await.ok();
    }
    alice.post(&path, json!({ "reason": "x" })).await.error(429, "M_LIMIT_EXCEEDED");
    let user = path!("v3/users/{}/report", alice.user_id);
    alice.post(&user, json!({ "reason": "x" })).await.error(429, "M_LIMIT_EXCEEDED");
}
