//! `/room_keys`.

use kith_spec_tests::{TestServer, TestUser, path, random_key};
use serde_json::{Map, Value, json};

const MEGOLM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";
const ROOM: &str = "!room:kith.test";

fn algorithm() -> Value {
    json!({ "algorithm": MEGOLM, "auth_data": { "public_key": random_key(), "signatures": {} } })
}

async fn create(user: &TestUser) -> String {
    let answer = user.post("v3/room_keys/version", algorithm()).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.text_at("version")
}

fn key(is_verified: bool, first_message_index: u32, forwarded_count: u32) -> Value {
    json!({
        "is_verified": is_verified,
        "first_message_index": first_message_index,
        "forwarded_count": forwarded_count,
        "session_data": {
            "ephemeral": random_key(), "ciphertext": random_key(), "mac": "c29tZXRoaW5n",
        },
    })
}

fn session(version: &str, room: &str, session: &str) -> String {
    format!("{}?version={version}", path!("v3/room_keys/keys/{}/{}", room, session))
}

fn room(version: &str, room: &str) -> String {
    format!("{}?version={version}", path!("v3/room_keys/keys/{}", room))
}

fn all(version: &str) -> String {
    format!("v3/room_keys/keys?version={version}")
}

#[tokio::test]
async fn the_newest_version_is_the_current_one() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get("v3/room_keys/version").await.error(404, "M_NOT_FOUND");
    let first = create(&alice).await;
    let wanted = algorithm();
    let second = alice.post("v3/room_keys/version", wanted.clone()).await.text_at("version");
    assert_ne!(first, second);
    let current = alice.get("v3/room_keys/version").await.ok();
    assert_eq!((&current["version"], &current["count"]), (&json!(second), &json!(0)));
    assert_eq!(current["auth_data"], wanted["auth_data"]);
    assert_eq!(current["algorithm"], MEGOLM);
    assert!(current["etag"].is_string());
    let old = alice.get(&path!("v3/room_keys/version/{}", first)).await.ok();
    assert_eq!(old["version"], first);
    alice.delete(&path!("v3/room_keys/version/{}", second), json!({})).await.ok();
    assert_eq!(alice.get("v3/room_keys/version").await.ok()["version"], first);
    // A number is never given out twice.
    let third = create(&alice).await;
    assert!(third != first && third != second);
}

#[tokio::test]
async fn a_deleted_version_is_gone_and_deleting_it_again_is_no_error() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    alice.put(&session(&version, ROOM, "one"), key(true, 0, 0)).await.ok();
    let path = path!("v3/room_keys/version/{}", version);
    alice.delete(&path, json!({})).await.ok();
    alice.delete(&path, json!({})).await.ok();
    alice.get(&path).await.error(404, "M_NOT_FOUND");
    alice.put(&path, algorithm()).await.error(404, "M_NOT_FOUND");
    alice.get(&all(&version)).await.error(404, "M_NOT_FOUND");
    alice.get(&session(&version, ROOM, "one")).await.error(404, "M_NOT_FOUND");
    alice.put(&session(&version, ROOM, "one"), key(true, 0, 0)).await.error(404, "M_NOT_FOUND");
    create(&alice).await;
    alice.delete(&path, json!({})).await.ok();
    for unknown in ["99", "0", "01", "x"] {
        let path = path!("v3/room_keys/version/{}", unknown);
        alice.delete(&path, json!({})).await.error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn auth_data_can_be_replaced_and_nothing_else() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let path = path!("v3/room_keys/version/{}", version);
    let mut newer = algorithm();
    alice.put(&path, newer.clone()).await.ok();
    newer["version"] = version.clone().into();
    alice.put(&path, newer.clone()).await.ok();
    assert_eq!(alice.get(&path).await.ok()["auth_data"], newer["auth_data"]);
    let mut other = newer.clone();
    other["version"] = "7".into();
    alice.put(&path, other).await.error(400, "M_INVALID_PARAM");
    let mut other = newer.clone();
    other["algorithm"] = "other".into();
    alice.put(&path, other).await.error(400, "M_INVALID_PARAM");
    let nowhere = "v3/room_keys/version/99";
    alice.put(nowhere, algorithm()).await.error(404, "M_NOT_FOUND");
    alice.get(nowhere).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn keys_go_in_and_out_by_session_by_room_and_all_at_once() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let (one, two, three, four) =
        (key(true, 0, 0), key(true, 1, 0), key(false, 0, 1), key(true, 3, 0));
    let answer = alice.put(&session(&version, ROOM, "a/b+c"), one.clone()).await.ok();
    assert_eq!(answer["count"], 1);
    let etag = answer["etag"].clone();
    let body = json!({ "sessions": { "two": two } });
    let answer = alice.put(&room(&version, ROOM), body).await.ok();
    assert_eq!(answer["count"], 2);
    assert_ne!(answer["etag"], etag);
    let body = json!({ "rooms": {
        ROOM: { "sessions": { "three": three } },
        "!other:kith.test": { "sessions": { "four": four } },
    }});
    let answer = alice.put(&all(&version), body).await.ok();
    assert_eq!(answer["count"], 4);
    server.restart().await;

    let of_room = json!({ "sessions": { "a/b+c": one, "two": two, "three": three } });
    assert_eq!(alice.get(&session(&version, ROOM, "a/b+c")).await.ok(), one);
    assert_eq!(alice.get(&room(&version, ROOM)).await.ok(), of_room);
    let other = json!({ "sessions": { "four": four } });
    let expected = json!({ "rooms": { ROOM: of_room, "!other:kith.test": other } });
    assert_eq!(alice.get(&all(&version)).await.ok(), expected);
    let current = alice.get("v3/room_keys/version").await.ok();
    assert_eq!((&current["count"], &current["etag"]), (&json!(4), &answer["etag"]));
}

#[tokio::test]
async fn where_nothing_is_there_is_an_empty_answer() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    assert_eq!(alice.get(&all(&version)).await.ok(), json!({ "rooms": {} }));
    assert_eq!(alice.get(&room(&version, ROOM)).await.ok(), json!({ "sessions": {} }));
    alice.get(&session(&version, ROOM, "one")).await.error(404, "M_NOT_FOUND");
    for path in [all("99"), room("99", ROOM), session("99", ROOM, "one")] {
        alice.get(&path).await.error(404, "M_NOT_FOUND");
        alice.delete(&path, json!({})).await.error(404, "M_NOT_FOUND");
    }
    alice.get("v3/room_keys/keys").await.error(400, "M_MISSING_PARAM");
    alice
        .get(&format!("v3/room_keys/keys/noroom?version={version}"))
        .await
        .error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn the_better_copy_of_a_key_stays() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let path = session(&version, ROOM, "one");
    let from_worst = [
        key(false, 5, 5),
        key(false, 5, 1),
        key(false, 2, 3),
        key(true, 9, 9),
        key(true, 9, 1),
        key(true, 0, 4),
    ];
    let mut etags = Vec::new();
    for better in &from_worst {
        let answer = alice.put(&path, better.clone()).await.ok();
        assert_eq!(answer["count"], 1);
        etags.push(answer["etag"].clone());
        assert_eq!(alice.get(&path).await.ok(), *better);
    }
    etags.dedup();
    assert_eq!(etags.len(), from_worst.len(), "each changed the backup");
    let best = from_worst.last().unwrap();
    for worse in &from_worst {
        let answer = alice.put(&path, worse.clone()).await.ok();
        assert_eq!(answer["etag"], etags[etags.len() - 1], "nothing changed");
        assert_eq!(alice.get(&path).await.ok(), *best);
    }
}

#[tokio::test]
async fn keys_go_into_the_current_version_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let old = create(&alice).await;
    alice.put(&session(&old, ROOM, "one"), key(true, 0, 0)).await.ok();
    let current = create(&alice).await;
    let rooms = json!({ "rooms": { ROOM: { "sessions": { "two": key(true, 0, 0) } } } });
    for (path, body) in [
        (session(&old, ROOM, "two"), key(true, 0, 0)),
        (room(&old, ROOM), rooms["rooms"][ROOM].clone()),
        (all(&old), rooms.clone()),
    ] {
        let error = alice.put(&path, body).await.error(403, "M_WRONG_ROOM_KEYS_VERSION");
        assert_eq!(error["current_version"], current);
    }
    for (path, body) in [
        (session("99", ROOM, "two"), key(true, 0, 0)),
        (room("99", ROOM), rooms["rooms"][ROOM].clone()),
        (all("99"), rooms),
    ] {
        alice.put(&path, body).await.error(404, "M_NOT_FOUND");
    }
    // What is in the old one can still be read.
    assert!(alice.get(&session(&old, ROOM, "one")).await.ok().is_object());
    assert_eq!(alice.get(&all(&current)).await.ok(), json!({ "rooms": {} }));
}

#[tokio::test]
async fn keys_are_deleted_one_by_one_by_room_or_all() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    let sessions = json!({ "a": key(true, 0, 0), "b": key(true, 0, 0), "c": key(true, 0, 0) });
    let body = json!({ "rooms": {
        ROOM: { "sessions": sessions }, "!other:kith.test": { "sessions": sessions },
        "!third:kith.test": { "sessions": sessions },
    }});
    let answer = alice.put(&all(&version), body).await.ok();
    assert_eq!(answer["count"], 9);
    let mut etags = vec![answer["etag"].clone()];
    for (path, left) in [
        (session(&version, ROOM, "a"), 8),
        (room(&version, "!other:kith.test"), 5),
        (all(&version), 0),
    ] {
        let answer = alice.delete(&path, json!({})).await.ok();
        assert_eq!(answer["count"], left);
        assert!(!etags.contains(&answer["etag"]));
        etags.push(answer["etag"].clone());
    }
    let answer = alice.delete(&session(&version, ROOM, "a"), json!({})).await.ok();
    assert_eq!((&answer["count"], &answer["etag"]), (&json!(0), &etags[3]));
    assert_eq!(alice.get(&all(&version)).await.ok(), json!({ "rooms": {} }));
}

#[tokio::test]
async fn a_large_backup_is_read_and_deleted_whole() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = create(&alice).await;
    // More than the server reads at once, with rooms that begin and end on every side of a page.
    let mut rooms = Map::new();
    for n in 0..13 {
        let sessions: Map<_, _> = (0..200)
            .map(|m| {
                (
                    format!("session{n}-{m}"),
                    json!({
                        "is_verified": true, "first_message_index": m, "forwarded_count": 0,
                        "session_data": {},
                    }),
                )
            })
            .collect();
        rooms.insert(format!("!room{n:02}:kith.test"), json!({ "sessions": sessions }));
    }
    let body = json!({ "rooms": rooms });
    assert_eq!(alice.put(&all(&version), body.clone()).await.ok()["count"], 2_600);
    assert_eq!(alice.get(&all(&version)).await.ok(), body);
    let one = alice.get(&room(&version, "!room03:kith.test")).await.ok();
    assert_eq!(one, rooms["!room03:kith.test"]);
    assert_eq!(alice.delete(&all(&version), json!({})).await.ok()["count"], 0);
    assert_eq!(alice.get(&all(&version)).await.ok(), json!({ "rooms": {} }));
}

#[tokio::test]
async fn nobody_reads_anothers_backup() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let version = create(&alice).await;
    alice.put(&session(&version, ROOM, "one"), key(true, 0, 0)).await.ok();
    for path in [all(&version), room(&version, ROOM), session(&version, ROOM, "one")] {
        bob.get(&path).await.error(404, "M_NOT_FOUND");
        bob.delete(&path, json!({})).await.error(404, "M_NOT_FOUND");
        server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
    }
    bob.get(&path!("v3/room_keys/version/{}", version)).await.error(404, "M_NOT_FOUND");
    create(&bob).await;
    assert_eq!(bob.get(&all("1")).await.ok(), json!({ "rooms": {} }));
    server.anonymous().get("v3/room_keys/version").await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn what_is_no_backup_or_no_key_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for bad in [
        json!({}),
        json!({ "algorithm": MEGOLM }),
        json!({ "algorithm": 1, "auth_data": {} }),
        json!({ "algorithm": MEGOLM, "auth_data": "text" }),
        json!({ "algorithm": MEGOLM, "auth_data": {} }),
    ] {
        alice.post("v3/room_keys/version", bad).await.error(400, "M_BAD_JSON");
    }
    let mut large = algorithm();
    large["auth_data"]["text"] = "x".repeat(70_000).into();
    alice.post("v3/room_keys/version", large).await.error(413, "M_TOO_LARGE");
    let version = create(&alice).await;
    let path = session(&version, ROOM, "one");
    for field in ["is_verified", "first_message_index", "forwarded_count", "session_data"] {
        let mut bad = key(true, 0, 0);
        bad[field] = "text".into();
        alice.put(&path, bad.clone()).await.error(400, "M_BAD_JSON");
        bad.as_object_mut().unwrap().remove(field);
        alice.put(&path, bad).await.error(400, "M_BAD_JSON");
    }
    let mut negative = key(true, 0, 0);
    negative["first_message_index"] = (-1).into();
    alice.put(&path, negative).await.error(400, "M_BAD_JSON");
    let mut large = key(true, 0, 0);
    large["session_data"]["text"] = "x".repeat(70_000).into();
    alice.put(&path, large).await.error(413, "M_TOO_LARGE");
    let long = session(&version, ROOM, &"s".repeat(300));
    alice.put(&long, key(true, 0, 0)).await.error(400, "M_BAD_JSON");
    alice.put(&all(&version), json!({})).await.error(400, "M_BAD_JSON");
    alice.put("v3/room_keys/keys", json!({ "rooms": {} })).await.error(400, "M_MISSING_PARAM");
    assert_eq!(alice.get("v3/room_keys/version").await.ok()["count"], 0);
}
