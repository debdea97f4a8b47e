//! `/sync`: asking and looking at the answer.

use reqwest::Method;
use serde_json::Value;

use crate::{Answer, TestUser, encode};

/// A `/sync` to be sent. Without a timeout it does not wait for news.
#[must_use = "nothing is sent before `get` or `answer`"]
pub struct SyncRequest<'a> {
    user: &'a TestUser,
    query: Vec<(&'static str, String)>,
}

impl<'a> SyncRequest<'a> {
    pub(crate) fn new(user: &'a TestUser, since: Option<String>) -> Self {
        Self { user, query: since.map(|since| ("since", since)).into_iter().collect() }
    }

    /// Waits for news for so many milliseconds.
    pub fn timeout(self, ms: u64) -> Self {
        self.with("timeout", ms)
    }

    /// A filter as JSON or by its ID.
    pub fn filter(self, filter: impl ToString) -> Self {
        self.with("filter", filter)
    }

    /// Any other parameter.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Fails the test if it is refused.
    pub async fn get(self) -> Sync {
        let answer = self.send(false).await;
        assert_eq!(answer.status, 200, "sync\n{answer}");
        Sync { next_batch: answer.text_at("next_batch"), json: answer.json }
    }

    /// Whatever the server says.
    pub async fn answer(self) -> Answer {
        self.send(true).await
    }

    async fn send(self, direct: bool) -> Answer {
        let query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let path = format!("v3/sync?{}", query.join("&"));
        self.user.call(direct, Method::GET, &path, None).await
    }
}

/// The answer to a `/sync`. A room that is not in it has no events.
#[derive(Debug, Clone)]
pub struct Sync {
    pub next_batch: String,
    pub json: Value,
}

impl Sync {
    /// `rooms.join.<room>`, `Null` if it is not there.
    pub fn joined(&self, room: &str) -> &Value {
        &self.json["rooms"]["join"][room]
    }

    pub fn invited(&self, room: &str) -> &Value {
        &self.json["rooms"]["invite"][room]
    }

    pub fn knocked(&self, room: &str) -> &Value {
        &self.json["rooms"]["knock"][room]
    }

    pub fn left(&self, room: &str) -> &Value {
        &self.json["rooms"]["leave"][room]
    }

    /// The timeline of a room that is joined or was left.
    pub fn timeline(&self, room: &str) -> Events<'_> {
        Events(&self.room(room)["timeline"]["events"])
    }

    pub fn state(&self, room: &str) -> Events<'_> {
        Events(&self.room(room)["state"]["events"])
    }

    pub fn ephemeral(&self, room: &str) -> Events<'_> {
        Events(&self.joined(room)["ephemeral"]["events"])
    }

    pub fn room_account_data(&self, room: &str) -> Events<'_> {
        Events(&self.room(room)["account_data"]["events"])
    }

    pub fn account_data(&self) -> Events<'_> {
        Events(&self.json["account_data"]["events"])
    }

    pub fn presence(&self) -> Events<'_> {
        Events(&self.json["presence"]["events"])
    }

    /// Messages to this device.
    pub fn to_device(&self) -> Events<'_> {
        Events(&self.json["to_device"]["events"])
    }

    /// Users under `device_lists.changed`.
    pub fn changed_devices(&self) -> Vec<&str> {
        self.device_list("changed")
    }

    /// Users under `device_lists.left`.
    pub fn left_devices(&self) -> Vec<&str> {
        self.device_list("left")
    }

    fn device_list(&self, which: &str) -> Vec<&str> {
        let users = self.json["device_lists"][which].as_array().into_iter().flatten();
        let mut users: Vec<_> = users.filter_map(|user| user.as_str()).collect();
        users.sort_unstable();
        users
    }

    fn room(&self, room: &str) -> &Value {
        let joined = self.joined(room);
        if joined.is_null() { self.left(room) } else { joined }
    }
}

/// A list of events; an absent list is empty.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a>(pub &'a Value);

impl<'a> Events<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a Value> {
        self.0.as_array().into_iter().flatten()
    }

    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    pub fn event_ids(self) -> Vec<&'a str> {
        self.iter().filter_map(|event| event["event_id"].as_str()).collect()
    }

    pub fn types(self) -> Vec<&'a str> {
        self.iter().filter_map(|event| event["type"].as_str()).collect()
    }

    /// The bodies of the messages in it.
    pub fn bodies(self) -> Vec<&'a str> {
        self.iter().filter_map(|event| event["content"]["body"].as_str()).collect()
    }

    /// The last event of a type.
    pub fn last(self, event_type: &str) -> Option<&'a Value> {
        self.iter().filter(|event| event["type"] == event_type).last()
    }

    pub fn with_state_key(self, event_type: &str, state_key: &str) -> Option<&'a Value> {
        self.iter().find(|event| event["type"] == event_type && event["state_key"] == state_key)
    }
}
