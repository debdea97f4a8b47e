//! Two servers of ours, and people who go to and fro between them.

use kith_spec_tests::{Events, PushGateway, TestServer, path};
use ruma::RoomVersionId;
use serde_json::json;

use super::{NAMED, VERSIONS, join_via, membership, public_room};

#[tokio::test]
async fn people_of_two_servers_meet_in_rooms_of_every_version() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    super::name(&alice).await;
    for version in &VERSIONS {
        let body = json!({ "preset": "private_chat", "room_version": version, "name": "Library" });
        let room = alice.create_room_from(body).await;
        alice.invite(&room, &bob).await;
        let sync = bob.sync(None).await;
        let events = Events(&sync.invited(&room)["invite_state"]["events"]);
        let name = events.with_state_key("m.room.name", "").expect("the name");
        assert_eq!(name["content"]["name"], "Library", "version {version}");
        let inviter = events.with_state_key("m.room.member", &alice.user_id);
        assert_eq!(inviter.expect("who invites")["content"]["displayname"], "alice");
        bob.join(&room).await;
        for user in [&alice, &bob] {
            assert_eq!(membership(user, &room, &bob.user_id).await.as_deref(), Some("join"));
        }
        let ids = |state: serde_json::Value| {
            let mut ids = kith_spec_tests::event_ids(&state);
            ids.sort();
            ids
        };
        let (ours, theirs) = (alice.full_state(&room).await, bob.full_state(&room).await);
        assert_eq!(ids(ours), ids(theirs), "version {version}");
    }
}

#[tokio::test]
async fn whoever_declines_is_not_invited_any_more_on_either_side() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    for version in &VERSIONS {
        let room = alice.create_room_from(json!({ "room_version": version })).await;
        alice.invite(&room, &bob).await;
        bob.leave(&room).await;
        assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("leave"));
        assert!(bob.sync(None).await.invited(&room).is_null());
        alice.invite(&room, &bob).await;
        assert!(bob.sync(None).await.invited(&room).is_object());
        bob.join(&room).await;
    }
}

#[tokio::test]
async fn people_knock_at_rooms_of_other_servers() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    for version in VERSIONS.iter().skip(1) {
        let rule = json!({ "join_rule": "knock" });
        let state = json!([{ "type": "m.room.join_rules", "state_key": "", "content": rule }]);
        let body = json!({ "room_version": version, "initial_state": state });
        let room = alice.create_room_from(body).await;
        let knock = format!("{}?via={}", path!("v3/knock/{}", room), home.name());
        bob.post(&knock, json!({})).await.ok();
        assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("knock"));
        assert!(bob.sync(None).await.knocked(&room).is_object());
        // Taken back, and once more.
        bob.leave(&room).await;
        assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("leave"));
        bob.post(&knock, json!({})).await.ok();
        alice.invite(&room, &bob).await;
        assert!(bob.sync(None).await.invited(&room).is_object(), "version {version}");
        bob.join(&room).await;
        assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("join"));
    }
}

#[tokio::test]
async fn a_room_is_left_and_entered_again() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    for version in &VERSIONS {
        let room = public_room(&alice, version).await;
        join_via(&bob, &room, home.name()).await.ok();
        bob.leave(&room).await;
        alice.set_state(&room, "m.room.topic", "", json!({ "topic": "while you were out" })).await;
        join_via(&bob, &room, home.name()).await.ok();
        let topic = bob.state(&room, "m.room.topic", "").await;
        assert_eq!(topic["topic"], "while you were out", "version {version}");
        assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("join"));
    }
}

#[tokio::test]
async fn a_room_is_found_by_its_alias_on_the_other_server() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let body =
        json!({ "preset": "public_chat", "room_alias_name": "library", "room_version": NAMED });
    let room = alice.create_room_from(body).await;
    let alias = format!("#library:{}", home.name());
    let answer = bob.post(&path!("v3/join/{}", alias), json!({})).await.ok();
    assert_eq!(answer["room_id"], room);
}

#[tokio::test]
async fn sliding_sync_shows_invites_of_other_servers_and_their_end() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let room = alice.create_room_from(json!({ "name": "Library" })).await;
    let mut connection = bob.sliding_list(20, json!([["*", "*"]]));
    connection.next().await;
    alice.invite(&room, &bob).await;
    let slide = connection.wait(5_000).await;
    let stripped = Events(&slide.room(&room)["invite_state"]);
    let name = stripped.with_state_key("m.room.name", "").expect("the name");
    assert_eq!(name["content"]["name"], "Library");
    assert!(stripped.with_state_key("m.room.member", &bob.user_id).is_some());
    bob.join(&room).await;
    let slide = connection.until(|slide| slide.room(&room)["name"] == "Library").await;
    assert!(slide.room(&room)["invite_state"].is_null());
}

#[tokio::test]
async fn an_invite_of_another_server_is_pushed() {
    let home = TestServer::federating().await;
    let away = TestServer::federating().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let pusher = json!({
        "kind": "http", "app_id": "test.kith.app", "pushkey": "bob", "app_display_name": "App",
        "device_display_name": "Phone", "lang": "en", "data": { "url": gateway.url() },
    });
    bob.post("v3/pushers/set", pusher).await.ok();
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    let push = gateway.next_event().await;
    assert_eq!(push["room_id"], room);
    assert_eq!((&push["type"], &push["user_is_target"]), (&json!("m.room.member"), &json!(true)));
    assert_eq!(push["sender"], alice.user_id);
}

#[tokio::test]
async fn whoever_is_put_out_or_uninvited_hears_of_it() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    for version in [NAMED, RoomVersionId::V12] {
        let room = alice.create_room_from(json!({ "room_version": version })).await;
        alice.invite(&room, &bob).await;
        let since = bob.sync(None).await.next_batch;
        alice.kick(&room, &bob).await;
        let sync = bob.sync_until(since, |sync| sync.left(&room).is_object()).await;
        assert!(bob.sync(None).await.invited(&room).is_null());
        alice.invite(&room, &bob).await;
        bob.join(&room).await;
        alice.kick(&room, &bob).await;
        let sync = bob
            .sync_until(sync.next_batch, |sync| {
                let left = sync.timeline(&room);
                left.last("m.room.member").is_some_and(|event| event["sender"] == alice.user_id)
                    && sync.left(&room).is_object()
            })
            .await;
        assert!(!sync.next_batch.is_empty());
    }
}

#[tokio::test]
async fn members_of_other_servers_follow_an_upgrade() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let room = public_room(&alice, &NAMED).await;
    join_via(&bob, &room, home.name()).await.ok();
    let since = bob.sync(None).await.next_batch;
    let path = path!("v3/rooms/{}/upgrade", room);
    let new = alice.post(&path, json!({ "new_version": "12" })).await.ok();
    let new = new["replacement_room"].as_str().expect("a room ID").to_owned();
    let told = |sync: &kith_spec_tests::Sync| {
        let tombstone = sync.timeline(&room).last("m.room.tombstone").cloned();
        tombstone.is_some_and(|event| event["content"]["replacement_room"] == new.as_str())
    };
    bob.sync_until(since, told).await;
    join_via(&bob, &new, home.name()).await.ok();
    let create = bob.state(&new, "m.room.create", "").await;
    assert_eq!(create["predecessor"]["room_id"], room);
}

/// An account that is closed leaves nothing pending on other servers.
#[tokio::test]
async fn a_closed_account_declines_its_invites() {
    let (home, away) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (home.register("alice").await, away.register("bob").await);
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    let auth = json!({
        "type": "m.login.password", "password": bob.password,
        "identifier": { "type": "m.id.user", "user": bob.user_id },
    });
    bob.post("v3/account/deactivate", json!({ "auth": auth })).await.ok();
    assert_eq!(membership(&alice, &room, &bob.user_id).await.as_deref(), Some("leave"));
    let again = json!({ "user_id": bob.user_id });
    alice.post(&path!("v3/rooms/{}/invite", room), again).await.error(403, "M_FORBIDDEN");
}
