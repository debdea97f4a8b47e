//! The peer as one of the servers of a room: it joins rooms, has some of its own, and sends events.

use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{
    RemoteServer, Shared,
    answers::{Asked, Reply},
    room::{RemoteRoom, State, ids},
};
use crate::{TestServer, path};

impl RemoteServer {
    /// The peer's copy of a room as it is now.
    pub fn room(&self, room_id: &str) -> RemoteRoom {
        let rooms = self.shared.rooms.lock();
        rooms.get(room_id).cloned().expect("a room of the peer")
    }

    /// Changes its copy of a room.
    pub fn with_room<T>(&self, room_id: &str, change: impl FnOnce(&mut RemoteRoom) -> T) -> T {
        change(self.shared.rooms.lock().get_mut(room_id).expect("a room of the peer"))
    }

    /// A room of its own, which anybody may join; its ID.
    pub fn create_room(&self, version: &RoomVersionId, creator: &str) -> String {
        self.create_room_with(version, creator, "public")
    }

    /// The same with another join rule.
    pub fn create_room_with(&self, version: &RoomVersionId, creator: &str, rule: &str) -> String {
        self.create_room_from(version, creator, rule, json!({}))
    }

    /// The same, with more in the content of its create event.
    pub fn create_room_from(
        &self,
        version: &RoomVersionId,
        creator: &str,
        rule: &str,
        mut content: Value,
    ) -> String {
        let creator = self.user(creator);
        let rules = version.rules().expect("a known room version").authorization;
        let name = format!("!{}:{}", crate::random_key().replace(['+', '/'], "x"), self.name());
        let mut room = RemoteRoom::new(name, version.clone());
        content["room_version"] = json!(version);
        if !rules.use_room_create_sender {
            content["creator"] = json!(creator);
        }
        let create = json!({
            "sender": creator, "type": "m.room.create", "state_key": "", "content": content,
        });
        let (create_id, create) = self.sign_pdu(version, room.complete(create));
        if rules.room_create_event_id_as_room_id {
            room.room_id = create_id.replacen('$', "!", 1);
        }
        let room_id = room.room_id.clone();
        room.append(create);
        self.shared.rooms.lock().insert(room_id.clone(), room);
        let mut powers = json!({ "users": { &creator: 100 } });
        if rules.explicitly_privilege_room_creators {
            powers = json!({ "users": {} });
        }
        let first = [
            ("m.room.member", creator.as_str(), json!({ "membership": "join" })),
            ("m.room.power_levels", "", powers),
            ("m.room.join_rules", "", json!({ "join_rule": rule })),
            ("m.room.history_visibility", "", json!({ "history_visibility": "shared" })),
        ];
        for (kind, state_key, content) in first {
            let event = json!({
                "sender": creator, "type": kind, "state_key": state_key, "content": content,
            });
            self.append(&room_id, event);
        }
        room_id
    }

    /// Builds the next event of a room from `sender`, `type`, `content` and anything else it is to
    /// have, without adding it to the room. The event ID and the PDU.
    pub fn build(&self, room_id: &str, event: Value) -> (String, Value) {
        let room = self.room(room_id);
        self.sign_pdu(&room.version, room.complete(event))
    }

    /// Builds the next event and adds it to the peer's copy.
    pub fn append(&self, room_id: &str, event: Value) -> (String, Value) {
        let (id, pdu) = self.build(room_id, event);
        self.with_room(room_id, |room| room.append(pdu.clone()));
        (id, pdu)
    }

    /// Adds an event and sends it to a server; its ID.
    pub async fn send_event(&self, server: &TestServer, room_id: &str, event: Value) -> String {
        let (id, pdu) = self.append(room_id, event);
        self.send_pdu(server, &id, &pdu).await;
        id
    }

    /// An `m.text` message of a user of the peer; its ID.
    pub async fn send_text(
        &self,
        server: &TestServer,
        room_id: &str,
        localpart: &str,
        body: &str,
    ) -> String {
        let event = json!({
            "sender": self.user(localpart),
            "type": "m.room.message",
            "content": { "msgtype": "m.text", "body": body },
        });
        self.send_event(server, room_id, event).await
    }

    /// Lets a user of the peer join a room through a server that is in it. Answers the join's event ID.
    pub async fn join(&self, server: &TestServer, room_id: &str, localpart: &str) -> String {
        let user = self.user(localpart);
        let versions: Vec<String> = (1..=12).map(|version| format!("ver={version}")).collect();
        let path = path!("v1/make_join/{}/{}", room_id, user);
        let answer = self.get(server, &format!("{path}?{}", versions.join("&"))).await;
        assert_eq!(answer.status, 200, "make_join\n{answer}");
        let version = RoomVersionId::try_from(answer.text_at("room_version")).expect("a version");
        let (id, pdu) = self.sign_pdu(&version, answer["event"].clone());
        let path = path!("v2/send_join/{}/{}", room_id, id);
        let answer = self.put(server, &path, pdu.clone()).await;
        assert_eq!(answer.status, 200, "send_join\n{answer}");
        self.take_room(room_id, version, pdu, &answer.json);
        id
    }

    /// A room as `send_join` answered.
    fn take_room(&self, room_id: &str, version: RoomVersionId, join: Value, answer: &Value) {
        let mut rooms = self.shared.rooms.lock();
        let room = rooms.entry(room_id.to_owned());
        let room = room.or_insert_with(|| RemoteRoom::new(room_id.to_owned(), version));
        let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
        for pdu in list("auth_chain") {
            room.keep(pdu);
        }
        let mut state = State::new();
        for pdu in list("state") {
            let of = |field: &str| pdu[field].as_str().unwrap_or_default().to_owned();
            state.insert((of("type"), of("state_key")), room.keep(pdu.clone()));
        }
        // What a restricted join lacks, the resident signs.
        let join = answer.get("event").filter(|event| event.is_object()).unwrap_or(&join);
        room.append_after(join.clone(), state);
    }

    /// Adds an event of another server to the peer's copy of the room.
    pub fn take(&self, room_id: &str, pdu: Value) -> String {
        self.with_room(room_id, |room| room.append(pdu))
    }
}

impl Shared {
    /// What a resident of a room answers by itself; `None` if it is not asked for one of its rooms.
    pub(super) fn reply_of_rooms(&self, asked: &Asked) -> Option<Reply> {
        let at = |pattern: &str| super::answers::arguments(pattern, &asked.path);
        let rooms = self.rooms.lock();
        if asked.is("GET", "v1/event/{}") {
            let id = at("v1/event/{}")?.remove(0);
            let pdu = rooms.values().find_map(|room| room.events.get(&id))?;
            return Some(self.pdus(vec![pdu.clone()]));
        }
        drop(rooms);
        for (method, pattern) in ENDPOINTS {
            if asked.is(method, pattern) {
                let arguments = at(pattern)?;
                let mut rooms = self.rooms.lock();
                let room = rooms.get_mut(&arguments[0])?;
                return self.reply_of_room(pattern, room, &arguments, asked);
            }
        }
        None
    }

    fn reply_of_room(
        &self,
        pattern: &str,
        room: &mut RemoteRoom,
        arguments: &[String],
        asked: &Asked,
    ) -> Option<Reply> {
        let second = arguments.get(1).map(String::as_str).unwrap_or_default();
        Some(match pattern {
            "v1/state/{}" | "v1/state_ids/{}" => {
                let state = room.state_before(asked.parameter("event_id")?)?;
                let state: Vec<String> = state.values().cloned().collect();
                let chain = room.auth_chain(state.clone());
                if pattern == "v1/state_ids/{}" {
                    json!({ "pdu_ids": state, "auth_chain_ids": chain }).into()
                } else {
                    json!({ "pdus": room.pdus(state), "auth_chain": room.pdus(chain) }).into()
                }
            }
            "v1/event_auth/{}/{}" => {
                let chain = room.auth_chain([second.to_owned()]);
                json!({ "auth_chain": room.pdus(chain) }).into()
            }
            "v1/backfill/{}" => {
                let from: Vec<String> =
                    asked.parameters("v").into_iter().map(str::to_owned).collect();
                let limit = asked.parameter("limit")?.parse().ok()?;
                let mut found = from.clone();
                found.extend(room.before(&from, &[], limit));
                found.truncate(limit);
                self.pdus(room.pdus(found))
            }
            "v1/get_missing_events/{}" => {
                let of = |field: &str| ids(&asked.body[field]);
                let limit = asked.body["limit"].as_u64().unwrap_or(10);
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let mut found = room.before(&of("latest_events"), &of("earliest_events"), limit);
                found.reverse();
                json!({ "events": room.pdus(found) }).into()
            }
            "v1/make_join/{}/{}" => self.template(room, second, "join"),
            "v1/make_leave/{}/{}" => self.template(room, second, "leave"),
            "v1/make_knock/{}/{}" => self.template(room, second, "knock"),
            "v2/send_join/{}/{}" => {
                let mut before = room.state.clone();
                let id = room.append(asked.body.clone());
                let omit = room.omits_members && asked.parameter("omit_members") == Some("true");
                let servers = room.servers();
                before.retain(|(kind, _), _| !omit || kind != "m.room.member");
                let state: Vec<String> = before.into_values().collect();
                let mut resting_on = state.clone();
                resting_on.push(id);
                let chain = room.auth_chain(resting_on);
                json!({
                    "origin": self.name,
                    "state": room.pdus(state),
                    "auth_chain": room.pdus(chain),
                    "event": asked.body,
                    "members_omitted": omit,
                    "servers_in_room": omit.then_some(servers),
                })
                .into()
            }
            "v2/send_leave/{}/{}" => {
                room.append(asked.body.clone());
                json!({}).into()
            }
            "v1/send_knock/{}/{}" => {
                room.append(asked.body.clone());
                json!({ "knock_room_state": self.stripped(room) }).into()
            }
            _ => return None,
        })
    }

    fn pdus(&self, pdus: Vec<Value>) -> Reply {
        json!({ "origin": self.name, "origin_server_ts": super::now(), "pdus": pdus }).into()
    }

    /// What `/make_join` and the like answer.
    fn template(&self, room: &RemoteRoom, user: &str, membership: &str) -> Reply {
        let event = room.complete(json!({
            "sender": user,
            "type": "m.room.member",
            "state_key": user,
            "content": { "membership": membership },
        }));
        json!({ "room_version": room.version, "event": event }).into()
    }

    /// The state that those outside are shown, as whole events.
    fn stripped(&self, room: &RemoteRoom) -> Vec<Value> {
        let shown = ["m.room.create", "m.room.join_rules", "m.room.name", "m.room.encryption"];
        shown.into_iter().filter_map(|kind| room.state_event(kind, "").cloned()).collect()
    }
}

/// Those of one room, whose ID is the first argument.
const ENDPOINTS: [(&str, &str); 11] = [
    ("GET", "v1/state/{}"),
    ("GET", "v1/state_ids/{}"),
    ("GET", "v1/event_auth/{}/{}"),
    ("GET", "v1/backfill/{}"),
    ("POST", "v1/get_missing_events/{}"),
    ("GET", "v1/make_join/{}/{}"),
    ("GET", "v1/make_leave/{}/{}"),
    ("GET", "v1/make_knock/{}/{}"),
    ("PUT", "v2/send_join/{}/{}"),
    ("PUT", "v2/send_leave/{}/{}"),
    ("PUT", "v1/send_knock/{}/{}"),
];
