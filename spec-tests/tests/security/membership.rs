//! Other servers let our users in, and want them in: what must neither become a signature of ours nor a
//! room of ours? SECURITY.md, lines 2 to 5, 13 and 14.

use std::time::{Duration, Instant};

use kith_spec_tests::{Events, RemoteReply as Reply, RemoteServer, TestServer, TestUser, path};
use ruma::{RoomId, RoomVersionId};
use serde_json::{Value, json};

const VERSION: RoomVersionId = RoomVersionId::V11;

async fn join(user: &TestUser, room: &str, via: &RemoteServer) -> kith_spec_tests::Answer {
    let path = format!("{}?via={}", path!("v3/join/{}", room), via.name());
    user.post(&path, json!({})).await
}

/// Line 2: whatever a resident proposes, nothing but a leave of that user from that room is signed.
#[tokio::test]
async fn a_resident_cannot_have_anything_signed_by_way_of_a_leave_or_a_knock() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = remote.create_room_with(&VERSION, "rachel", "knock");
    let template = |membership: &str| {
        remote.room(&room).complete(json!({
            "sender": alice.user_id, "type": "m.room.member", "state_key": alice.user_id,
            "content": { "membership": membership },
        }))
    };
    let wrong = [
        ("type", json!("m.room.power_levels")),
        ("sender", json!(bob.user_id)),
        ("state_key", json!(bob.user_id)),
        ("room_id", json!("!another:elsewhere.test")),
        ("content", json!({ "membership": "join" })),
        ("content", json!({ "membership": "ban" })),
    ];
    let knock = format!("{}?via={}", path!("v3/knock/{}", room), remote.name());
    for (field, value) in &wrong {
        let mut event = template("knock");
        event[*field] = value.clone();
        remote.answer("GET", "v1/make_knock/{}/{}", move |_| {
            Reply::json(200, json!({ "room_version": VERSION, "event": event.clone() }))
        });
        alice.post(&knock, json!({})).await.error(502, "M_UNKNOWN");
    }
    let signed = |what: &str| remote.asked().iter().any(|asked| asked.is("PUT", what));
    assert!(!signed("v1/send_knock/{}/{}"));
    for (field, value) in &wrong {
        remote.answer_as_usual();
        alice.post(&knock, json!({})).await.ok();
        let mut event = template("leave");
        event[*field] = value.clone();
        remote.answer("GET", "v1/make_leave/{}/{}", move |_| {
            Reply::json(200, json!({ "room_version": VERSION, "event": event.clone() }))
        });
        alice.leave(&room).await;
    }
    assert!(!signed("v2/send_leave/{}/{}"));
}

/// Lines 3 and 5: an invite is signed only if it is one, into the room and with the ID of the path.
#[tokio::test]
async fn nothing_but_an_invite_into_that_room_is_signed() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room_with(&VERSION, "rachel", "invite");
    let other = remote.create_room_with(&VERSION, "rachel", "invite");
    let invite = json!({
        "sender": remote.user("rachel"), "type": "m.room.member", "state_key": alice.user_id,
        "content": { "membership": "invite" },
    });
    let put = async |room: &str, id: &str, version: &str, event: &Value| {
        let state = [remote.room(room).state_event("m.room.create", "").cloned()];
        let body = json!({ "room_version": version, "event": event, "invite_room_state": state });
        remote.put(&server, &path!("v2/invite/{}/{}", room, id), body).await
    };
    let changes = [
        ("type", json!("m.room.power_levels")),
        ("type", json!("m.room.message")),
        ("content", json!({ "membership": "join" })),
        ("content", json!({ "membership": "leave" })),
        ("content", json!({ "users": { "@rachel:elsewhere.test": 100 } })),
        ("state_key", json!("")),
        ("state_key", json!(remote.user("ronald"))),
        ("sender", json!(alice.user_id)),
    ];
    for (field, value) in changes {
        let mut event = remote.room(&room).complete(invite.clone());
        event[field] = value;
        let event = remote.sign_pdu(&VERSION, event);
        let answer = put(&room, &event.0, VERSION.as_str(), &event.1).await;
        answer.error(400, "M_INVALID_PARAM");
    }
    let (id, event) = remote.build(&room, invite);
    put(&other, &id, VERSION.as_str(), &event).await.error(400, "M_INVALID_PARAM");
    put(&room, "$another", VERSION.as_str(), &event).await.error(400, "M_INVALID_PARAM");
    for version in ["6", "10", "12"] {
        put(&room, &id, version, &event).await.error(400, "M_INVALID_PARAM");
    }
    put(&room, &id, VERSION.as_str(), &event).await.ok();
}

/// Line 5: an event of one room is not taken at the path of another.
#[tokio::test]
async fn an_event_of_another_room_is_not_taken() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let public = json!({ "preset": "public_chat" });
    let rooms =
        [alice.create_room_from(public.clone()).await, alice.create_room_from(public).await];
    let user = remote.user("rachel");
    let versions: Vec<String> = (6..=12).map(|version| format!("ver={version}")).collect();
    let path = path!("v1/make_join/{}/{}", rooms[0], user);
    let answer = remote.get(&server, &format!("{path}?{}", versions.join("&"))).await.ok();
    let version = answer["room_version"].as_str().expect("a version").try_into().expect("known");
    let (id, pdu) = remote.sign_pdu(&version, answer["event"].clone());
    for endpoint in ["v2/send_join/{}/{}", "v2/send_leave/{}/{}", "v1/send_knock/{}/{}"] {
        let mut path = endpoint.to_owned();
        for part in [&rooms[1], &id] {
            path = path.replacen("{}", &kith_spec_tests::encode(part), 1);
        }
        remote.put(&server, &path, pdu.clone()).await.error(400, "M_INVALID_PARAM");
    }
    for room in &rooms {
        let member = path!("v3/rooms/{}/state/m.room.member/{}", room, user);
        alice.get(&member).await.error(404, "M_NOT_FOUND");
    }
}

/// Line 4: a room that does not hold together is not joined, and nothing stays of it.
#[tokio::test]
async fn a_poisoned_room_is_not_joined_and_leaves_nothing_behind() {
    type Poison = fn(&RemoteServer, &str, &mut Value);
    fn list<'a>(answer: &'a mut Value, field: &str) -> &'a mut Vec<Value> {
        answer[field].as_array_mut().expect("a list")
    }
    fn of(event: &Value, kind: &str) -> bool {
        event["type"] == kind
    }
    let poisons: [(&str, Poison); 11] =
        [
            ("no state", |_, _, answer| {
                answer["state"] = json!([]);
                answer["auth_chain"] = json!([]);
            }),
            ("no create event", |_, _, answer| {
                for field in ["state", "auth_chain"] {
                    list(answer, field).retain(|event| !of(event, "m.room.create"));
                }
            }),
            ("a create event of another room", |remote, _, answer| {
                let other = remote.create_room(&VERSION, "ronald");
                let create = remote.room(&other).state_event("m.room.create", "").cloned();
                for field in ["state", "auth_chain"] {
                    list(answer, field).retain(|event| !of(event, "m.room.create"));
                    list(answer, field).extend(create.clone());
                }
            }),
            ("two create events", |remote, room, answer| {
                let mut create =
                    remote.room(room).state_event("m.room.create", "").cloned().expect("one");
                create["origin_server_ts"] = json!(1);
                let (_, create) = remote.sign_pdu(&VERSION, create);
                list(answer, "state").push(create);
            }),
            ("another room's name", |remote, _, answer| {
                let other = remote.create_room(&VERSION, "ronald");
                let rules = remote.room(&other).state_event("m.room.join_rules", "").cloned();
                list(answer, "state").extend(rules);
            }),
            ("an unsigned create event", |_, _, answer| {
                for field in ["state", "auth_chain"] {
                    for event in list(answer, field) {
                        if of(event, "m.room.create") {
                            event["signatures"] = json!({});
                        }
                    }
                }
            }),
            ("unsigned power levels", |_, _, answer| {
                for field in ["state", "auth_chain"] {
                    for event in list(answer, field) {
                        if of(event, "m.room.power_levels") {
                            event["signatures"] = json!({});
                        }
                    }
                }
            }),
            ("everything unsigned", |_, _, answer| {
                for field in ["state", "auth_chain"] {
                    for event in list(answer, field) {
                        event["signatures"] = json!({});
                    }
                }
            }),
            ("join rules that let nobody in", |remote, room, answer| {
                let rules = remote.build(room, json!({
                "sender": remote.user("rachel"), "type": "m.room.join_rules", "state_key": "",
                "content": { "join_rule": "invite" },
            }));
                list(answer, "state").retain(|event| !of(event, "m.room.join_rules"));
                list(answer, "state").push(rules.1);
            }),
            ("no lists", |_, _, answer| {
                answer["state"] = json!({ "m.room.create": "nothing" });
            }),
            ("garbage", |_, _, answer| {
                answer["state"] = json!([null, 7, "text", [], {}, { "type": "m.room.create" }]);
                answer["auth_chain"] = json!([{}]);
            }),
        ];
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let remote = std::sync::Arc::new(remote);
    let alice = server.register("alice").await;
    for (what, poison) in poisons {
        let room = remote.create_room(&VERSION, "rachel");
        let (peer, id) = (std::sync::Arc::clone(&remote), room.clone());
        remote.answer("PUT", "v2/send_join/{}/{}", move |_| {
            let copy = peer.room(&id);
            let state: Vec<String> = copy.state.values().cloned().collect();
            let chain = copy.auth_chain(state.clone());
            let mut answer = json!({
                "state": copy.pdus(state), "auth_chain": copy.pdus(chain), "members_omitted": false,
            });
            poison(&peer, &id, &mut answer);
            answer
        });
        let answer = join(&alice, &room, &remote).await;
        assert_eq!(answer.status, 502, "{what}\n{answer}");
        let id = <&RoomId>::try_from(room.as_str()).expect("a room ID");
        let known = server.app().rooms.get(id).await.expect("the store works");
        assert!(known.is_none(), "{what}: something is left of the room");
        alice.get(&path!("v3/rooms/{}/state", room)).await.error(403, "M_FORBIDDEN");
        remote.answer_as_usual();
        join(&alice, &room, &remote).await.ok();
    }
}

/// Line 4: what is in the state besides what the room's rules allow is not believed.
#[tokio::test]
async fn what_the_rooms_rules_do_not_allow_is_no_state_of_a_joined_room() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let remote = std::sync::Arc::new(remote);
    let alice = server.register("alice").await;
    let room = remote.create_room(&VERSION, "rachel");
    let (peer, id, ours) = (std::sync::Arc::clone(&remote), room.clone(), alice.user_id.clone());
    remote.answer("PUT", "v2/send_join/{}/{}", move |_| {
        let copy = peer.room(&id);
        let state: Vec<String> = copy.state.values().cloned().collect();
        let chain = copy.auth_chain(state.clone());
        let mut state = copy.pdus(state);
        // By somebody who is not in the room, and by one of ours without our signature.
        for sender in [peer.user("mallory"), ours.clone()] {
            let topic = copy.complete(json!({
                "sender": sender, "type": "m.room.topic", "state_key": sender,
                "content": { "topic": "forged" },
            }));
            state.push(peer.sign_pdu(&VERSION, topic).1);
        }
        json!({ "state": state, "auth_chain": copy.pdus(chain) })
    });
    join(&alice, &room, &remote).await.ok();
    let state = alice.full_state(&room).await;
    assert!(!state.to_string().contains("forged"), "{state:#}");
    let types = Events(&state).types();
    assert!(types.contains(&"m.room.power_levels"), "{types:?}");
}

/// Line 13: whatever is said of the room with an invite, the user's sync goes on, and stays small.
#[tokio::test]
async fn garbage_in_an_invites_state_does_not_break_syncs() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let entry = |kind: &str, content: Value| {
        json!({
            "type": kind, "state_key": "", "sender": remote.user("rachel"), "content": content,
        })
    };
    let many: Vec<Value> = (0..5_000).map(|n| entry(&format!("type.{n}"), json!({}))).collect();
    let large: Vec<Value> = (0..60)
        .map(|n| entry(&format!("type.{n}"), json!({ "text": "x".repeat(50_000) })))
        .collect();
    let deep = (0..100).fold(json!({}), |deep, _| json!({ "deeper": deep }));
    let garbage = [
        json!([null, 7, "text", [], {}, { "type": 1 }, { "content": null }, [[[]]]]),
        json!([entry("m.room.name", json!("no object")), entry("m.room.name", json!(null))]),
        json!([entry("m.room.name", json!({ "name": { "no": "text" } }))]),
        json!([entry("m.room.encryption", deep), entry("", json!({}))]),
        json!([{ "type": "m.room.member", "state_key": alice.user_id, "sender": "@", "content": {} }]),
        json!(many),
        json!(large),
        json!("no list"),
        json!(null),
    ];
    let mut taken_at_all = 0;
    for (n, mut state) in garbage.into_iter().enumerate() {
        let room = remote.create_room_with(&VERSION, "rachel", "invite");
        let (id, event) = remote.build(&room, json!({
            "sender": remote.user("rachel"), "type": "m.room.member", "state_key": alice.user_id,
            "content": { "membership": "invite" },
        }));
        if let Some(state) = state.as_array_mut() {
            state.insert(0, remote.room(&room).state_event("m.room.create", "").cloned().unwrap());
        }
        let since = alice.sync(None).await.next_batch;
        let body = json!({ "room_version": VERSION, "event": event, "invite_room_state": state });
        let answer = remote.put(&server, &path!("v2/invite/{}/{}", room, id), body).await;
        let taken = answer.status == 200;
        assert!(taken || (400..500).contains(&answer.status), "{n}\n{answer}");
        for since in [None, Some(since)] {
            let sync = alice.sync(since).await;
            assert_eq!(sync.invited(&room).is_object(), taken, "{n}: {:#}", sync.json);
            let size = sync.invited(&room).to_string().len();
            assert!(size < 200_000, "{n}: {size} bytes");
        }
        if taken {
            taken_at_all += 1;
            alice.leave(&room).await;
        }
    }
    assert!(taken_at_all > 4, "{taken_at_all}");
}

/// Line 3: until we join, anybody may say anything of a room: it does not keep us from joining it as it is.
#[tokio::test]
async fn an_invite_that_lies_about_the_room_does_not_spoil_it() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let liar = RemoteServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = remote.create_room(&VERSION, "rachel");
    let old = RoomVersionId::V6;
    let (id, lie) = liar.sign_pdu(
        &old,
        json!({
            "sender": liar.user("mallory"), "type": "m.room.member", "state_key": bob.user_id,
            "room_id": room, "content": { "membership": "invite" }, "origin_server_ts": 1,
            "depth": 10, "prev_events": ["$a"], "auth_events": ["$b"],
        }),
    );
    let create = json!({
        "type": "m.room.create", "state_key": "", "sender": remote.user("rachel"),
        "content": { "room_version": old, "creator": remote.user("rachel") },
    });
    let body = json!({ "room_version": old, "event": lie, "invite_room_state": [create] });
    liar.put(&server, &path!("v2/invite/{}/{}", room, id), body).await.ok();
    assert!(bob.sync(None).await.invited(&room).is_object());
    // The truth comes with an invite, and with a join.
    let (id, event) = remote.build(
        &room,
        json!({
            "sender": remote.user("rachel"), "type": "m.room.member", "state_key": alice.user_id,
            "content": { "membership": "invite" },
        }),
    );
    let create = remote.room(&room).state_event("m.room.create", "").cloned();
    let body = json!({ "room_version": VERSION, "event": event, "invite_room_state": [create] });
    remote.put(&server, &path!("v2/invite/{}/{}", room, id), body).await.ok();
    join(&alice, &room, &remote).await.ok();
    let create = alice.state(&room, "m.room.create", "").await;
    assert_eq!(create["room_version"], VERSION.as_str());
    let sync = alice.sync(None).await;
    assert!(sync.joined(&room).is_object() && sync.invited(&room).is_null(), "{:#}", sync.json);
    assert!(bob.sync(None).await.invited(&room).is_null(), "the lie is forgotten");
    join(&bob, &room, &remote).await.ok();
    alice.leave(&room).await;
    bob.leave(&room).await;
}

/// Line 14: a list with ten thousand chains of stars costs no request any time.
#[tokio::test]
async fn an_access_control_list_full_of_stars_holds_up_nobody() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = alice.create_room_from(json!({ "preset": "public_chat" })).await;
    remote.join(&server, &room, "rachel").await;
    let stars: Vec<String> = (0..8_000).map(|n| format!("*0*{}", n % 9)).collect();
    assert!(json!(stars).to_string().len() < 65_000);
    let acl = json!({ "allow": ["*"], "deny": stars, "allow_ip_literals": true });
    alice.set_state(&room, "m.room.server_acl", "", acl).await;
    let begun = Instant::now();
    for _ in 0..200 {
        let path = path!("v1/state_ids/{}", room);
        let answer = remote.get(&server, &format!("{path}?event_id=%24nothing")).await;
        assert!((400..500).contains(&answer.status), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // 127.0.0.1 has a 1 after a 0.
    let answer =
        remote.get(&server, &format!("{}?event_id=%24x", path!("v1/state/{}", room))).await;
    answer.error(403, "M_FORBIDDEN");
}
