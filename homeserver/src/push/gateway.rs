//! How is a push gateway told?
//!
//! [Spec](https://spec.matrix.org/latest/push-gateway-api/#post_matrixpushv1notify)

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::header;
use kith_federation::client::Client;
use parking_lot::Mutex;
use ruma::{OwnedRoomAliasId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, time::timeout};
use url::Url;

use super::pushers::Pusher;
use crate::room::event::Event;

/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer, in bytes.
const ANSWER: usize = 64 * 1024;
/// How many requests one gateway gets at once, and all of them together.
const AT_ONCE: usize = 16;
const AT_ONCE_IN_ALL: usize = 256;
/// How many gateways are remembered before those are forgotten that are not in use.
const GATEWAYS: usize = 1_000;

/// All gateways, seen from one team. Cheap to clone.
#[derive(Clone)]
pub struct Gateways {
    client: Client,
    lanes: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    all: Arc<Semaphore>,
}

/// What a gateway said.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// The pushkey is not valid any more.
    Rejected,
    /// Worth another try.
    Failed(String),
}

/// What is told of an event.
pub struct Told<'a> {
    pub event: &'a Event,
    pub tweaks: &'a Map<String, Value>,
    pub sender_display_name: Option<String>,
    pub room_name: Option<String>,
    pub room_alias: Option<OwnedRoomAliasId>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    rejected: Vec<Value>,
}

impl Gateways {
    pub fn new(client: Client) -> Self {
        let all = Arc::new(Semaphore::new(AT_ONCE_IN_ALL));
        Self { client, lanes: Arc::default(), all }
    }

    /// Sends a notification. One slow gateway holds up nobody but those who use it.
    pub async fn notify(&self, pusher: &Pusher, notification: &Value) -> Outcome {
        let Some(url) = pusher.url() else {
            return Outcome::Failed("the pusher has no URL".to_owned());
        };
        let lane = self.lane(&url);
        let _place = lane.acquire().await;
        let _place_among_all = self.all.acquire().await;
        let body = Bytes::from(json!({ "notification": notification }).to_string());
        let request = http::Request::post(url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let answer = match timeout(PATIENCE, self.client.send(request, ANSWER)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Outcome::Failed(error.to_string()),
            Err(_) => return Outcome::Failed("no answer in time".to_owned()),
        };
        if !answer.status().is_success() {
            return Outcome::Failed(format!("status {}", answer.status()));
        }
        // A gateway that accepts without saying so in JSON has accepted.
        let rejected = serde_json::from_slice::<Answer>(answer.body())
            .map(|answer| answer.rejected)
            .unwrap_or_default();
        if rejected.iter().any(|key| key.as_str() == Some(&pusher.id.pushkey)) {
            Outcome::Rejected
        } else {
            Outcome::Accepted
        }
    }

    fn lane(&self, url: &Url) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock();
        if lanes.len() >= GATEWAYS {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let origin = url.origin().ascii_serialization();
        Arc::clone(lanes.entry(origin).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }
}

/// The notification of an event, as much of it as the pusher wants.
pub fn of_event(pusher: &Pusher, told: &Told<'_>, unread: u64) -> Value {
    let event = told.event;
    let mut notification = json!({
        "event_id": event.event_id,
        "room_id": event.room_id,
        "prio": priority(event, told.tweaks),
        "counts": { "unread": unread },
        "devices": [device(pusher, told.tweaks)],
    });
    if pusher.row.data.get("format").and_then(Value::as_str) == Some("event_id_only") {
        return notification;
    }
    notification["type"] = event.kind.to_string().into();
    notification["sender"] = event.sender.as_str().into();
    notification["content"] = event.content_value().clone();
    if event.kind == TimelineEventType::RoomMember {
        let target = event.state_key.as_deref();
        notification["user_is_target"] = (target == Some(pusher.id.user_id.as_str())).into();
    }
    if let Some(name) = &told.sender_display_name {
        notification["sender_display_name"] = name.as_str().into();
    }
    if let Some(name) = &told.room_name {
        notification["room_name"] = name.as_str().into();
    }
    if let Some(alias) = &told.room_alias {
        notification["room_alias"] = alias.as_str().into();
    }
    notification
}

/// The number of unread messages alone. A zero is said: it is what takes the number off an icon.
pub fn of_badge(pusher: &Pusher, unread: u64) -> Value {
    json!({
        "prio": "low",
        "counts": { "unread": unread },
        "devices": [device(pusher, &Map::new())],
    })
}

/// What makes a sound or asks for attention is worth waking a phone up; so is what nobody can tell.
fn priority(event: &Event, tweaks: &Map<String, Value>) -> &'static str {
    let highlight = tweaks.get("highlight") == Some(&Value::Bool(true));
    let encrypted = event.kind == TimelineEventType::RoomEncrypted;
    if highlight || encrypted || tweaks.contains_key("sound") { "high" } else { "low" }
}

fn device(pusher: &Pusher, tweaks: &Map<String, Value>) -> Value {
    let mut data = pusher.row.data.clone();
    data.remove("url");
    let mut device = json!({
        "app_id": pusher.id.app_id,
        "pushkey": pusher.id.pushkey,
        "pushkey_ts": u64::from(pusher.row.set.get()) / 1000,
        "data": data,
    });
    if !tweaks.is_empty() {
        device["tweaks"] = tweaks.clone().into();
    }
    device
}
