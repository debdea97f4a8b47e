//! What servers read of rooms. SECURITY 21, 22, 24, 26.

use kith_spec_tests::{Answer, RemoteServer, TestServer, TestUser, path};
use serde_json::{Value, json};

struct Scene {
    server: TestServer,
    alice: TestUser,
    remote: RemoteServer,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::federating().await;
        let alice = server.register("alice").await;
        Self { server, alice, remote: RemoteServer::start().await }
    }

    async fn room_with_bob(&self, room: Value) -> String {
        let room = self.alice.create_room_from(room).await;
        self.remote.join(&self.server, &room, "bob").await;
        room
    }

    async fn get(&self, path: &str) -> Answer {
        self.remote.get(&self.server, path).await
    }

    /// Everything that a server can ask of this event under this room.
    async fn ask_everything(&self, by: &RemoteServer, room: &str, event_id: &str) -> Vec<Answer> {
        let mut answers = Vec::new();
        for path in [
            path!("v1/event/{}", event_id),
            path!("v1/state/{}?event_id={}", room, event_id),
            path!("v1/state_ids/{}?event_id={}", room, event_id),
            path!("v1/event_auth/{}/{}", room, event_id),
            path!("v1/backfill/{}?v={}&limit=10", room, event_id),
        ] {
            answers.push(by.get(&self.server, &path).await);
        }
        for body in [
            json!({ "earliest_events": [], "latest_events": [event_id] }),
            json!({ "earliest_events": [event_id], "latest_events": [event_id] }),
        ] {
            let path = path!("v1/get_missing_events/{}", room);
            answers.push(by.post(&self.server, &path, body).await);
        }
        answers
    }
}

/// Without the moment of the answer.
fn comparable(answers: &[Answer]) -> Vec<(u16, Value, Option<String>)> {
    let answers = answers.iter().map(|answer| {
        let mut json = answer.json.clone();
        let timed = json.get_mut("origin_server_ts").map(Value::take).is_some();
        (answer.status, json, (!timed).then(|| answer.text.clone()))
    });
    answers.collect()
}

const NOTHING: &str = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn an_event_of_one_room_is_not_there_under_another() {
    let scene = Scene::new().await;
    let public = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    let private = scene.alice.create_room().await;
    let secret = scene.alice.send_text(&private, "secret").await;
    let under_another = scene.ask_everything(&scene.remote, &public, &secret).await;
    let unknown = scene.ask_everything(&scene.remote, &public, NOTHING).await;
    assert_eq!(comparable(&under_another), comparable(&unknown));
    assert!(under_another.iter().all(|answer| !answer.text.contains("secret")));

    // The peer is in both, and still each event is of its own room alone.
    let other = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    let elsewhere = scene.alice.send_text(&other, "elsewhere").await;
    let under_another = scene.ask_everything(&scene.remote, &public, &elsewhere).await;
    let unknown = scene.ask_everything(&scene.remote, &public, NOTHING).await;
    // `event` names no room.
    assert_eq!(comparable(&under_another[1..]), comparable(&unknown[1..]));
}

#[tokio::test]
async fn a_server_that_is_not_in_a_room_learns_nothing_of_its_events() {
    let scene = Scene::new().await;
    let room = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    let event = scene.alice.send_text(&room, "hello").await;
    let stranger = RemoteServer::start().await;
    let known = scene.ask_everything(&stranger, &room, &event).await;
    let unknown = scene.ask_everything(&stranger, "!nowhere:kith.test", NOTHING).await;
    assert_eq!(comparable(&known), comparable(&unknown));

    // Neither does a server whose last user is gone.
    let bob = scene.remote.user("bob");
    let kick = path!("v3/rooms/{}/kick", room);
    scene.alice.post(&kick, json!({ "user_id": bob })).await.ok();
    let later = scene.alice.send_text(&room, "later").await;
    let known = scene.ask_everything(&scene.remote, &room, &later).await;
    assert_eq!(comparable(&known), comparable(&unknown));
}

#[tokio::test]
async fn a_server_denied_by_the_rooms_list_reads_nothing() {
    let scene = Scene::new().await;
    let room = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    let event = scene.alice.send_text(&room, "hello").await;
    let content = json!({ "allow": ["*"], "deny": [], "allow_ip_literals": false });
    scene.alice.set_state(&room, "m.room.server_acl", "", content).await;
    for answer in scene.ask_everything(&scene.remote, &room, &event).await {
        let is_event = answer.request.contains("/v1/event/");
        let (status, errcode) = if is_event { (404, "M_NOT_FOUND") } else { (403, "M_FORBIDDEN") };
        answer.error(status, errcode);
    }
}

#[tokio::test]
async fn history_that_a_server_may_not_see_comes_without_its_content() {
    let scene = Scene::new().await;
    let joined_only = json!({
        "preset": "public_chat",
        "initial_state": [{
            "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": "joined" },
        }],
    });
    let room = scene.alice.create_room_from(joined_only).await;
    let before = scene.alice.send_text(&room, "before they came").await;
    scene.remote.join(&scene.server, &room, "bob").await;
    let after = scene.alice.send_text(&room, "after they came").await;

    let answers = [
        scene.get(&path!("v1/event/{}", before)).await,
        scene.get(&path!("v1/backfill/{}?v={}&limit=50", room, after)).await,
        scene
            .remote
            .post(
                &scene.server,
                &path!("v1/get_missing_events/{}", room),
                json!({ "earliest_events": [], "latest_events": [after], "limit": 50 }),
            )
            .await,
    ];
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.text.contains("before they came"), "{answer}");
    }
    assert_eq!(answers[0].json["pdus"][0]["content"], json!({}));
    // The graph stays whole.
    let pdus = answers[1].json["pdus"].as_array().expect("a list");
    assert!(pdus.iter().any(|pdu| pdu["type"] == "m.room.create"));
    assert!(answers[1].text.contains("after they came"));

    let near = scene.get(&path!("v1/timestamp_to_event/{}?ts=1&dir=f", room)).await.ok();
    assert_ne!(near["event_id"], before.as_str());
    let path = path!("v1/timestamp_to_event/{}?ts={}&dir=b", room, u64::pow(2, 50));
    assert_eq!(scene.get(&path).await.ok()["event_id"], after.as_str());
}

#[tokio::test]
async fn a_private_room_cannot_be_told_from_none() {
    let scene = Scene::new().await;
    let private = scene.alice.create_room_from(json!({
        "preset": "private_chat", "name": "Merger", "room_alias_name": "merger",
    }));
    let private = private.await;
    let nowhere = format!("!{}:{}", "a".repeat(18), scene.server.name());
    for (path, same_of_none) in [
        (path!("v1/hierarchy/{}", private), path!("v1/hierarchy/{}", nowhere)),
        (
            path!("v1/timestamp_to_event/{}?ts=1&dir=f", private),
            path!("v1/timestamp_to_event/{}?ts=1&dir=f", nowhere),
        ),
        (
            path!("v1/make_join/{}/{}?ver=12", private, scene.remote.user("bob")),
            path!("v1/make_join/{}/{}?ver=12", nowhere, scene.remote.user("bob")),
        ),
    ] {
        let (known, unknown) = (scene.get(&path).await, scene.get(&same_of_none).await);
        assert!(!known.text.contains("Merger"), "{known}");
        if !path.contains("make_join") {
            assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
        }
    }
    let listed = scene.get("v1/publicRooms").await;
    assert!(!listed.text.contains("Merger"), "{listed}");
}

#[tokio::test]
async fn events_that_were_not_accepted_are_shown_to_no_server() {
    let scene = Scene::new().await;
    let room = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    scene.remote.join(&scene.server, &room, "dave").await;
    let bob = scene.remote.user("bob");
    // Bob's server still has the room as it was before the ban.
    let before = scene.remote.room(&room);
    scene.alice.post(&path!("v3/rooms/{}/ban", room), json!({ "user_id": bob })).await.ok();
    let message = |sender: &str, body: &str| {
        json!({
            "sender": sender, "type": "m.room.message",
            "content": { "msgtype": "m.text", "body": body },
        })
    };
    let late = before.complete(message(&bob, "late words"));
    let (late_id, late) = scene.remote.sign_pdu(&before.version, late);
    let carol = message(&scene.remote.user("carol"), "words of nobody");
    let (carol_id, carol) = scene.remote.sign_pdu(&before.version, before.complete(carol));
    let answer = scene.remote.send(&scene.server, vec![late, carol], Vec::new()).await;
    assert_eq!(answer.status, 200, "{answer}");
    let last = scene.alice.send_text(&room, "last").await;
    for id in [&late_id, &carol_id] {
        let answers = scene.ask_everything(&scene.remote, &room, id).await;
        let unknown = scene.ask_everything(&scene.remote, &room, NOTHING).await;
        // What came before such an event may be asked for, as it is in the graph.
        assert_eq!(comparable(&answers[..4]), comparable(&unknown[..4]));
        assert!(answers.iter().all(|answer| !answer.text.contains("words")), "{}", answers[0]);
    }
    let history = scene.get(&path!("v1/backfill/{}?v={}&limit=50", room, last)).await;
    assert!(history.text.contains("last") && !history.text.contains("words"), "{history}");
}

#[tokio::test]
async fn what_was_redacted_or_erased_goes_to_no_server() {
    let scene = Scene::new().await;
    let room = scene.room_with_bob(json!({ "preset": "public_chat" })).await;
    let carol = scene.server.register("carol").await;
    carol.join(&room).await;
    let taken_back = scene.alice.send_text(&room, "taken back").await;
    let erased = carol.send_text(&room, "to be erased").await;
    scene.alice.redact(&room, &taken_back).await;
    let auth = json!({
        "erase": true,
        "auth": {
            "type": "m.login.password", "password": carol.password,
            "identifier": { "type": "m.id.user", "user": carol.user_id },
        },
    });
    carol.post("v3/account/deactivate", auth).await.ok();
    let last = scene.alice.send_text(&room, "last").await;
    let path = path!("v1/get_missing_events/{}", room);
    let body = json!({ "earliest_events": [], "latest_events": [last], "limit": 50 });
    for answer in [
        scene.get(&path!("v1/event/{}", taken_back)).await,
        scene.get(&path!("v1/event/{}", erased)).await,
        scene.get(&path!("v1/backfill/{}?v={}&limit=50", room, last)).await,
        scene.remote.post(&scene.server, &path, body).await,
    ] {
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.text.contains("taken back"), "{answer}");
        assert!(!answer.text.contains("to be erased"), "{answer}");
        assert!(!answer.text.contains("transaction_id"), "{answer}");
    }
}

#[tokio::test]
async fn no_server_sends_us_where_we_may_not_go() {
    let server = TestServer::federating_with(|config| {
        config.outgoing.denied_ranges.push("127.0.0.9/32".parse().expect("a network"));
        config.outgoing.allowed_ranges = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let alice = server.register("alice").await;
    let (remote, cdn) = (RemoteServer::start().await, RemoteServer::start().await);
    cdn.answer("GET", "/files/a", |_| kith_spec_tests::RemoteReply::bytes("text/plain", "a file"));
    cdn.answer("GET", "/files/on", |_| kith_spec_tests::RemoteReply {
        status: 302,
        headers: vec![("location".to_owned(), "https://127.0.0.9/".to_owned())],
        body: Vec::new(),
    });
    let at_cdn = |path: &str| format!("https://{}{path}", cdn.name());
    for (id, location, status) in [
        ("right", at_cdn("/files/a"), 200),
        ("plain", format!("http://{}/files/a", cdn.name()), 502),
        ("file", "file:///etc/passwd".to_owned(), 502),
        ("denied", "https://127.0.0.9/".to_owned(), 502),
        ("private", "https://10.0.0.1/".to_owned(), 502),
        ("metadata", "https://169.254.169.254/latest".to_owned(), 502),
        ("mapped", "https://[::ffff:127.0.0.9]/".to_owned(), 502),
        ("onwards", at_cdn("/files/on"), 502),
        ("nonsense", "nonsense".to_owned(), 502),
    ] {
        let body = format!("--b\r\n\r\n{{}}\r\n--b\r\nLocation: {location}\r\n\r\n\r\n--b--");
        let pattern = format!("v1/media/download/{id}");
        remote.answer("GET", &pattern, move |_| {
            kith_spec_tests::RemoteReply::bytes("multipart/mixed; boundary=b", body.clone())
        });
        let answer = alice.get(&path!("v1/media/download/{}/{}", remote.name(), id)).await;
        assert_eq!(answer.status, status, "{id}: {answer}");
    }
}
