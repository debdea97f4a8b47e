//! Which rooms a list shows, and in which order.

use kith_spec_tests::{Slide, TestServer, TestUser, path};
use serde_json::{Value, json};

fn list(ranges: Value, filters: Value) -> Value {
    json!({ "lists": { "l": {
        "ranges": ranges, "timeline_limit": 1, "required_state": [], "filters": filters,
    } } })
}

/// The rooms of an answer, in order of creation in these tests.
fn shown(slide: &Slide, rooms: &[String]) -> Vec<usize> {
    (0..rooms.len()).filter(|n| !slide.room(&rooms[*n]).is_null()).collect()
}

async fn rooms(user: &TestUser, count: usize) -> Vec<String> {
    let mut rooms = Vec::new();
    for _ in 0..count {
        rooms.push(user.create_room().await);
    }
    rooms
}

#[tokio::test]
async fn a_window_shows_the_rooms_with_the_latest_activity() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = rooms(&alice, 5).await;
    alice.send_text(&rooms[0], "I am first now").await;
    let mut connection = alice.sliding(list(json!([[0, 1]]), json!({})));
    let slide = connection.next().await;
    assert_eq!(shown(&slide, &rooms), [0, 4]);
    assert_eq!(slide.count("l"), 5);
    // What happens outside of the window brings the room into it.
    alice.send_text(&rooms[1], "now I am").await;
    let slide = connection.next().await;
    assert_eq!(shown(&slide, &rooms), [1]);
    assert_eq!(slide.room(&rooms[1])["initial"], true);
    assert_eq!(slide.room(&rooms[1])["num_live"], 1);
}

#[tokio::test]
async fn a_growing_window_shows_only_what_was_not_shown() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = rooms(&alice, 6).await;
    let mut connection = alice.sliding(list(json!([[0, 1]]), json!({})));
    assert_eq!(shown(&connection.next().await, &rooms), [4, 5]);
    connection.body = list(json!([[0, 3]]), json!({}));
    assert_eq!(shown(&connection.next().await, &rooms), [2, 3]);
    connection.body = list(json!([[0, 99]]), json!({}));
    assert_eq!(shown(&connection.next().await, &rooms), [0, 1]);
    assert!(connection.next().await.is_empty());
}

#[tokio::test]
async fn several_ranges_are_one_union() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = rooms(&alice, 6).await;
    let mut connection = alice.sliding(list(json!([[0, 0], [2, 3], [3, 3], [50, 60]]), json!({})));
    assert_eq!(shown(&connection.next().await, &rooms), [2, 3, 5]);
}

/// News of a room that slid out of the window are not lost: they come when it is back.
#[tokio::test]
async fn news_outside_of_the_window_wait_until_it_covers_them() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = rooms(&alice, 3).await;
    let mut connection = alice.sliding(list(json!([[0, 2]]), json!({})));
    connection.next().await;
    connection.body = list(json!([[0, 0]]), json!({}));
    let first = alice.send_text(&rooms[0], "missed").await;
    alice.send_text(&rooms[1], "on top").await;
    assert_eq!(shown(&connection.next().await, &rooms), [1]);
    connection.body = list(json!([[0, 2]]), json!({}));
    let slide = connection.next().await;
    assert_eq!(shown(&slide, &rooms), [0]);
    assert!(slide.room(&rooms[0])["initial"].is_null());
    assert_eq!(slide.timeline(&rooms[0]).event_ids(), [first.as_str()]);
}

/// A list that a request leaves out shows nothing in that answer.
#[tokio::test]
async fn lists_are_not_sticky() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rooms = rooms(&alice, 1).await;
    let body = list(json!([[0, 9]]), json!({}));
    let mut connection = alice.sliding(body.clone());
    connection.next().await;
    alice.send_text(&rooms[0], "unseen").await;
    connection.body = json!({});
    let slide = connection.next().await;
    assert!(slide.is_empty() && slide.count("l").is_null());
    connection.body = body;
    assert_eq!(connection.next().await.timeline(&rooms[0]).bodies(), ["unseen"]);
}

#[tokio::test]
async fn filters_choose_rooms() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let plain = alice.create_room().await;
    let dm = alice.create_room().await;
    let encrypted = alice.create_room().await;
    let body = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    alice.put(&path!("v3/rooms/{}/state/m.room.encryption/", encrypted), body).await.ok();
    let space = json!({ "creation_content": { "type": "m.space" } });
    let space = alice.create_room_from(space).await;
    let invited = bob.create_room().await;
    bob.invite(&invited, &alice).await;
    let direct = json!({ bob.user_id.clone(): [dm] });
    alice.put(&path!("v3/user/{}/account_data/m.direct", alice.user_id), direct).await.ok();
    let child = json!({ "via": ["kith.test"] });
    alice.put(&path!("v3/rooms/{}/state/m.space.child/{}", space, plain), child).await.ok();
    let tag = path!("v3/user/{}/rooms/{}/tags/m.favourite", alice.user_id, plain);
    alice.put(&tag, json!({})).await.ok();

    let all = [plain, dm, encrypted, space.clone(), invited];
    let cases = [
        (json!({}), vec![0, 1, 2, 3, 4]),
        (json!({ "is_dm": true }), vec![1]),
        (json!({ "is_dm": false }), vec![0, 2, 3, 4]),
        (json!({ "is_encrypted": true }), vec![2]),
        (json!({ "is_encrypted": false }), vec![0, 1, 3, 4]),
        (json!({ "is_invite": true }), vec![4]),
        (json!({ "is_invite": false }), vec![0, 1, 2, 3]),
        (json!({ "is_invited": true }), vec![4]),
        (json!({ "room_types": ["m.space"] }), vec![3]),
        (json!({ "room_types": [null] }), vec![0, 1, 2, 4]),
        (json!({ "room_types": [] }), vec![]),
        (json!({ "not_room_types": ["m.space"] }), vec![0, 1, 2, 4]),
        (json!({ "room_types": ["m.space"], "not_room_types": ["m.space"] }), vec![]),
        (json!({ "spaces": [space] }), vec![0]),
        (json!({ "spaces": ["!nowhere:kith.test"] }), vec![]),
        (json!({ "tags": ["m.favourite"] }), vec![0]),
        (json!({ "not_tags": ["m.favourite"] }), vec![1, 2, 3, 4]),
        (json!({ "tags": ["m.favourite"], "not_tags": ["m.favourite"] }), vec![]),
        (json!({ "is_dm": false, "is_encrypted": true }), vec![2]),
    ];
    for (filters, expected) in cases {
        let slide = alice.sliding(list(json!([[0, 99]]), filters.clone())).next().await;
        assert_eq!(shown(&slide, &all), expected, "{filters}");
        assert_eq!(slide.count("l"), expected.len(), "{filters}");
    }
}

/// Rooms come into a list and go out of it while the client looks.
#[tokio::test]
async fn filters_follow_what_changes() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room().await;
    let filters = json!({ "is_dm": true });
    let mut direct = alice.sliding(list(json!([[0, 9]]), filters));
    direct.body["conn_id"] = "direct".into();
    let mut favourites = alice.sliding(list(json!([[0, 9]]), json!({ "tags": ["m.favourite"] })));
    favourites.body["conn_id"] = "tags".into();
    let mut invites = alice.sliding(list(json!([[0, 9]]), json!({ "is_invite": true })));
    invites.body["conn_id"] = "invites".into();
    for connection in [&mut direct, &mut favourites, &mut invites] {
        assert_eq!(connection.next().await.count("l"), 0);
    }
    let content = json!({ bob.user_id.clone(): [room] });
    alice.put(&path!("v3/user/{}/account_data/m.direct", alice.user_id), content).await.ok();
    let slide = direct.wait(5_000).await;
    assert_eq!((slide.count("l"), &slide.room(&room)["is_dm"]), (&json!(1), &json!(true)));
    let tag = path!("v3/user/{}/rooms/{}/tags/m.favourite", alice.user_id, room);
    alice.put(&tag, json!({})).await.ok();
    assert_eq!(favourites.wait(5_000).await.rooms(), 1);
    alice.delete(&tag, json!({})).await.ok();
    assert_eq!(favourites.wait(5_000).await.count("l"), 0);
    let other = bob.create_room().await;
    bob.invite(&other, &alice).await;
    assert_eq!(invites.wait(5_000).await.count("l"), 1);
    alice.join(&other).await;
    assert_eq!(invites.wait(5_000).await.count("l"), 0);
}

/// Rooms that the user was put out of are there, those that they left are not.
#[tokio::test]
async fn kicks_and_bans_are_listed_and_what_the_user_left_is_not() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(alice.create_room_with(&[&bob]).await);
    }
    rooms.push(alice.create_room().await);
    alice.kick(&rooms[0], &bob).await;
    alice.ban(&rooms[1], &bob).await;
    bob.leave(&rooms[2]).await;
    alice.ban(&rooms[3], &bob).await;
    let mut connection = bob.sliding(list(json!([[0, 9]]), json!({})));
    let slide = connection.next().await;
    assert_eq!(shown(&slide, &rooms), [0, 1]);
    assert_eq!(slide.count("l"), 2);
}

/// Whoever leaves a room that the client knows sees that they left.
#[tokio::test]
async fn a_room_that_the_user_leaves_is_shown_once_more() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = bob.sliding_list(1, json!([["m.room.member", "$ME"]]));
    connection.next().await;
    bob.leave(&room).await;
    let slide = connection.wait(5_000).await;
    let last = slide.timeline(&room).last("m.room.member").unwrap();
    assert_eq!(last["content"]["membership"], "leave");
    let own = slide.state(&room).with_state_key("m.room.member", &bob.user_id).unwrap();
    assert_eq!(own["content"]["membership"], "leave");
    alice.send_text(&room, "he is gone").await;
    assert!(connection.next().await.is_empty());
    bob.forget(&room).await;
    connection.next().await;
    assert_eq!(connection.next().await.count("all"), 0);
}
