//! Simplified sliding sync: one connection of a client, and looking at its answers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Events, TestUser};

const PATH: &str = "unstable/org.matrix.simplified_msc3575/sync";

/// The state that matrix-sdk-ui 0.18 (Element X) asks for, of every room in its list.
pub const ROOM_LIST_STATE: [(&str, &str); 17] = [
    ("m.room.name", ""),
    ("m.room.encryption", ""),
    ("m.room.member", "$LAZY"),
    ("m.room.member", "$ME"),
    ("m.room.topic", ""),
    ("m.room.avatar", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.power_levels", ""),
    ("org.matrix.msc3401.call.member", "*"),
    ("m.room.join_rules", ""),
    ("m.room.tombstone", ""),
    ("m.room.create", ""),
    ("m.room.history_visibility", ""),
    ("io.element.functional_members", ""),
    ("m.space.parent", "*"),
    ("m.space.child", "*"),
    ("org.matrix.msc3672.beacon_info", "*"),
];

/// A connection: remembers the `pos`. Change `body` between requests as a client would.
#[derive(Clone)]
pub struct SlidingSync {
    user: TestUser,
    /// Of the last answer.
    pub pos: Option<String>,
    pub body: Value,
}

impl TestUser {
    /// A connection that has not asked yet. `body` is that of its requests.
    pub fn sliding(&self, body: Value) -> SlidingSync {
        SlidingSync { user: self.clone(), pos: None, body }
    }

    /// A connection with one list `all` of all rooms, with their last `timeline_limit` events and
    /// this state.
    pub fn sliding_list(&self, timeline_limit: u64, required_state: Value) -> SlidingSync {
        self.sliding(json!({ "lists": { "all": {
            "ranges": [[0, 999]],
            "timeline_limit": timeline_limit,
            "required_state": required_state,
        } } }))
    }

    /// A connection that has not asked yet, for the list `all_rooms` as matrix-sdk-ui 0.18 asks for it.
    pub fn sliding_room_list(&self) -> SlidingSync {
        self.sliding(json!({
            "conn_id": "room-list",
            "lists": { "all_rooms": {
                "ranges": [[0, 19]],
                "required_state": ROOM_LIST_STATE,
                "timeline_limit": 1,
                "filters": {},
            } },
            "extensions": {
                "account_data": { "enabled": true },
                "receipts": { "enabled": true, "rooms": ["*"] },
                "typing": { "enabled": true },
                "io.element.msc4308.thread_subscriptions": { "enabled": true, "limit": 10 },
            },
        }))
    }
}

impl SlidingSync {
    /// The next answer, at once.
    pub async fn next(&mut self) -> Slide {
        self.wait(0).await
    }

    /// The next answer, waiting for news for so many milliseconds.
    pub async fn wait(&mut self, ms: u64) -> Slide {
        let answer = self.send(false, ms).await;
        assert_eq!(answer.status, 200, "sliding sync\n{answer}");
        self.pos = Some(answer.text_at("pos"));
        Slide(answer.json)
    }

    /// Whatever the server says; the connection stays where it is.
    pub async fn answer(&self) -> Answer {
        self.send(true, 0).await
    }

    /// Follows the connection until an answer shows it; fails the test if none does.
    pub async fn until(&mut self, shows: impl Fn(&Slide) -> bool) -> Slide {
        let mut seen = Vec::new();
        for _ in 0..20 {
            let slide = self.wait(2_000).await;
            if shows(&slide) {
                return slide;
            }
            seen.push(slide.0);
        }
        panic!("never seen in {:#}", Value::Array(seen));
    }

    async fn send(&self, direct: bool, ms: u64) -> Answer {
        let pos = self.pos.as_ref().map(|pos| format!("&pos={pos}")).unwrap_or_default();
        let path = format!("{PATH}?timeout={ms}{pos}");
        self.user.call(direct, Method::POST, &path, Some(&self.body)).await
    }
}

/// One answer. A room that is not in it is `Null`.
#[derive(Debug, Clone)]
pub struct Slide(pub Value);

impl Slide {
    pub fn room(&self, room: &str) -> &Value {
        &self.0["rooms"][room]
    }

    /// How many rooms it has.
    pub fn rooms(&self) -> usize {
        self.0["rooms"].as_object().map_or(0, serde_json::Map::len)
    }

    pub fn timeline(&self, room: &str) -> Events<'_> {
        Events(&self.room(room)["timeline"])
    }

    pub fn state(&self, room: &str) -> Events<'_> {
        Events(&self.room(room)["required_state"])
    }

    pub fn count(&self, list: &str) -> &Value {
        &self.0["lists"][list]["count"]
    }

    pub fn extension(&self, name: &str) -> &Value {
        &self.0["extensions"][name]
    }

    /// Whether there is nothing in it but the new `pos` and the lists' counts.
    pub fn is_empty(&self) -> bool {
        let extensions = self.0["extensions"].as_object();
        self.rooms() == 0 && extensions.is_none_or(serde_json::Map::is_empty)
    }
}
