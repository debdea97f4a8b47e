//! Setting, listing and losing pushers.

use kith_spec_tests::{PushGateway, TestServer};
use serde_json::{Value, json};

use super::{pusher, pushkeys, server, set_pusher};

const GATEWAY: &str = "https://push.example/_matrix/push/v1/notify";

#[tokio::test]
async fn a_pusher_is_set_listed_replaced_and_deleted() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    assert_eq!(alice.get("v3/pushers").await.ok(), json!({ "pushers": [] }));
    let mut body = pusher(GATEWAY, "key");
    body["profile_tag"] = "work".into();
    body["data"]["format"] = "event_id_only".into();
    alice.post("v3/pushers/set", body.clone()).await.ok();
    let listed = alice.get("v3/pushers").await.ok()["pushers"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&listed[0][field], value, "{field}");
    }
    assert_eq!(listed[0]["org.matrix.msc3881.enabled"], true);
    assert_eq!(listed[0]["org.matrix.msc3881.device_id"], alice.device_id);
    assert!(pushkeys(&bob).await.is_empty(), "nobody sees another's pushers");

    body["lang"] = "de".into();
    body.as_object_mut().unwrap().remove("profile_tag");
    alice.post("v3/pushers/set", body.clone()).await.ok();
    let listed = alice.get("v3/pushers").await.ok()["pushers"].clone();
    assert_eq!((&listed[0]["lang"], &listed[0]["profile_tag"]), (&json!("de"), &Value::Null));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "the same key: the same pusher");

    let gone = json!({ "kind": null, "app_id": body["app_id"], "pushkey": "key" });
    bob.post("v3/pushers/set", gone.clone()).await.ok();
    assert_eq!(pushkeys(&alice).await, ["key"], "nobody deletes another's pushers");
    alice.post("v3/pushers/set", gone.clone()).await.ok();
    assert!(pushkeys(&alice).await.is_empty());
    alice.post("v3/pushers/set", gone).await.ok();
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let set = async |field: &str, value: Value| {
        let mut body = pusher(GATEWAY, "key");
        body[field] = value;
        alice.post("v3/pushers/set", body).await
    };
    for field in ["app_id", "pushkey", "app_display_name", "device_display_name", "lang", "data"] {
        let mut body = pusher(GATEWAY, "key");
        body.as_object_mut().unwrap().remove(field);
        let error = alice.post("v3/pushers/set", body).await.error(400, "M_MISSING_PARAM");
        assert!(error["error"].as_str().unwrap().contains(field), "{error}");
        set(field, json!(7)).await.error(400, "M_BAD_JSON");
    }
    let mut body = pusher(GATEWAY, "key");
    body.as_object_mut().unwrap().remove("kind");
    alice.post("v3/pushers/set", body).await.error(400, "M_MISSING_PARAM");
    set("kind", json!(7)).await.error(400, "M_BAD_JSON");
    set("kind", json!("email")).await.error(400, "M_INVALID_PARAM");
    set("append", json!("yes")).await.error(400, "M_BAD_JSON");
    set("app_id", "x".repeat(65).into()).await.error(400, "M_INVALID_PARAM");
    set("pushkey", "x".repeat(513).into()).await.error(400, "M_INVALID_PARAM");
    set("pushkey", "".into()).await.error(400, "M_INVALID_PARAM");
    set("lang", "x".repeat(2000).into()).await.error(400, "M_INVALID_PARAM");
    let long = json!({ "url": GATEWAY, "x": "x".repeat(20_000) });
    set("data", long).await.error(400, "M_INVALID_PARAM");
    for url in [
        json!(null),
        json!(7),
        "".into(),
        "push.example".into(),
        "http://push.example/_matrix/push/v1/notify".into(),
        "ftp://push.example/_matrix/push/v1/notify".into(),
        "file:///_matrix/push/v1/notify".into(),
        "https://push.example/".into(),
        "https://push.example/_matrix/push/v1/notify/more".into(),
    ] {
        set("data", json!({ "url": url })).await.error(400, "M_INVALID_PARAM");
    }
    set("data", json!({})).await.error(400, "M_INVALID_PARAM");
    assert!(pushkeys(&alice).await.is_empty());
    server.anonymous().get("v3/pushers").await.error(401, "M_MISSING_TOKEN");
    let body = pusher(GATEWAY, "key");
    server.anonymous().post("v3/pushers/set", body).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_user_has_at_most_fifty_pushers() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for n in 0..50 {
        alice.post("v3/pushers/set", pusher(GATEWAY, &n.to_string())).await.ok();
    }
    let one_more = pusher(GATEWAY, "one more");
    alice.post("v3/pushers/set", one_more).await.error(400, "M_INVALID_PARAM");
    alice.post("v3/pushers/set", pusher(GATEWAY, "7")).await.ok();
    assert_eq!(pushkeys(&alice).await.len(), 50);
}

#[tokio::test]
async fn a_key_belongs_to_one_user_unless_it_is_appended() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.post("v3/pushers/set", pusher(GATEWAY, "shared")).await.ok();
    alice.post("v3/pushers/set", pusher(GATEWAY, "other")).await.ok();
    let mut appended = pusher(GATEWAY, "shared");
    appended["append"] = true.into();
    bob.post("v3/pushers/set", appended).await.ok();
    assert_eq!(pushkeys(&alice).await, ["shared", "other"]);
    assert_eq!(pushkeys(&bob).await, ["shared"]);
    bob.post("v3/pushers/set", pusher(GATEWAY, "shared")).await.ok();
    assert_eq!(pushkeys(&alice).await, ["other"]);
    assert_eq!(pushkeys(&bob).await, ["shared"]);
}

#[tokio::test]
async fn pushers_go_with_their_device() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let logged_out = alice.log_in_again().await;
    let deleted = alice.log_in_again().await;
    for (device, key) in [(&alice, "kept"), (&logged_out, "out"), (&deleted, "deleted")] {
        device.post("v3/pushers/set", pusher(GATEWAY, key)).await.ok();
    }
    assert_eq!(pushkeys(&alice).await, ["kept", "out", "deleted"]);
    logged_out.post("v3/logout", json!({})).await.ok();
    assert_eq!(pushkeys(&alice).await, ["kept", "deleted"]);
    // A new password signs the other devices out.
    let auth = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.user_id },
        "password": alice.password,
    });
    let mut body = json!({ "new_password": "another one", "logout_devices": true });
    let started = alice.post("v3/account/password", body.clone()).await;
    body["auth"] = auth;
    body["auth"]["session"] = started["session"].clone();
    alice.post("v3/account/password", body).await.ok();
    assert_eq!(pushkeys(&alice).await, ["kept"]);
    alice.post("v3/logout/all", json!({})).await.ok();
    let user_id = ruma::UserId::parse(&alice.user_id).unwrap();
    assert!(server.app().pushers.live(&user_id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_device_that_is_gone_hears_nothing_more() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let phone = bob.log_in_again().await;
    phone.post("v3/pushers/set", pusher(&gateway.url(), "phone")).await.ok();
    alice.send_text(&room, "heard").await;
    assert_eq!(gateway.next_event().await["content"]["body"], "heard");
    phone.post("v3/logout", json!({})).await.ok();
    alice.send_text(&room, "unheard").await;
    set_pusher(&bob, &gateway).await;
    alice.send_text(&room, "heard again").await;
    assert_eq!(gateway.next_event().await["content"]["body"], "heard again");
}

#[tokio::test]
async fn pushers_survive_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    alice.post("v3/pushers/set", pusher(GATEWAY, "key")).await.ok();
    server.restart().await;
    assert_eq!(pushkeys(&alice).await, ["key"]);
}

#[tokio::test]
async fn a_pusher_that_is_switched_off_pushes_nothing() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut body = pusher(&gateway.url(), "bob");
    body["org.matrix.msc3881.enabled"] = false.into();
    bob.post("v3/pushers/set", body.clone()).await.ok();
    let listed = bob.get("v3/pushers").await.ok()["pushers"].clone();
    assert_eq!(listed[0]["org.matrix.msc3881.enabled"], false);
    alice.send_text(&room, "unheard").await;
    body["org.matrix.msc3881.enabled"] = true.into();
    bob.post("v3/pushers/set", body).await.ok();
    alice.send_text(&room, "heard").await;
    assert_eq!(gateway.next_event().await["content"]["body"], "heard");
}
