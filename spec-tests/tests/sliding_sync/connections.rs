//! Where a client stands, and what happens when it comes back, or does not.

use kith_spec_tests::TestServer;
use serde_json::json;

/// `/versions` tells clients that they may.
#[tokio::test]
async fn clients_find_the_flag() {
    let server = TestServer::start().await;
    let versions = server.anonymous().get("versions").await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], true);
}

#[tokio::test]
async fn a_request_without_a_token_is_refused() {
    let server = TestServer::start().await;
    let nobody = server.anonymous().sliding(json!({}));
    nobody.answer().await.error(401, "M_MISSING_TOKEN");
}

/// Without lists and subscriptions there is nothing but a `pos`.
#[tokio::test]
async fn an_empty_request_gets_a_position_and_its_transaction_id() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.create_room().await;
    let mut connection = alice.sliding(json!({ "txn_id": "t1" }));
    let slide = connection.next().await;
    assert!(slide.is_empty(), "{slide:?}");
    assert_eq!(slide.0["txn_id"], "t1");
}

/// A client whose request was lost on the way back asks again, and loses nothing.
#[tokio::test]
async fn the_same_position_is_answered_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut connection = alice.sliding_list(5, json!([["m.room.topic", ""]]));
    connection.next().await;
    let event_id = alice.send_text(&room, "once or twice").await;
    let mut lost = connection.clone();
    let first = lost.next().await;
    let again = connection.next().await;
    assert_eq!(first.timeline(&room).event_ids(), [event_id.as_str()]);
    assert_eq!(again.timeline(&room).event_ids(), [event_id.as_str()]);
    assert!(connection.next().await.is_empty());
    // The answer that got lost is not one to go on from.
    lost.answer().await.error(400, "M_UNKNOWN_POS");
}

#[tokio::test]
async fn a_position_before_the_last_two_is_unknown() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    let old = connection.clone();
    connection.next().await;
    connection.next().await;
    old.answer().await.error(400, "M_UNKNOWN_POS");
}

#[tokio::test]
async fn a_position_of_another_user_or_device_or_connection_is_unknown() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    for other in [&bob, &alice.log_in_again().await] {
        let mut stranger = other.sliding_list(1, json!([]));
        stranger.pos.clone_from(&connection.pos);
        stranger.answer().await.error(400, "M_UNKNOWN_POS");
        stranger.pos = None;
        stranger.next().await;
        stranger.pos.clone_from(&connection.pos);
        stranger.answer().await.error(400, "M_UNKNOWN_POS");
    }
    connection.body["conn_id"] = "other".into();
    connection.answer().await.error(400, "M_UNKNOWN_POS");
}

#[tokio::test]
async fn positions_that_no_server_gave_are_unknown() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for pos in ["", "0", "s1_2", "s1_2_3_4", "s99999999999999999999_1_1_1", "%00"] {
        let mut connection = alice.sliding_list(1, json!([]));
        connection.pos = Some(pos.to_owned());
        connection.answer().await.error(400, "M_UNKNOWN_POS");
    }
}

/// Connections are in memory: after a restart a client begins anew.
#[tokio::test]
async fn a_restart_ends_all_connections() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    server.restart().await;
    connection.answer().await.error(400, "M_UNKNOWN_POS");
    connection.pos = None;
    connection.next().await;
}

#[tokio::test]
async fn a_device_has_so_many_connections_and_the_oldest_makes_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut connections = Vec::new();
    for n in 0..9 {
        let mut connection = alice.sliding(json!({ "conn_id": format!("c{n}") }));
        connection.next().await;
        connections.push(connection);
    }
    connections[0].answer().await.error(400, "M_UNKNOWN_POS");
    assert!(connections[1].next().await.is_empty());
    assert!(connections[8].next().await.is_empty());
}

/// Two connections of one device do not take anything from each other.
#[tokio::test]
async fn connections_are_independent() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut one = alice.sliding_list(1, json!([]));
    one.body["conn_id"] = "one".into();
    let mut two = alice.sliding_list(1, json!([]));
    two.body["conn_id"] = "two".into();
    one.next().await;
    two.next().await;
    let event_id = alice.send_text(&room, "to both").await;
    assert_eq!(one.next().await.timeline(&room).event_ids(), [event_id.as_str()]);
    assert_eq!(two.next().await.timeline(&room).event_ids(), [event_id.as_str()]);
}

/// A newer request on the same connection ends the one that waits.
#[tokio::test]
async fn a_newer_request_ends_the_older() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    let mut older = connection.clone();
    let waiting = tokio::spawn(async move { older.wait(50_000).await });
    // Asks until the older request has given up its place: it does so at the first of these that
    // comes after it.
    while !waiting.is_finished() {
        connection.clone().next().await;
    }
    assert!(waiting.await.unwrap().is_empty());
    let _ = room;
}

/// A client that waits hears of it when it happens.
#[tokio::test]
async fn a_waiting_client_is_woken() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut connection = bob.sliding_list(1, json!([]));
    connection.next().await;
    let waiting = tokio::spawn(async move { connection.wait(50_000).await });
    let event_id = alice.send_text(&room, "hello").await;
    let slide = waiting.await.unwrap();
    assert_eq!(slide.timeline(&room).event_ids(), [event_id.as_str()]);
}

/// `pos` says where to begin reading history, as a token of `/sync` does.
#[tokio::test]
async fn a_position_is_a_token_for_messages() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let before = alice.send_text(&room, "before").await;
    let mut connection = alice.sliding_list(1, json!([]));
    connection.next().await;
    alice.send_text(&room, "after").await;
    let pos = connection.pos.clone().unwrap();
    let page = alice.messages(&room, &format!("dir=b&limit=1&from={pos}")).await;
    assert_eq!(page["chunk"][0]["event_id"], before.as_str());
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] });
    let lists: serde_json::Map<_, _> = (0..101).map(|n| (n.to_string(), list.clone())).collect();
    let rooms: serde_json::Map<_, _> =
        (0..101).map(|n| (format!("!r{n}:kith.test"), json!({ "timeline_limit": 1 }))).collect();
    for body in [
        json!({ "lists": lists }),
        json!({ "room_subscriptions": rooms }),
        json!({ "conn_id": "c".repeat(1_000) }),
        json!({ "lists": { "": list } }),
    ] {
        alice.sliding(body).answer().await.error(400, "M_INVALID_PARAM");
    }
    for body in [json!({ "lists": [] }), json!({ "lists": { "a": { "ranges": "all" } } })] {
        alice.sliding(body).answer().await.error(400, "M_BAD_JSON");
    }
    let path = "unstable/org.matrix.simplified_msc3575/sync?set_presence=asleep";
    alice.post(path, json!({})).await.error(400, "M_INVALID_PARAM");
}
