//! SECURITY.md, line 1 ("Project Hydra"): what was decided in a room stays decided.
//!
//! The graphs of problems A and B are those of
//! [MSC4297](https://github.com/matrix-org/matrix-spec-proposals/pull/4297): another server holds states
//! that went wrong earlier, and hands them to ours, which has the right one.

use kith_spec_tests::{
    Answer, RemoteReply as Reply, RemoteServer, RemoteState as State, TestServer, TestUser, path,
};
use ruma::{RoomId, RoomVersionId};
use serde_json::{Value, json};

/// A room of the peer in which every event is put where the graph wants it.
struct Graph {
    server: TestServer,
    remote: RemoteServer,
    /// Ours; reads what becomes of the room.
    wendy: TestUser,
    version: RoomVersionId,
    room: String,
    /// The state of the public room that the peer's `alice` made.
    state: State,
    begun: u64,
    events: u64,
}

impl Graph {
    async fn new(version: RoomVersionId) -> Self {
        let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
        let wendy = server.register("wendy").await;
        let room = remote.create_room(&version, "alice");
        let copy = remote.room(&room);
        let first = copy.state_event("m.room.history_visibility", "").expect("set at the start");
        let begun = first["origin_server_ts"].as_u64().expect("a time");
        remote.answer("POST", "v1/get_missing_events/{}", |_| json!({ "events": [] }));
        Self { server, remote, wendy, version, room, state: copy.state, begun, events: 0 }
    }

    fn user(&self, localpart: &str) -> String {
        self.remote.user(localpart)
    }

    /// The state event that this user adds where the state is this one, and the state after it.
    fn add(&mut self, sender: &str, what: (&str, &str, Value), state: &State) -> (String, State) {
        let (kind, state_key, content) = what;
        let event = json!({
            "sender": self.user(sender), "type": kind, "state_key": state_key, "content": content,
        });
        let id = self.put(event, state);
        let mut after = state.clone();
        after.insert((kind.to_owned(), state_key.to_owned()), id.clone());
        (id, after)
    }

    fn member(&mut self, localpart: &str, content: Value, state: &State) -> (String, State) {
        let user = self.user(localpart);
        self.add(localpart, ("m.room.member", &user, content), state)
    }

    /// After all that came before it in time.
    fn put(&mut self, mut event: Value, state: &State) -> String {
        self.events += 1;
        event["origin_server_ts"] = json!(self.begun + self.events);
        let room = self.remote.room(&self.room);
        let pdu = room.complete_after(event, state, &room.extremities);
        let (id, pdu) = self.remote.sign_pdu(&self.version, pdu);
        self.remote.with_room(&self.room, |room| room.append_after(pdu, state.clone()));
        id
    }

    /// Wendy joins where the room's state is this.
    async fn wendy_joins(&self, state: &State) {
        self.remote.with_room(&self.room, |room| room.state = state.clone());
        join(&self.wendy, &self.room, &self.remote).await.ok();
    }

    /// A user of the peer says something after an event that ours has not seen, before which the state
    /// is said to be this.
    async fn speaks_after(&self, localpart: &str, unseen: &str, before: &State) {
        let room = self.remote.with_room(&self.room, |room| {
            let event = room.events[unseen].clone();
            room.append_after(event, before.clone());
            room.clone()
        });
        let text = json!({
            "sender": self.user(localpart), "type": "m.room.message",
            "content": { "msgtype": "m.text", "body": "from the other side" },
        });
        let pdu = room.complete_after(text, &room.state, &[unseen.to_owned()]);
        let (id, pdu) = self.remote.sign_pdu(&self.version, pdu);
        self.remote.send_pdu(&self.server, &id, &pdu).await;
        self.wendy.event(&self.room, &id).await;
    }

    /// The event that holds this state now, as Wendy sees it.
    async fn now(&self, kind: &str, state_key: &str) -> Option<String> {
        let ids = self.wendy.state_ids(&self.room).await;
        ids.get(&(kind.to_owned(), state_key.to_owned())).cloned()
    }

    async fn users_now(&self, users: &[(&str, &str)]) {
        for (localpart, event) in users {
            let now = self.now("m.room.member", &self.user(localpart)).await;
            assert_eq!(now.as_deref(), Some(*event), "{localpart}, {}", self.version);
        }
    }
}

async fn join(user: &TestUser, room: &str, via: &RemoteServer) -> Answer {
    let path = format!("{}?via={}", path!("v3/join/{}", room), via.name());
    user.post(&path, json!({})).await
}

/// Problem A: the room was closed by somebody who has left since. One side of the fork has lost that.
/// Room version 11 forgets that there were join rules at all; version 12 keeps the room closed.
#[tokio::test]
async fn a_room_that_was_closed_by_one_who_left_stays_closed_in_version_12() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let mut graph = Graph::new(version.clone()).await;
        let joined = |name: &str| json!({ "membership": "join", "displayname": name });
        let open = graph.state.clone();
        let (bob, state) = graph.member("bob", joined("bob"), &open);
        let (charlie, state) = graph.member("charlie", joined("charlie"), &state);
        let rules = ("m.room.join_rules", "", json!({ "join_rule": "invite" }));
        let (closed, state) = graph.add("alice", rules, &state);
        let (gone, state) = graph.member("alice", json!({ "membership": "leave" }), &state);
        let (new_bob, bobs) = graph.member("bob", joined("bob++"), &state);
        let (new_charlie, _) = graph.member("charlie", joined("charlie++"), &state);

        let wendy = graph.wendy.user_id.clone();
        let invite = ("m.room.member", wendy.as_str(), json!({ "membership": "invite" }));
        let (_, bobs) = graph.add("bob", invite, &bobs);
        graph.wendy_joins(&bobs).await;
        assert_eq!(graph.now("m.room.join_rules", "").await.as_ref(), Some(&closed));

        // Charlie's server has Charlie's own event, which rests on the closed room, and the open room.
        let mut charlies = state.clone();
        let key = ("m.room.join_rules".to_owned(), String::new());
        charlies.insert(key.clone(), open[&key].clone());
        charlies.insert(("m.room.member".to_owned(), graph.user("bob")), bob);
        charlies.insert(("m.room.member".to_owned(), graph.user("charlie")), charlie);
        graph.speaks_after("charlie", &new_charlie, &charlies).await;

        let users = [("alice", &*gone), ("bob", &*new_bob), ("charlie", &*new_charlie)];
        graph.users_now(&users).await;
        let expected = (version == RoomVersionId::V12).then_some(closed);
        assert_eq!(graph.now("m.room.join_rules", "").await, expected, "{version}");
    }
}

/// Problem B: power was handed on twice. One side of the fork is back at the beginning, though its
/// members rest on the newest levels; what lies between is in neither state. Room version 11 falls back
/// to the first levels; version 12 finds the way.
#[tokio::test]
async fn power_that_was_handed_on_is_not_taken_back_in_version_12() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let mut graph = Graph::new(version.clone()).await;
        let joined = |name: &str| json!({ "membership": "join", "displayname": name });
        let start = graph.state.clone();
        let first = start[&("m.room.power_levels".to_owned(), String::new())].clone();
        let (_, state) = graph.member("bob", joined("bob"), &start);
        let (_, old) = graph.member("charlie", joined("charlie"), &state);
        let (alice, bob, charlie) = (graph.user("alice"), graph.user("bob"), graph.user("charlie"));
        let mut users = json!({ &bob: 50 });
        if version == RoomVersionId::V11 {
            users[&alice] = json!(100);
        }
        let levels = ("m.room.power_levels", "", json!({ "users": users }));
        let (_, state) = graph.add("alice", levels, &old);
        users[&charlie] = json!(50);
        let levels = ("m.room.power_levels", "", json!({ "users": users }));
        let (newest, state) = graph.add("bob", levels, &state);
        let (zara, zaras) = graph.member("zara", joined("zara"), &state);
        let (_, state) = graph.member("eve", joined("eve"), &state);
        let eve_before = state[&("m.room.member".to_owned(), graph.user("eve"))].clone();
        let (eve, _) = graph.member("eve", joined("eve++"), &state);

        graph.wendy_joins(&zaras).await;
        assert_eq!(graph.now("m.room.power_levels", "").await.as_ref(), Some(&newest));

        let mut eves = old;
        eves.insert(("m.room.member".to_owned(), graph.user("eve")), eve_before);
        graph.speaks_after("bob", &eve, &eves).await;

        graph.users_now(&[("zara", &*zara), ("eve", &*eve)]).await;
        let expected = if version == RoomVersionId::V12 { newest } else { first };
        assert_eq!(graph.now("m.room.power_levels", "").await, Some(expected), "{version}");
    }
}

/// Whatever power others have, and however they say it: in one event after the other, or beside it.
#[tokio::test]
async fn the_creators_of_a_version_12_room_cannot_be_demoted_or_put_out() {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (alice, carol) = (server.register("alice").await, server.register("carol").await);
    let room = alice
        .create_room_from(json!({
            "preset": "public_chat", "room_version": "12",
            "creation_content": { "additional_creators": [carol.user_id] },
        }))
        .await;
    carol.join(&room).await;
    remote.join(&server, &room, "bob").await;
    let bob = remote.user("bob");
    let most = 9_007_199_254_740_991_u64;
    let mut levels = alice.state(&room, "m.room.power_levels", "").await;
    levels["users"][&bob] = json!(most);
    alice.set_state(&room, "m.room.power_levels", "", levels.clone()).await;
    let given = remote.wait_for_pdu(|pdu| pdu["content"]["users"][&bob] == most).await;
    remote.take(&room, given);
    let before = alice.state_ids(&room).await;

    let with = |user: &str, level: i64| {
        let mut levels = levels.clone();
        levels["users"][user] = json!(level);
        ("m.room.power_levels", String::new(), levels)
    };
    let member = |user: &TestUser, membership: &str| {
        ("m.room.member", user.user_id.clone(), json!({ "membership": membership }))
    };
    let attempts = [
        with(&alice.user_id, 0),
        with(&alice.user_id, 9_007_199_254_740_991),
        with(&carol.user_id, -1),
        member(&alice, "leave"),
        member(&alice, "ban"),
        member(&carol, "leave"),
        member(&carol, "ban"),
        ("m.room.create", String::new(), json!({ "room_version": "12" })),
    ];
    for (kind, state_key, content) in attempts {
        let event = json!({
            "sender": bob, "type": kind, "state_key": state_key, "content": content,
        });
        let (id, pdu) = remote.build(&room, event);
        let answer = remote.send(&server, vec![pdu.clone()], Vec::new()).await.ok();
        // A create event of version 12 says no room: nothing can be answered for it.
        assert_ne!(answer["pdus"][&id], json!({}), "{pdu:#}");
        assert_eq!(alice.state_ids(&room).await, before, "{pdu:#}");
    }
    // Creators themselves cannot be named there either.
    let path = path!("v3/rooms/{}/state/m.room.power_levels/", room);
    alice.put(&path, with(&carol.user_id, 50).2).await.error(403, "M_FORBIDDEN");

    // A fork: while Alice takes Bob's power, Bob raises every bar as high as he can.
    let mut high = levels.clone();
    for field in ["users_default", "events_default", "state_default", "ban", "kick", "invite"] {
        high[field] = json!(most);
    }
    let (id, high) = remote.build(
        &room,
        json!({
            "sender": bob, "type": "m.room.power_levels", "state_key": "", "content": high,
        }),
    );
    levels["users"] = json!({});
    alice.set_state(&room, "m.room.power_levels", "", levels.clone()).await;
    remote.send_pdu(&server, &id, &high).await;
    let now = alice.state(&room, "m.room.power_levels", "").await;
    assert_eq!(now["users"], json!({}), "{now:#}");
    carol.set_state(&room, "m.room.name", "", json!({ "name": "still ours" })).await;
    alice.put(&path, levels).await.ok();
    let kick = json!({ "user_id": bob });
    carol.post(&path!("v3/rooms/{}/kick", room), kick).await.ok();
}

/// Create events in the place of the right one, each well-formed and signed by its sender's server.
fn substitutes(remote: &RemoteServer, version: &RoomVersionId, room: &str) -> Vec<Value> {
    let genuine = remote.room(room).state_event("m.room.create", "").cloned().expect("one");
    let other = remote.create_room(version, "rachel");
    let mut all = vec![remote.room(&other).state_event("m.room.create", "").cloned().unwrap()];
    let changes = [
        ("sender", json!(remote.user("mallory"))),
        ("origin_server_ts", json!(1)),
        ("content", json!({ "room_version": version, "additional_creators": [remote.user("m")] })),
        ("content", json!({ "room_version": version, "m.federate": false })),
        ("content", json!({ "room_version": "11" })),
    ];
    for (field, value) in changes {
        let mut create = genuine.clone();
        create[field] = value;
        all.push(remote.sign_pdu(version, create).1);
    }
    // As it was signed, with what no signature covers changed; and naming the room.
    let mut create = genuine.clone();
    create["content"]["additional_creators"] = json!([remote.user("mallory")]);
    all.push(create);
    let mut create = genuine;
    create["room_id"] = json!(room);
    all.push(create);
    all
}

#[tokio::test]
async fn an_invite_with_a_create_event_of_another_room_is_refused() {
    let version = RoomVersionId::V12;
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room_with(&version, "rachel", "invite");
    let (id, event) = remote.build(
        &room,
        json!({
            "sender": remote.user("rachel"), "type": "m.room.member", "state_key": alice.user_id,
            "content": { "membership": "invite" },
        }),
    );
    let put = async |state: Value| {
        let body = json!({ "room_version": version, "event": event, "invite_room_state": state });
        remote.put(&server, &path!("v2/invite/{}/{}", room, id), body).await
    };
    let genuine = remote.room(&room).state_event("m.room.create", "").cloned().unwrap();
    for create in substitutes(&remote, &version, &room) {
        for state in [json!([create]), json!([genuine, create]), json!([create, genuine])] {
            put(state).await.error(400, "M_INVALID_PARAM");
        }
    }
    for state in [
        json!([]),
        json!([{ "type": "m.room.create", "state_key": "", "content": {
        "room_version": version } , "sender": remote.user("rachel") }]),
    ] {
        put(state).await.error(400, "M_INVALID_PARAM");
    }
    assert!(alice.sync(None).await.invited(&room).is_null());
    put(json!([genuine])).await.ok();
    assert!(alice.sync(None).await.invited(&room).is_object());
}

#[tokio::test]
async fn a_room_is_not_joined_by_a_create_event_of_another_room() {
    let version = RoomVersionId::V12;
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room(&version, "rachel");
    let substitutes = substitutes(&remote, &version, &room);
    // In its place, then beside the right one: then that one counts.
    for also in [false, true] {
        for create in &substitutes {
            let copy = remote.room(&room);
            let state = copy.pdus(copy.state.values().cloned());
            let chain = copy.pdus(copy.auth_chain(copy.state.values().cloned()));
            let replaced = |mut events: Vec<Value>| {
                events.retain(|event| also || event["type"] != "m.room.create");
                events.insert(0, create.clone());
                events
            };
            let answer = json!({
                "state": replaced(state), "auth_chain": replaced(chain), "members_omitted": false,
            });
            remote.answer("PUT", "v2/send_join/{}/{}", move |_| Reply::json(200, answer.clone()));
            let answer = join(&alice, &room, &remote).await;
            if also && answer.status == 200 {
                let now = alice.state_ids(&room).await;
                let now = &now[&("m.room.create".to_owned(), String::new())];
                assert_eq!(*now, room.replacen('!', "$", 1), "{create:#}");
                alice.leave(&room).await;
                continue;
            }
            assert_eq!(answer.status, 502, "{create:#}\n{answer}");
            if !also {
                let id = <&RoomId>::try_from(room.as_str()).unwrap();
                assert!(server.app().rooms.get(id).await.unwrap().is_none(), "{create:#}");
            }
        }
    }
    remote.answer_as_usual();
    join(&alice, &room, &remote).await.ok();
}
