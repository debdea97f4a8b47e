//! Who may see which event, by every way to read it.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-history-visibility)

use std::collections::BTreeSet;

use kith_spec_tests::{Events, TestServer, TestUser, encode, path};
use serde_json::{Value, json};

/// The room's story as bob lives it; a message, named after it, is sent in each chapter.
const STORY: [&str; 6] = ["before", "invited", "joined", "left", "rejoined", "banned"];

/// What bob may see when his story ends after this chapter.
fn visible(visibility: &str, ending: &str) -> &'static [&'static str] {
    match (visibility, ending) {
        ("world_readable", "before") => &["before"],
        ("world_readable", "invited") => &["before", "invited"],
        ("world_readable", "joined") => &["before", "invited", "joined"],
        ("world_readable", "left") => &["before", "invited", "joined", "left"],
        ("world_readable", "rejoined") => &["before", "invited", "joined", "left", "rejoined"],
        ("world_readable", "banned") => &STORY,
        // Whoever has not joined sees nothing. (An invited user may see what was sent since the
        // invitation, where that is the setting: the specification says both. Not tested.)
        (_, "before" | "invited") => &[],
        ("shared", "joined" | "left") => &["before", "invited", "joined"],
        ("shared", _) => &["before", "invited", "joined", "left", "rejoined"],
        ("invited", "joined" | "left") => &["invited", "joined"],
        ("invited", _) => &["invited", "joined", "rejoined"],
        ("joined", "joined" | "left") => &["joined"],
        ("joined", _) => &["joined", "rejoined"],
        _ => panic!("no such setting: {visibility}"),
    }
}

struct Room {
    id: String,
    /// The chapters that were, with the IDs of their messages.
    messages: Vec<(&'static str, String)>,
}

async fn live(alice: &TestUser, bob: &TestUser, visibility: &str, ending: &str) -> Room {
    let setting = json!({
        "type": "m.room.history_visibility",
        "content": { "history_visibility": visibility },
    });
    let body = json!({ "preset": "public_chat", "initial_state": [setting] });
    let id = alice.create_room_from(body).await;
    let mut messages = Vec::new();
    for chapter in STORY {
        match chapter {
            "invited" => alice.invite(&id, bob).await,
            "joined" | "rejoined" => bob.join(&id).await,
            "left" => bob.leave(&id).await,
            "banned" => alice.ban(&id, bob).await,
            _ => (),
        }
        messages.push((chapter, alice.send_text(&id, chapter).await));
        if chapter == ending {
            break;
        }
    }
    Room { id, messages }
}

/// The chapters whose messages are in a list of events.
fn chapters<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeSet<&'static str> {
    let bodies: Vec<&str> = events.filter_map(|event| event["content"]["body"].as_str()).collect();
    STORY.into_iter().filter(|chapter| bodies.contains(chapter)).collect()
}

async fn by_event(user: &TestUser, room: &Room) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for (chapter, event_id) in &room.messages {
        let answer = user.get(&path!("v3/rooms/{}/event/{}", room.id, event_id)).await;
        match answer.status {
            200 => assert!(seen.insert(*chapter)),
            _ => assert!([403, 404].contains(&answer.status), "{answer}"),
        }
    }
    seen
}

async fn by_context(user: &TestUser, room: &Room) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for (chapter, event_id) in &room.messages {
        let path = path!("v3/rooms/{}/context/{}?limit=100", room.id, event_id);
        let answer = user.get(&path).await;
        if answer.status != 200 {
            assert!([403, 404].contains(&answer.status), "{answer}");
            continue;
        }
        seen.insert(*chapter);
        let around =
            Events(&answer["events_before"]).iter().chain(Events(&answer["events_after"]).iter());
        seen.extend(chapters(around));
    }
    seen
}

async fn by_messages(user: &TestUser, room: &Room, dir: &str) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let mut from = String::new();
    for _ in 0..20 {
        let path = path!("v3/rooms/{}/messages?limit=3&dir={}", room.id, dir) + &from;
        let answer = user.get(&path).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 403, "{answer}");
            return seen;
        }
        seen.extend(chapters(Events(&answer["chunk"]).iter()));
        let Some(end) = answer["end"].as_str() else { return seen };
        from = format!("&from={}", encode(end));
    }
    panic!("no end after 20 pages");
}

async fn by_sync(user: &TestUser, room: &Room) -> BTreeSet<&'static str> {
    let filter = json!({ "room": { "include_leave": true, "timeline": { "limit": 100 } } });
    let sync = user.syncing(None).filter(filter).get().await;
    chapters(sync.timeline(&room.id).iter())
}

async fn by_timestamp(user: &TestUser, room: &Room) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for dir in ["f", "b"] {
        let ts = if dir == "f" { "1" } else { "4000000000000" };
        let path = path!("v1/rooms/{}/timestamp_to_event?dir={}&ts={}", room.id, dir, ts);
        let answer = user.get(&path).await;
        let found =
            room.messages.iter().find(|(_, event_id)| answer["event_id"] == event_id.as_str());
        seen.extend(found.map(|(chapter, _)| *chapter));
    }
    seen
}

/// Every setting, every end of bob's story, every way to read.
#[tokio::test]
async fn nobody_sees_more_than_the_history_visibility_allows() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for visibility in ["world_readable", "shared", "invited", "joined"] {
        for ending in STORY {
            let room = live(&alice, &bob, visibility, ending).await;
            let may: BTreeSet<_> = visible(visibility, ending).iter().copied().collect();
            let case = |way: &str| format!("{visibility}, story ends {ending}, by {way}");
            let is_member = ["joined", "rejoined"].contains(&ending);
            let was_member = ["left", "banned"].contains(&ending);

            let mut seen = by_event(&bob, &room).await;
            if ending == "invited" && visibility == "invited" {
                seen.remove("invited");
            }
            assert_eq!(seen, may, "{}", case("/event"));
            let mut seen = by_context(&bob, &room).await;
            if ending == "invited" && visibility == "invited" {
                seen.remove("invited");
            }
            assert_eq!(seen, may, "{}", case("/context"));
            for dir in ["f", "b"] {
                let mut seen = by_messages(&bob, &room, dir).await;
                if ending == "invited" && visibility == "invited" {
                    seen.remove("invited");
                }
                if is_member {
                    assert_eq!(seen, may, "{}", case("/messages"));
                } else {
                    // Former members page only to where they left, outsiders perhaps not at all.
                    assert!(seen.is_subset(&may), "{}: {seen:?}", case("/messages"));
                }
                if was_member {
                    assert!(seen.contains("joined"), "{}: {seen:?}", case("/messages"));
                }
            }
            let seen = by_sync(&bob, &room).await;
            assert!(seen.is_subset(&may), "{}: {seen:?}", case("/sync"));
            if is_member {
                assert_eq!(seen, may, "{}", case("/sync"));
            }
            let seen = by_timestamp(&bob, &room).await;
            assert!(seen.is_subset(&may), "{}: {seen:?}", case("/timestamp_to_event"));
        }
    }
}

/// The setting of the moment counts, not the one of today.
#[tokio::test]
async fn a_later_setting_neither_opens_nor_closes_history() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let set = async |visibility: &str| {
        let content = json!({ "history_visibility": visibility });
        alice.set_state(&room, "m.room.history_visibility", "", content).await
    };
    let shared = alice.send_text(&room, "shared").await;
    let closing = set("joined").await;
    let joined = alice.send_text(&room, "joined").await;
    let opening = set("world_readable").await;
    let world = alice.send_text(&room, "world").await;
    set("joined").await;
    let hidden = alice.send_text(&room, "hidden").await;
    let sees = async |event_id: &str| {
        bob.get(&path!("v3/rooms/{}/event/{}", room, event_id)).await.status == 200
    };
    // From outside: what is for the world, and the changes from and to that.
    assert!(sees(&world).await && sees(&opening).await);
    assert!(!sees(&shared).await && !sees(&joined).await && !sees(&hidden).await);
    bob.join(&room).await;
    assert!(sees(&shared).await && sees(&world).await);
    assert!(sees(&closing).await, "it was shared before it was closed");
    assert!(!sees(&joined).await && !sees(&hidden).await);
}

/// One always sees what happened to oneself.
#[tokio::test]
async fn ones_own_membership_is_visible() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let content = json!({ "history_visibility": "joined" });
    alice.set_state(&room, "m.room.history_visibility", "", content).await;
    bob.join(&room).await;
    alice.kick(&room, &bob).await;
    let page = bob.messages(&room, "dir=b&limit=10").await;
    let own: Vec<_> = Events(&page["chunk"])
        .iter()
        .filter(|event| event["state_key"] == bob.user_id.as_str())
        .map(|event| event["content"]["membership"].as_str().unwrap())
        .collect();
    assert_eq!(own, ["leave", "join"], "{page:#}");
}

/// A forgotten or unknown setting is `shared`.
#[tokio::test]
async fn without_a_known_setting_history_is_shared() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for content in [json!({}), json!({ "history_visibility": "org.example.unknown" })] {
        let room = alice.create_public_room().await;
        alice.set_state(&room, "m.room.history_visibility", "", content).await;
        let event_id = alice.send_text(&room, "hello").await;
        let path = path!("v3/rooms/{}/event/{}", room, event_id);
        assert_ne!(bob.get(&path).await.status, 200);
        bob.join(&room).await;
        bob.get(&path).await.ok();
    }
}
