//! What users tell of themselves.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn a_new_user_is_called_by_the_name_that_they_chose_and_a_stranger_is_not_there() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let nobody = server.anonymous();
    let profile = path!("v3/profile/{}", alice.user_id);
    assert_eq!(nobody.get(&profile).await.ok(), json!({ "displayname": "alice" }));
    let name = path!("v3/profile/{}/displayname", alice.user_id);
    assert_eq!(nobody.get(&name).await.ok(), json!({ "displayname": "alice" }));
    let avatar = path!("v3/profile/{}/avatar_url", alice.user_id);
    nobody.get(&avatar).await.error(404, "M_NOT_FOUND");
    nobody.get("v3/profile/@bob:kith.test").await.error(404, "M_NOT_FOUND");
    nobody.get("v3/profile/@bob:kith.test/displayname").await.error(404, "M_NOT_FOUND");
    nobody.get("v3/profile/bob").await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn everybody_sees_what_a_user_sets() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let fields = [
        ("displayname", json!("Alice 🦊")),
        ("avatar_url", json!("mxc://kith.test/abc")),
        ("m.tz", json!("Europe/Prague")),
        ("com.example.pronouns", json!([{ "language": "en", "summary": "she/her" }])),
        ("com.example.nothing", json!(null)),
    ];
    let mut expected = json!({});
    for (field, value) in fields {
        let path = path!("v3/profile/{}/{}", alice.user_id, field);
        alice.put(&path, json!({ field: value })).await.ok();
        assert_eq!(bob.get(&path).await.ok(), json!({ field: value }));
        expected[field] = value;
    }
    let profile = bob.get(&path!("v3/profile/{}", alice.user_id)).await.ok();
    assert_eq!(profile, expected);
}

#[tokio::test]
async fn a_deleted_field_is_gone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for field in ["displayname", "com.example.x"] {
        let path = path!("v3/profile/{}/{}", alice.user_id, field);
        alice.put(&path, json!({ field: "y" })).await.ok();
        alice.delete(&path, json!({})).await.ok();
        alice.get(&path).await.error(404, "M_NOT_FOUND");
        // Deleting what is not there succeeds.
        alice.delete(&path, json!({})).await.ok();
    }
    let path = path!("v3/profile/{}/displayname", alice.user_id);
    alice.put(&path, json!({ "displayname": "Alice" })).await.ok();
    alice.put(&path, json!({ "displayname": "" })).await.ok();
    alice.get(&path).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn nobody_changes_another_users_profile() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let path = path!("v3/profile/{}/displayname", alice.user_id);
    let name = json!({ "displayname": "Mallory" });
    bob.put(&path, name.clone()).await.error(403, "M_FORBIDDEN");
    bob.delete(&path, json!({})).await.error(403, "M_FORBIDDEN");
    server.anonymous().put(&path, name).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn malformed_fields_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let field = |field: &str| path!("v3/profile/{}/{}", alice.user_id, field);
    let refused = [
        ("displayname", json!({ "name": "Alice" }), "M_MISSING_PARAM"),
        ("displayname", json!({ "displayname": 7 }), "M_INVALID_PARAM"),
        ("displayname", json!({ "displayname": null }), "M_INVALID_PARAM"),
        ("displayname", json!({ "displayname": "x".repeat(1025) }), "M_INVALID_PARAM"),
        ("avatar_url", json!({ "avatar_url": "https://kith.test/a.png" }), "M_INVALID_PARAM"),
        ("m.tz", json!({ "m.tz": [] }), "M_INVALID_PARAM"),
        ("Com.Example", json!({ "Com.Example": 1 }), "M_INVALID_PARAM"),
        ("displayname", json!([]), "M_BAD_JSON"),
    ];
    for (name, body, errcode) in refused {
        alice.put(&field(name), body).await.error(400, errcode);
    }
    let not_json = Some(b"{".to_vec());
    let method = "PUT".parse().expect("a method");
    alice.request(method, &field("displayname"), not_json).await.error(400, "M_NOT_JSON");
}

#[tokio::test]
async fn profiles_and_their_keys_have_limits() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = |field: &str| path!("v3/profile/{}/{}", alice.user_id, field);
    let long = "a".repeat(256);
    alice.put(&path(&long), json!({ &long: 1 })).await.error(400, "M_KEY_TOO_LARGE");
    let fits = "a".repeat(255);
    alice.put(&path(&fits), json!({ &fits: 1 })).await.ok();
    let half = "x".repeat(40_000);
    alice.put(&path("com.example.a"), json!({ "com.example.a": half })).await.ok();
    let refused = alice.put(&path("com.example.b"), json!({ "com.example.b": half })).await;
    refused.error(400, "M_PROFILE_TOO_LARGE");
    alice.put(&path("com.example.a"), json!({ "com.example.a": "" })).await.ok();
    alice.put(&path("com.example.b"), json!({ "com.example.b": half })).await.ok();
}

#[tokio::test]
async fn a_new_name_reaches_the_rooms_and_keeps_everything_else() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let path = path!("v3/profile/{}/displayname", bob.user_id);
    bob.put(&path, json!({ "displayname": "Bob B." })).await.ok();
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["displayname"], "Bob B.");
    assert_eq!(member["membership"], "join");
    let avatar = path!("v3/profile/{}/avatar_url", bob.user_id);
    bob.put(&avatar, json!({ "avatar_url": "mxc://kith.test/bob" })).await.ok();
    bob.delete(&path, json!({})).await.ok();
    let member = alice.state(&room, "m.room.member", &bob.user_id).await;
    assert_eq!(member["avatar_url"], "mxc://kith.test/bob");
    assert!(member.get("displayname").is_none(), "{member:#}");
}

#[tokio::test]
async fn guests_may_set_their_name_alone() {
    let server = TestServer::with(|config| config.registration.guests = true).await;
    let nobody = server.anonymous();
    let answer = nobody.post("v3/register?kind=guest", json!({})).await;
    let guest = nobody.signed_in(&answer, "");
    let name = path!("v3/profile/{}/displayname", guest.user_id);
    guest.put(&name, json!({ "displayname": "Guest" })).await.ok();
    let avatar = path!("v3/profile/{}/avatar_url", guest.user_id);
    let refused = guest.put(&avatar, json!({ "avatar_url": "mxc://kith.test/a" })).await;
    refused.error(403, "M_GUEST_ACCESS_FORBIDDEN");
}
