//! `3pid/onbind`, `exchange_third_party_invite`, and the clients' invites by address that lead to them. A
//! peer plays the identity server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kith_spec_tests::{Answer, RemoteServer, TestServer, TestUser, new_key, path, until};
use ruma::{
    RoomVersionId,
    serde::{Base64, base64::UrlSafe},
};
use serde_json::{Value, json};

use crate::scene::Scene;

/// Knows whose `alice@example.com` is, and keeps invites for all others.
struct Identity {
    peer: RemoteServer,
    key_is_valid: Arc<AtomicBool>,
}

impl Identity {
    async fn start(alice: &str) -> Self {
        let (peer, key_is_valid) = (RemoteServer::start().await, Arc::new(AtomicBool::new(true)));
        let details = json!({ "lookup_pepper": "matrixrocks", "algorithms": ["sha256"] });
        peer.answer("GET", "/_matrix/identity/v2/hash_details", move |_| details.clone());
        // The specification's own example.
        let known = "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc";
        let alice = alice.to_owned();
        peer.answer("POST", "/_matrix/identity/v2/lookup", move |asked| {
            let found = asked.body["addresses"][0] == known;
            json!({ "mappings": if found { json!({ known: alice }) } else { json!({}) } })
        });
        let own = Base64::<UrlSafe>::new(peer.key().public_key().to_vec()).encode();
        let other = Base64::<UrlSafe>::new(new_key("ephemeral").public_key().to_vec()).encode();
        let url = format!("https://{}/_matrix/identity/v2/pubkey/isvalid", peer.name());
        let mut kept = 0;
        peer.answer("POST", "/_matrix/identity/v2/store-invite", move |_| {
            kept += 1;
            json!({ "token": format!("token-{kept}"), "display_name": "b...@e...", "public_keys": [
                { "public_key": other, "key_validity_url": url },
                { "public_key": own, "key_validity_url": url },
            ] })
        });
        let valid = Arc::clone(&key_is_valid);
        peer.answer("GET", "/_matrix/identity/v2/pubkey/isvalid", move |asked| {
            let named = asked.parameter("public_key").is_some();
            json!({ "valid": named && valid.load(Ordering::SeqCst) })
        });
        Self { peer, key_is_valid }
    }

    fn address(&self, address: &str) -> Value {
        json!({ "id_server": self.peer.name(), "id_access_token": "secret", "medium": "email",
            "address": address })
    }

    /// Somebody showed that the address of an invite is theirs.
    fn signed(&self, user: &str, token: &str) -> Value {
        self.peer.sign(json!({ "mxid": user, "token": token }))
    }

    fn kept(&self) -> Vec<Value> {
        let asked = self.peer.asked().into_iter();
        let asked = asked.filter(|asked| asked.path.ends_with("/store-invite"));
        asked.map(|asked| asked.body).collect()
    }
}

async fn invite(user: &TestUser, room: &str, body: Value) -> Answer {
    user.post(&path!("v3/rooms/{}/invite", room), body).await
}

fn exchange(room: &str, inviter: &str, invited: &str, signed: &Value) -> Value {
    json!({ "type": "m.room.member", "room_id": room, "sender": inviter, "state_key": invited,
        "content": { "membership": "invite",
            "third_party_invite": { "display_name": "whoever", "signed": signed } } })
}

async fn put_exchange(
    remote: &RemoteServer,
    server: &TestServer,
    room: &str,
    body: Value,
) -> Answer {
    remote.put(server, &path!("v1/exchange_third_party_invite/{}", room), body).await
}

fn binding(user: &str, room: &str, inviter: &str, signed: &Value) -> Value {
    json!({ "medium": "email", "address": "bob@example.com", "mxid": user, "invites": [{
        "medium": "email", "address": "bob@example.com", "mxid": user, "room_id": room,
        "sender": inviter, "signed": signed,
    }] })
}

/// Identity servers sign nothing but what they found.
async fn bind(server: &TestServer, body: Value) -> Answer {
    server.anonymous().put("/_matrix/federation/v1/3pid/onbind", body).await
}

#[tokio::test]
async fn an_address_that_the_identity_server_knows_is_invited_by_user_id() {
    let scene = Scene::new().await;
    let dora = scene.server.register("dora").await;
    let identity = Identity::start(&dora.user_id).await;
    invite(&scene.alice, &scene.room, identity.address("alice@example.com")).await.ok();
    let sync = dora.sync(None).await;
    assert!(sync.invited(&scene.room).is_object(), "{:#}", sync.json);
    assert_eq!(identity.kept(), Vec::<Value>::new());
    let asked = identity.peer.asked();
    let lookup = asked.iter().find(|asked| asked.path.ends_with("/lookup")).expect("a lookup");
    assert_eq!(lookup.headers["authorization"], "Bearer secret");
    assert!(!lookup.body.to_string().contains("example.com"), "nobody is named: {}", lookup.body);
}

#[tokio::test]
async fn an_address_that_nobody_has_waits_in_the_room_for_its_owner() {
    let scene = Scene::new().await;
    scene.alice.set_state(&scene.room, "m.room.name", "", json!({ "name": "Club" })).await;
    let identity = Identity::start("@nobody:elsewhere.test").await;
    invite(&scene.alice, &scene.room, identity.address("bob@example.com")).await.ok();
    let kept = identity.kept();
    assert_eq!(kept[0]["room_name"], "Club");
    assert_eq!(kept[0]["sender"], scene.alice.user_id.as_str());
    let pending = scene.alice.state(&scene.room, "m.room.third_party_invite", "token-1").await;
    assert_eq!(pending["display_name"], "b...@e...");
    assert_eq!(pending["public_keys"].as_array().map(Vec::len), Some(2), "{pending}");
    assert!(!pending.to_string().contains("bob@"), "{pending}");

    // The owner is of our server.
    let dora = scene.server.register("dora").await;
    let signed = identity.signed(&dora.user_id, "token-1");
    let body = binding(&dora.user_id, &scene.room, &scene.alice.user_id, &signed);
    bind(&scene.server, body.clone()).await.ok();
    bind(&scene.server, body).await.ok();
    assert!(dora.sync(None).await.invited(&scene.room).is_object());
    let member = scene.alice.state(&scene.room, "m.room.member", &dora.user_id).await;
    assert_eq!(member["third_party_invite"]["signed"], signed);
    assert_eq!(member["third_party_invite"]["display_name"], "b...@e...");
    dora.join(&scene.room).await;
    let body = binding(&dora.user_id, &scene.room, &scene.alice.user_id, &signed);
    bind(&scene.server, body).await.ok();
    assert_eq!(scene.alice.membership_of(&scene.room, &dora).await.as_deref(), Some("join"));
}

/// Alice's room is on one server, Dora on another.
#[tokio::test]
async fn the_inviting_server_makes_an_invite_for_the_owners_server() {
    let (here, there) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, dora) = (here.register("alice").await, there.register("dora").await);
    let identity = Identity::start("@nobody:elsewhere.test").await;
    for version in ["10", "12"] {
        let body = json!({ "preset": "private_chat", "room_version": version,
            "invite_3pid": [identity.address("bob@example.com")] });
        let room = alice.create_room_from(body).await;
        let state = alice.state_ids(&room).await;
        let mut pending = state.keys().filter(|(kind, _)| kind == "m.room.third_party_invite");
        let token = &pending.next().expect("it waits").1;
        let signed = identity.signed(&dora.user_id, token);
        bind(&there, binding(&dora.user_id, &room, &alice.user_id, &signed)).await.ok();
        let sync = dora.sync(None).await;
        assert!(sync.invited(&room).is_object(), "{version}: {:#}", sync.json);
        let path = format!("{}?via={}", path!("v3/join/{}", room), here.name());
        dora.post(&path, json!({})).await.ok();
        until("both are there", async || {
            (alice.membership_of(&room, &dora).await.as_deref() == Some("join")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_but_the_proof_that_the_room_waits_for_becomes_an_invite() {
    let scene = Scene::new().await;
    let (server, room, alice) = (&scene.server, &scene.room, &scene.alice);
    let identity = Identity::start("@nobody:elsewhere.test").await;
    invite(alice, room, identity.address("bob@example.com")).await.ok();
    invite(alice, room, identity.address("other@example.com")).await.ok();
    let guest = RemoteServer::start().await;
    let carol = guest.user("carol");
    let signed = identity.signed(&carol, "token-1");
    let good = exchange(room, &alice.user_id, &carol, &signed);
    let before = alice.state_ids(room).await;

    let with = |signed: Value| exchange(room, &alice.user_id, &carol, &signed);
    let mut unsigned = signed.clone();
    unsigned["signatures"] = json!({});
    let mut changed = signed.clone();
    changed["token"] = json!("token-2");
    let mut no_token = signed.clone();
    no_token.as_object_mut().expect("an object").remove("token");
    let mut of_other_type = good.clone();
    of_other_type["type"] = json!("m.room.power_levels");
    let mut join = good.clone();
    join["content"]["membership"] = json!("join");
    let forger = RemoteServer::start().await;
    let forged = forger.sign(json!({ "mxid": carol, "token": "token-1" }));
    let bad = [
        with(unsigned),
        with(changed),
        with(no_token),
        with(forged),
        with(json!(7)),
        with(identity.signed(&carol, "token-3")),
        with(identity.signed(&guest.user("dave"), "token-1")),
        exchange(room, &alice.user_id, &guest.user("dave"), &signed),
        exchange(room, &scene.remote.user("bob"), &carol, &signed),
        exchange(room, &server.register("eve").await.user_id, &carol, &signed),
        of_other_type,
        join,
    ];
    for body in bad {
        let answer = put_exchange(&guest, server, room, body.clone()).await;
        assert!([400, 403].contains(&answer.status), "{body:#}\n{answer}");
    }
    let other = alice.create_room().await;
    let answer = put_exchange(&guest, server, &other, good.clone()).await;
    assert!([400, 403].contains(&answer.status), "{answer}");
    identity.key_is_valid.store(false, Ordering::SeqCst);
    put_exchange(&guest, server, room, good.clone()).await.error(403, "M_FORBIDDEN");
    identity.key_is_valid.store(true, Ordering::SeqCst);
    assert!(!guest.asked().iter().any(|asked| asked.is("PUT", "v2/invite/{}/{}")));
    // Who is banned stays out.
    let ban = json!({ "user_id": carol });
    alice.post(&path!("v3/rooms/{}/ban", room), ban.clone()).await.ok();
    put_exchange(&guest, server, room, good.clone()).await.error(403, "M_FORBIDDEN");
    alice.post(&path!("v3/rooms/{}/unban", room), ban).await.ok();
    // An invite that was taken back.
    alice.set_state(room, "m.room.third_party_invite", "token-1", json!({})).await;
    put_exchange(&guest, server, room, good).await.error(403, "M_FORBIDDEN");
    let after = alice.state_ids(room).await;
    let differ = |(kind, _): &&(String, String)| kind != "m.room.third_party_invite";
    let carols = ("m.room.member".to_owned(), carol.clone());
    for key in before.keys().filter(differ) {
        assert_eq!(before[key], after[key], "{key:?}");
    }
    assert!(after.contains_key(&carols), "she was banned and is not any more");
}

/// The peer invites one of our users by an address: our server hands the proof to it, and takes its
/// invite if it is signed.
#[tokio::test]
async fn a_proof_is_handed_to_the_inviting_server_and_its_invite_is_taken() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let dora = server.register("dora").await;
    let identity = Identity::start("@nobody:elsewhere.test").await;
    let version = RoomVersionId::V12;
    let room = remote.create_room_with(&version, "rachel", "invite");
    let (signed, rachel) = (identity.signed(&dora.user_id, "abc"), remote.user("rachel"));
    let body = binding(&dora.user_id, &room, &rachel, &signed);
    remote.answer("PUT", "v1/exchange_third_party_invite/{}", |_| json!({}));
    bind(&server, body.clone()).await.ok();
    let asked = remote.wait_for(|asked| asked.path.contains("exchange_third_party")).await;
    assert_eq!(asked.body["content"]["third_party_invite"]["signed"], signed);
    assert_eq!(asked.body["state_key"], dora.user_id.as_str());
    assert_eq!(asked.body["sender"], rachel.as_str());
    assert!(!asked.body.to_string().contains("bob@example.com"), "{}", asked.body);

    // What is not about one of our users, or not about this one, is handed to nobody.
    let strangers = [
        binding(&remote.user("bob"), &room, &rachel, &identity.signed(&remote.user("bob"), "a")),
        binding(&dora.user_id, &room, &rachel, &identity.signed(&remote.user("bob"), "a")),
        binding(&format!("@nobody:{}", server.name()), &room, &rachel, &signed),
        binding(&dora.user_id, &room, &rachel, &json!({ "mxid": dora.user_id })),
    ];
    for body in strangers {
        let answer = bind(&server, body.clone()).await;
        assert!((400..500).contains(&answer.status), "{body:#}\n{answer}");
    }
    let mut many = body.clone();
    many["invites"] = json!(vec![many["invites"][0].clone(); 101]);
    assert_eq!(bind(&server, many).await.status, 413);
    let asked = remote.asked();
    let handed = asked.iter().filter(|asked| asked.path.contains("exchange_third_party"));
    assert_eq!(handed.count(), 1);
    remote.answer("PUT", "v1/exchange_third_party_invite/{}", |_| {
        kith_spec_tests::RemoteReply::error(403, "M_FORBIDDEN")
    });
    bind(&server, body).await.error(403, "M_FORBIDDEN");

    // The invite that follows.
    let content = |signed: &Value| {
        json!({ "membership": "invite",
            "third_party_invite": { "display_name": "d...", "signed": signed } })
    };
    let event = |content: Value| {
        json!({ "sender": rachel, "type": "m.room.member", "state_key": dora.user_id,
            "content": content })
    };
    let create = remote.room(&room).state_event("m.room.create", "").cloned().expect("one");
    let put = async |id: &str, event: &Value| {
        let body =
            json!({ "room_version": version, "event": event, "invite_room_state": [create] });
        remote.put(&server, &path!("v2/invite/{}/{}", room, id), body).await
    };
    let (id, mut pdu) = remote.build(&room, event(content(&signed)));
    pdu["signatures"] = json!({});
    put(&id, &pdu).await.error(400, "M_INVALID_PARAM");
    let (id, pdu) = remote.build(&room, event(content(&identity.signed(&rachel, "abc"))));
    put(&id, &pdu).await.error(400, "M_INVALID_PARAM");
    assert!(dora.sync(None).await.invited(&room).is_null());
    let (id, pdu) = remote.build(&room, event(content(&signed)));
    put(&id, &pdu).await.ok();
    assert!(dora.sync(None).await.invited(&room).is_object());
}

#[tokio::test]
async fn identity_servers_that_are_of_no_help_are_no_harm() {
    let scene = Scene::new().await;
    let identity = Identity::start("@nobody:elsewhere.test").await;
    let (alice, room) = (&scene.alice, &scene.room);
    let body = identity.address("bob@example.com");
    // Whoever may not invite causes no letter.
    let eve = scene.server.register("eve").await;
    invite(&eve, room, body.clone()).await.error(403, "M_FORBIDDEN");
    let mut levels = alice.state(room, "m.room.power_levels", "").await;
    levels["invite"] = json!(50);
    alice.set_state(room, "m.room.power_levels", "", levels).await;
    eve.join(room).await;
    invite(&eve, room, body.clone()).await.error(403, "M_FORBIDDEN");
    assert!(identity.peer.asked().is_empty());
    for name in ["", "two words", "127.0.0.1:1/../../secret", "user@127.0.0.1", "10.0.0.1"] {
        let mut body = body.clone();
        body["id_server"] = json!(name);
        let answer = invite(alice, room, body).await;
        assert!([400, 502].contains(&answer.status), "{name:?}\n{answer}");
    }
    identity.peer.answer(
        "POST",
        "/_matrix/identity/v2/store-invite",
        |_| json!({ "token": "../bad token", "display_name": "x", "public_keys": [] }),
    );
    invite(alice, room, body.clone()).await.error(502, "M_UNKNOWN");
    identity.peer.answer("GET", "/_matrix/identity/v2/hash_details", |_| {
        kith_spec_tests::RemoteReply::error(401, "M_UNAUTHORIZED")
    });
    // Nobody is signed out by what another server says.
    invite(alice, room, body.clone()).await.error(502, "M_UNKNOWN");
    identity.peer.answer("GET", "/_matrix/identity/v2/hash_details", |_| {
        kith_spec_tests::RemoteReply::error(403, "M_TERMS_NOT_SIGNED")
    });
    invite(alice, room, body.clone()).await.error(403, "M_TERMS_NOT_SIGNED");
    identity.peer.answer("GET", "/_matrix/identity/v2/hash_details", |_| {
        kith_spec_tests::RemoteReply::bytes("application/json", vec![b' '; 1 << 20])
    });
    invite(alice, room, body).await.error(502, "M_UNKNOWN");
    let state = alice.state_ids(room).await;
    assert!(!state.keys().any(|(kind, _)| kind == "m.room.third_party_invite"));
}
