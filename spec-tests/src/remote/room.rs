//! A room as the peer knows it: its events, and the state before each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruma::{RoomVersionId, UserId, events::TimelineEventType, state_res::auth_types_for_event};
use serde_json::{Map, Value, json, value::to_raw_value};

use super::{event_id, now};

/// Event IDs by type and state key.
pub type State = BTreeMap<(String, String), String>;

/// The peer's own copy of a room. It resolves nothing: its state is what came last.
#[derive(Debug, Clone)]
pub struct RemoteRoom {
    pub room_id: String,
    pub version: RoomVersionId,
    /// The current state.
    pub state: State,
    /// What the next event comes after.
    pub extremities: Vec<String>,
    /// Every event by its ID.
    pub events: HashMap<String, Value>,
    /// As they came; those that belong to the state alone are not in it.
    pub timeline: Vec<String>,
    pub(super) state_before: HashMap<String, State>,
    /// Whoever joins through the peer and can do without most members is told of few.
    pub omits_members: bool,
}

impl RemoteRoom {
    pub fn new(room_id: String, version: RoomVersionId) -> Self {
        Self {
            room_id,
            version,
            state: State::new(),
            extremities: Vec::new(),
            events: HashMap::new(),
            timeline: Vec::new(),
            state_before: HashMap::new(),
            omits_members: false,
        }
    }

    /// The servers with members.
    pub(super) fn servers(&self) -> BTreeSet<String> {
        let members = self.state.iter().filter(|((kind, _), _)| kind == "m.room.member");
        let joined = members.filter(|(_, id)| self.events[*id]["content"]["membership"] == "join");
        let servers = joined.filter_map(|((_, user), _)| <&UserId>::try_from(user.as_str()).ok());
        servers.map(|user| user.server_name().to_string()).collect()
    }

    /// The event that holds this type and state key now.
    pub fn state_event(&self, kind: &str, state_key: &str) -> Option<&Value> {
        let id = self.state.get(&(kind.to_owned(), state_key.to_owned()))?;
        self.events.get(id)
    }

    /// Keeps an event that is part of the state or of an auth chain alone.
    pub fn keep(&mut self, pdu: Value) -> String {
        let id = event_id(&self.version, &pdu);
        self.events.insert(id.clone(), pdu);
        id
    }

    /// An event after all those that it names: the state before it is the current one.
    pub fn append(&mut self, pdu: Value) -> String {
        let before = self.state.clone();
        self.append_after(pdu, before)
    }

    /// An event before which the state is this.
    pub fn append_after(&mut self, pdu: Value, before: State) -> String {
        let id = self.keep(pdu.clone());
        self.state_before.insert(id.clone(), before.clone());
        let mut state = before;
        if let Some(state_key) = pdu["state_key"].as_str() {
            let kind = pdu["type"].as_str().unwrap_or_default().to_owned();
            state.insert((kind, state_key.to_owned()), id.clone());
        }
        self.state = state;
        let replaced = ids(&pdu["prev_events"]);
        self.extremities.retain(|id| !replaced.contains(id));
        self.extremities.push(id.clone());
        self.timeline.push(id.clone());
        id
    }

    /// Completes what is said of an event (`sender`, `type`, `content`, and anything else that it is to
    /// have) to a PDU that comes next, without hash and signature.
    pub fn complete(&self, event: Value) -> Value {
        self.complete_after(event, &self.state, &self.extremities)
    }

    /// The same at another place of the room.
    pub fn complete_after(&self, event: Value, state: &State, after: &[String]) -> Value {
        let depth = after.iter().filter_map(|id| self.events.get(id)?["depth"].as_u64()).max();
        let create = event["type"] == "m.room.create";
        let mut pdu = Map::from_iter([
            ("origin_server_ts".to_owned(), json!(now())),
            ("prev_events".to_owned(), json!(after)),
            ("depth".to_owned(), json!(depth.unwrap_or(0) + 1)),
            ("auth_events".to_owned(), json!(self.auth_events(&event, state))),
        ]);
        let rules = self.version.rules().expect("a known room version");
        if !(create && rules.authorization.room_create_event_id_as_room_id) {
            pdu.insert("room_id".to_owned(), json!(self.room_id));
        }
        let Value::Object(said) = event else { panic!("no object: {event}") };
        pdu.extend(said);
        Value::Object(pdu)
    }

    /// Which of the state an event has to name.
    fn auth_events(&self, event: &Value, state: &State) -> Vec<String> {
        let rules = self.version.rules().expect("a known room version");
        let kind = TimelineEventType::from(event["type"].as_str().unwrap_or_default());
        let sender = event["sender"].as_str().unwrap_or_default();
        let sender = UserId::parse(sender).expect("the sender is a user ID");
        let content = to_raw_value(&event["content"]).expect("JSON");
        let types = auth_types_for_event(
            &kind,
            &sender,
            event["state_key"].as_str(),
            &content,
            &rules.authorization,
        );
        let types = types.unwrap_or_default().into_iter();
        let ids: BTreeSet<String> = types
            .filter_map(|(kind, state_key)| state.get(&(kind.to_string(), state_key)).cloned())
            .collect();
        ids.into_iter().collect()
    }

    /// The events that these rest on, however far down, without themselves.
    pub fn auth_chain(&self, of: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut waiting: Vec<String> = of.into_iter().collect();
        let mut chain = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            let Some(event) = self.events.get(&id) else { continue };
            for id in ids(&event["auth_events"]) {
                if chain.insert(id.clone()) {
                    waiting.push(id);
                }
            }
        }
        chain.into_iter().collect()
    }

    /// The state before an event of the timeline.
    pub fn state_before(&self, event_id: &str) -> Option<&State> {
        self.state_before.get(event_id)
    }

    /// Up to `limit` events before these and after those, these left out, the newest first.
    pub fn before(&self, these: &[String], those: &[String], limit: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting: std::collections::VecDeque<String> =
            these.iter().filter_map(|id| self.events.get(id)).flat_map(previous).collect();
        while let Some(id) = waiting.pop_front() {
            if found.len() == limit {
                break;
            }
            if found.contains(&id) || those.contains(&id) || !self.events.contains_key(&id) {
                continue;
            }
            waiting.extend(self.events.get(&id).map(previous).unwrap_or_default());
            found.push(id);
        }
        found
    }

    pub fn pdus(&self, ids: impl IntoIterator<Item = String>) -> Vec<Value> {
        ids.into_iter().filter_map(|id| self.events.get(&id).cloned()).collect()
    }
}

fn previous(event: &Value) -> Vec<String> {
    ids(&event["prev_events"])
}

pub(super) fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
