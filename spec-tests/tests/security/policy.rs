//! SECURITY.md, line 20: rooms with a policy server. A peer plays it, for rooms of ours and of another peer;
//! what it does not sign is shown to nobody, splits nothing, and can be had back.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use kith_spec_tests::{
    RemoteReply as Reply, RemoteServer, TestServer, TestUser, new_key, path, until,
};
use ruma::{RoomVersionId, serde::Base64, signatures::Ed25519KeyPair};
use serde_json::{Value, json};

const VERSION: RoomVersionId = RoomVersionId::V12;

const SIGNS: u8 = 0;
const REFUSES: u8 = 1;
const IS_DOWN: u8 = 2;

/// A peer that says of events whether they are good.
struct Policy {
    peer: Arc<RemoteServer>,
    /// The one that rooms name; not that of its events.
    key: Arc<Ed25519KeyPair>,
    mood: Arc<AtomicU8>,
}

impl Policy {
    async fn start() -> Self {
        let (peer, key) =
            (Arc::new(RemoteServer::start().await), Arc::new(new_key("policy_server")));
        let mood = Arc::new(AtomicU8::new(SIGNS));
        let (own, signing, is) = (Arc::downgrade(&peer), Arc::clone(&key), Arc::clone(&mood));
        peer.answer("POST", "/_matrix/policy/v1/sign", move |asked| {
            let own = own.upgrade().expect("it answers");
            let evil = asked.body["content"]["body"].as_str().is_some_and(|body| body == "evil");
            match is.load(Ordering::SeqCst) {
                IS_DOWN => Reply::error(502, "M_UNKNOWN"),
                mood if mood == REFUSES || evil => {
                    Reply::json(403, json!({ "errcode": "M_FORBIDDEN", "error": "Not in my room" }))
                }
                _ => {
                    let (_, signed) = own.sign_pdu_with(&signing, &VERSION, asked.body.clone());
                    Reply::json(
                        200,
                        json!({ own.name(): signed["signatures"][own.name().as_str()] }),
                    )
                }
            }
        });
        Self { peer, key, mood }
    }

    fn content(&self) -> Value {
        let key = Base64::<ruma::serde::base64::Standard>::new(self.key.public_key().to_vec());
        json!({ "via": self.peer.name(), "public_keys": { "ed25519": key.encode() } })
    }

    fn is(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    /// How often it was asked for its signature.
    fn times_asked(&self) -> usize {
        let asked = self.peer.asked();
        asked.iter().filter(|asked| asked.path == "/_matrix/policy/v1/sign").count()
    }
}

/// Alice of the server under test has a room, in which are Bob of a peer and a policy server.
struct Scene {
    server: TestServer,
    alice: TestUser,
    remote: RemoteServer,
    policy: Policy,
    room: String,
}

impl Scene {
    async fn start() -> Self {
        let server = TestServer::federating().await;
        let (alice, remote) = (server.register("alice").await, RemoteServer::start().await);
        let policy = Policy::start().await;
        let room = alice.create_room_from(json!({
            "preset": "public_chat", "room_version": VERSION,
            "power_level_content_override": { "users_default": 50 },
        }));
        let room = room.await;
        policy.peer.join(&server, &room, "policy").await;
        remote.join(&server, &room, "bob").await;
        let scene = Self { server, alice, remote, policy, room };
        scene.set_policy(scene.policy.content()).await;
        scene
    }

    /// Alice sets the room's policy; the peer knows it then.
    async fn set_policy(&self, content: Value) {
        let id = self.alice.set_state(&self.room, "m.room.policy", "", content).await;
        self.heard(&id).await;
    }

    /// The peer hears of one of our events and builds on it.
    async fn heard(&self, id: &str) -> Value {
        let pdu = self
            .remote
            .wait_for_pdu(|pdu| kith_spec_tests::pdu_event_id(&VERSION, pdu) == id)
            .await;
        self.remote.take(&self.room, pdu.clone());
        pdu
    }

    fn text(&self, body: &str) -> Value {
        json!({ "sender": self.remote.user("bob"), "type": "m.room.message",
            "content": { "msgtype": "m.text", "body": body } })
    }

    /// An event of Bob's that the policy server did not sign, sent by his server; its ID and the event.
    async fn says(&self, event: Value) -> (String, Value) {
        let (id, pdu) = self.remote.build(&self.room, event);
        self.remote.send_pdu(&self.server, &id, &pdu).await;
        (id, pdu)
    }

    async fn sees(&self, id: &str) -> bool {
        let path = path!("v3/rooms/{}/event/{}", self.room, id);
        self.alice.get(&path).await.status == 200
    }

    /// What is between two syncs.
    async fn news(&self, since: &str) -> Vec<String> {
        let sync = self.alice.sync(Some(since.to_owned())).await;
        sync.timeline(&self.room).event_ids().into_iter().map(str::to_owned).collect()
    }

    async fn now(&self) -> String {
        self.alice.sync(None).await.next_batch
    }
}

#[tokio::test]
async fn our_events_are_sent_with_the_signature_of_the_rooms_policy_server() {
    let scene = Scene::start().await;
    let id = scene.alice.send_text(&scene.room, "good").await;
    let pdu = scene.heard(&id).await;
    let signatures = &pdu["signatures"][scene.policy.peer.name().as_str()];
    assert!(signatures["ed25519:policy_server"].is_string(), "{pdu:#}");
    // It is the policy server's word that counts: the users are told it as it is.
    let send = path!("v3/rooms/{}/send/m.room.message/evil", scene.room);
    let evil = json!({ "msgtype": "m.text", "body": "evil" });
    let answer = scene.alice.put(&send, evil).await.error(403, "M_FORBIDDEN");
    assert_eq!(answer["error"], "Not in my room");
    scene.policy.is(REFUSES);
    let name = path!("v3/rooms/{}/state/m.room.name/", scene.room);
    let other = path!("v3/rooms/{}/state/m.room.policy/other", scene.room);
    for path in [&name, &other] {
        scene.alice.put(path, json!({ "name": "no" })).await.error(403, "M_FORBIDDEN");
    }
    // Somebody elsewhere is not even asked.
    let guest = RemoteServer::start().await;
    let invite = json!({ "user_id": guest.user("guest") });
    let invited = path!("v3/rooms/{}/invite", scene.room);
    scene.alice.post(&invited, invite).await.error(403, "M_FORBIDDEN");
    assert!(!guest.asked().iter().any(|asked| asked.is("PUT", "v2/invite/{}/{}")));
    // Without the policy server nobody is kept from switching it off.
    scene.policy.is(IS_DOWN);
    scene.alice.put(&name, json!({ "name": "no" })).await.error(403, "M_FORBIDDEN");
    scene.set_policy(json!({})).await;
    scene.alice.set_state(&scene.room, "m.room.name", "", json!({ "name": "yes" })).await;
}

#[tokio::test]
async fn what_the_policy_server_refuses_is_shown_to_nobody_and_the_room_goes_on() {
    let scene = Scene::start().await;
    let (good, _) = scene.says(scene.text("good")).await;
    assert!(scene.sees(&good).await, "it signs what comes without its signature");
    scene.policy.is(REFUSES);
    let since = scene.now().await;
    let (evil, _) = scene.says(scene.text("evil")).await;
    let topic = json!({ "sender": scene.remote.user("bob"), "type": "m.room.topic",
        "state_key": "", "content": { "topic": "evil" } });
    let (topic, _) = scene.says(topic).await;
    for id in [&evil, &topic] {
        assert!(!scene.sees(id).await);
    }
    assert_eq!(scene.news(&since).await, Vec::<String>::new());
    let path = path!("v3/rooms/{}/state/m.room.topic/", scene.room);
    scene.alice.get(&path).await.error(404, "M_NOT_FOUND");
    scene.policy.is(SIGNS);
    let next = scene.alice.send_text(&scene.room, "next").await;
    let next = scene.heard(&next).await;
    let named = next["prev_events"].as_array().expect("a list");
    assert!(!named.contains(&json!(evil)) && !named.contains(&json!(topic)), "{next:#}");
}

/// The sender's server got the signature after all, and sends the event once more with it.
#[tokio::test]
async fn an_event_that_is_signed_later_is_shown_then() {
    let scene = Scene::start().await;
    scene.policy.is(REFUSES);
    let (id, pdu) = scene.says(scene.text("late")).await;
    // The same again, and with a signature of somebody else.
    scene.remote.send_pdu(&scene.server, &id, &pdu).await;
    let mut forged = pdu.clone();
    let (_, by_other) =
        scene.policy.peer.sign_pdu_with(&new_key("policy_server"), &VERSION, pdu.clone());
    forged["signatures"] = by_other["signatures"].clone();
    scene.remote.send_pdu(&scene.server, &id, &forged).await;
    assert!(!scene.sees(&id).await);

    let since = scene.now().await;
    let (_, signed) = scene.policy.peer.sign_pdu_with(&scene.policy.key, &VERSION, pdu);
    let asked = scene.policy.times_asked();
    scene.remote.send_pdu(&scene.server, &id, &signed).await;
    assert_eq!(scene.policy.times_asked(), asked, "its signature is there");
    assert_eq!(scene.news(&since).await, [id.as_str()]);
    // Once.
    scene.remote.send_pdu(&scene.server, &id, &signed).await;
    let since = scene.now().await;
    assert_eq!(scene.news(&since).await, Vec::<String>::new());
    assert!(scene.sees(&id).await);
}

/// Messages and state, with what came before and after them.
#[tokio::test]
async fn what_was_refused_comes_back_when_the_room_has_no_such_policy_any_more() {
    for by_leaving in [false, true] {
        let scene = Scene::start().await;
        scene.policy.is(REFUSES);
        let (first, pdu) = scene.says(scene.text("first")).await;
        scene.remote.take(&scene.room, pdu);
        let name = json!({ "sender": scene.remote.user("bob"), "type": "m.room.name",
            "state_key": "", "content": { "name": "Bob's" } });
        let (name, _) = scene.says(name).await;
        assert!(!scene.sees(&first).await && !scene.sees(&name).await);
        let since = scene.now().await;
        if by_leaving {
            let user = scene.policy.peer.user("policy");
            let leave = json!({ "sender": user, "type": "m.room.member", "state_key": user,
                "content": { "membership": "leave" } });
            // It may say so of its own.
            scene.policy.is(SIGNS);
            scene.policy.peer.send_event(&scene.server, &scene.room, leave).await;
        } else {
            scene.alice.set_state(&scene.room, "m.room.policy", "", json!({})).await;
        }
        let news = scene.news(&since).await;
        assert_eq!(news[news.len() - 2..], [first, name], "by leaving: {by_leaving}");
        let now = scene.alice.state(&scene.room, "m.room.name", "").await;
        assert_eq!(now["name"], "Bob's");
        scene.alice.send_text(&scene.room, "and the room goes on").await;
    }
}

/// An event that came while the policy server was not there is asked for again when it is.
#[tokio::test]
async fn what_could_not_be_asked_for_comes_when_the_policy_server_is_back() {
    let scene = Scene::start().await;
    scene.policy.is(IS_DOWN);
    let (lost, _) = scene.says(scene.text("while it was down")).await;
    scene.policy.is(REFUSES);
    let (refused, _) = scene.says(scene.text("refused")).await;
    assert!(!scene.sees(&lost).await);
    scene.policy.is(SIGNS);
    let (next, _) = scene.says(scene.text("next")).await;
    assert!(scene.sees(&next).await && scene.sees(&lost).await);
    assert!(!scene.sees(&refused).await, "no is no");
    let asked = scene.policy.times_asked();
    scene.says(scene.text("another")).await;
    assert_eq!(scene.policy.times_asked(), asked + 1, "and is not asked again");
}

/// Two admins name different policy servers, each before hearing of the other; and there is another
/// policy event that is none. Whoever comes when in whatever order: there is one policy in the end, and
/// what it allows is there.
#[tokio::test]
async fn two_policy_events_do_not_split_the_room() {
    let scene = Scene::start().await;
    let second = Policy::start().await;
    second.peer.join(&scene.server, &scene.room, "second").await;
    let joined = second.peer.room(&scene.room).extremities[0].clone();
    scene.heard(&joined).await;
    scene
        .says(json!({ "sender": scene.remote.user("bob"), "type": "m.room.policy",
        "state_key": "other", "content": second.content() }))
        .await;
    let before = scene.remote.room(&scene.room);

    // Bob's is later by the clock, and comes after Alice's.
    let mut content = scene.policy.content();
    content["comment"] = json!("Alice's");
    let since = scene.now().await;
    scene.alice.set_state(&scene.room, "m.room.policy", "", content).await;
    scene.policy.is(REFUSES);
    let (early, early_pdu) = scene.says(scene.text("refused by the first")).await;
    assert!(!scene.sees(&early).await);
    let mut bobs = json!({ "sender": scene.remote.user("bob"), "type": "m.room.policy",
        "state_key": "", "content": second.content() });
    let later = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    bobs["origin_server_ts"] = json!(u64::try_from(later.as_millis()).unwrap() + 60_000);
    let (id, pdu) = scene.remote.sign_pdu(&VERSION, before.complete(bobs));
    // Nobody needs a policy server to change it.
    scene.remote.send_pdu(&scene.server, &id, &pdu).await;
    let now = scene.alice.state(&scene.room, "m.room.policy", "").await;
    assert_eq!(now["via"], second.peer.name().as_str(), "the state is resolved: {now:#}");
    // What the second allows is there, also what the first did not.
    until("the second policy server allows it", async || scene.sees(&early).await.then_some(()))
        .await;
    let next = scene.alice.send_text(&scene.room, "by the second").await;
    let pdu = scene.heard(&next).await;
    let signatures = &pdu["signatures"][second.peer.name().as_str()];
    assert!(signatures["ed25519:policy_server"].is_string(), "{pdu:#}");
    let named = pdu["prev_events"].as_array().expect("a list");
    assert!(named.contains(&json!(early)), "{pdu:#}\n{early_pdu:#}");
    let news = scene.news(&since).await;
    for id in [&early, &next, &id] {
        assert_eq!(news.iter().filter(|seen| *seen == id).count(), 1, "{news:?}");
    }
}

/// The events of those who come through us are asked for like all others.
#[tokio::test]
async fn whom_the_policy_server_refuses_does_not_come_in_through_us() {
    let scene = Scene::start().await;
    scene.policy.is(REFUSES);
    let guest = RemoteServer::start().await;
    let user = guest.user("guest");
    let make = format!("{}?ver=12", path!("v1/make_join/{}/{}", scene.room, user));
    let template = guest.get(&scene.server, &make).await.ok();
    let (id, pdu) = guest.sign_pdu(&VERSION, template["event"].clone());
    let send = path!("v2/send_join/{}/{}", scene.room, id);
    guest.put(&scene.server, &send, pdu.clone()).await.error(403, "M_FORBIDDEN");
    let member = path!("v3/rooms/{}/state/m.room.member/{}", scene.room, user);
    scene.alice.get(&member).await.error(404, "M_NOT_FOUND");
    // It thinks better of it.
    scene.policy.is(SIGNS);
    guest.put(&scene.server, &send, pdu).await.ok();
    assert_eq!(scene.alice.state(&scene.room, "m.room.member", &user).await["membership"], "join");
}
