//! One client of a server: sends requests, with or without an access token.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Answer, Sync, SyncRequest, encode, path,
    record::{Record, record},
};

/// Longer than any answer of a server that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to reach the server, and for which test.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: reqwest::Client,
    pub(crate) address: Arc<RwLock<SocketAddr>>,
    /// The team to ask for; without one the address is what we ask for.
    pub(crate) host: Option<Arc<str>>,
    /// Under this name requests are noted for the report; without one they are not.
    pub(crate) test: Option<Arc<str>>,
}

/// A signed-in device of a user, or nobody. Paths are absolute (`/_matrix/...`) or relative to
/// `/_matrix/client/`: `alice.get(&path!("v3/rooms/{}/members", room))`.
#[derive(Clone)]
pub struct TestUser {
    connection: Connection,
    /// `@alice:kith.test`; empty for nobody.
    pub user_id: String,
    pub access_token: Option<String>,
    pub device_id: String,
    pub password: String,
    transactions: Arc<AtomicU64>,
}

impl TestUser {
    pub(crate) fn anonymous(connection: Connection) -> Self {
        Self {
            connection,
            user_id: String::new(),
            access_token: None,
            device_id: String::new(),
            password: String::new(),
            transactions: Arc::default(),
        }
    }

    pub(crate) async fn register(connection: Connection, localpart: &str) -> Self {
        let nobody = Self::anonymous(connection);
        let password = format!("correct horse battery {localpart}");
        let mut body = json!({ "username": localpart, "password": password });
        let answer = nobody.call(false, Method::POST, "v3/register", Some(&body)).await;
        assert_eq!(answer.status, 401, "the first request starts the authentication\n{answer}");
        body["auth"] = json!({ "type": "m.login.dummy", "session": answer["session"] });
        let answer = nobody.call(false, Method::POST, "v3/register", Some(&body)).await;
        assert_eq!(answer.status, 200, "registration\n{answer}");
        nobody.signed_in(&answer, password)
    }

    /// The user that a `/register` or `/login` was answered with.
    #[track_caller]
    pub fn signed_in(&self, answer: &Answer, password: impl Into<String>) -> Self {
        Self {
            connection: self.connection.clone(),
            user_id: answer.text_at("user_id"),
            access_token: Some(answer.text_at("access_token")),
            device_id: answer.text_at("device_id"),
            password: password.into(),
            transactions: Arc::default(),
        }
    }

    /// The same user on a new device.
    pub async fn log_in_again(&self) -> Self {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": self.user_id },
            "password": self.password,
        });
        let nobody = Self::anonymous(self.connection.clone());
        let answer = nobody.call(false, Method::POST, "v3/login", Some(&body)).await;
        assert_eq!(answer.status, 200, "login\n{answer}");
        self.signed_in(&answer, self.password.clone())
    }

    /// The same device with another access token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { access_token: Some(token.into()), ..self.clone() }
    }

    /// `alice` of `@alice:kith.test`.
    pub fn localpart(&self) -> &str {
        let end = self.user_id.find(':').unwrap_or(self.user_id.len());
        self.user_id.get(1..end).unwrap_or_default()
    }

    /// A transaction ID that this device did not use before.
    pub fn new_transaction(&self) -> String {
        format!("t{}", self.transactions.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(true, Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.call(true, Method::PUT, path, Some(&body.into())).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.call(true, Method::POST, path, Some(&body.into())).await
    }

    pub async fn delete(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.call(true, Method::DELETE, path, Some(&body.into())).await
    }

    /// As [`TestUser::put`], `None` if the server went away meanwhile.
    pub async fn try_put(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.build(Method::PUT, path).json(body);
        let request = request.build().expect("the request is well-formed");
        self.try_execute(true, request).await.ok()
    }

    /// As [`TestUser::post`], `None` if the server went away meanwhile.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.build(Method::POST, path).json(body);
        let request = request.build().expect("the request is well-formed");
        self.try_execute(true, request).await.ok()
    }

    /// As [`TestUser::get`], `None` if the server went away meanwhile.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = self.build(Method::GET, path).build().expect("the request is well-formed");
        self.try_execute(true, request).await.ok()
    }

    /// Any method, and a body of any bytes.
    pub async fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.request_with(method, path, body, &[]).await
    }

    /// As [`TestUser::request`] with further headers. A body is JSON unless they say otherwise.
    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.build(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        self.execute(true, request).await
    }

    /// A helper's own request is not what its test is about: `direct` is false for it.
    pub(crate) async fn call(
        &self,
        direct: bool,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.build(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.execute(direct, request).await
    }

    fn build(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let base = if path.starts_with('/') { "" } else { "/_matrix/client/" };
        let url = format!("http://{}{base}{path}", *self.connection.address.read());
        let mut request = self.connection.client.request(method, url).timeout(PATIENCE);
        if let Some(host) = &self.connection.host {
            request = request.header("host", &**host);
        }
        match &self.access_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn execute(&self, direct: bool, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().expect("the request is well-formed");
        let shown = format!("{} {}", request.method(), request.url());
        let answer = self.try_execute(direct, request).await;
        answer.unwrap_or_else(|error| panic!("{shown}: {error:?}"))
    }

    async fn try_execute(
        &self,
        direct: bool,
        request: reqwest::Request,
    ) -> Result<Answer, reqwest::Error> {
        let shown = format!("{} {}", request.method(), request.url());
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = self.connection.client.execute(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let answer = Answer { request: shown, status, headers, bytes, text, json };
        if let Some(test) = &self.connection.test {
            let (test, errcode) = (test.to_string(), answer.errcode().to_owned());
            record(Record { test, direct, method, path, status, errcode });
        }
        Ok(answer)
    }
}

/// What most tests need on the way to their claim; each fails the test if the server refuses.
impl TestUser {
    /// A private room with nobody else in it; its id.
    pub async fn create_room(&self) -> String {
        self.create_room_from(json!({ "preset": "private_chat" })).await
    }

    /// A private room that these users have joined.
    pub async fn create_room_with(&self, users: &[&TestUser]) -> String {
        let invite: Vec<&str> = users.iter().map(|user| user.user_id.as_str()).collect();
        let room =
            self.create_room_from(json!({ "preset": "private_chat", "invite": invite })).await;
        for user in users {
            user.join(&room).await;
        }
        room
    }

    /// A room that anybody may join.
    pub async fn create_public_room(&self) -> String {
        self.create_room_from(json!({ "preset": "public_chat" })).await
    }

    /// `body` is that of `POST /createRoom`.
    pub async fn create_room_from(&self, body: Value) -> String {
        let answer = self.call(false, Method::POST, "v3/createRoom", Some(&body)).await;
        assert_eq!(answer.status, 200, "creating a room\n{answer}");
        answer.text_at("room_id")
    }

    pub async fn join(&self, room: &str) {
        self.membership(room, "join", json!({})).await;
    }

    pub async fn leave(&self, room: &str) {
        self.membership(room, "leave", json!({})).await;
    }

    pub async fn forget(&self, room: &str) {
        self.membership(room, "forget", json!({})).await;
    }

    pub async fn knock(&self, room: &str) {
        let path = path!("v3/knock/{}", room);
        let answer = self.call(false, Method::POST, &path, Some(&json!({}))).await;
        assert_eq!(answer.status, 200, "knock\n{answer}");
    }

    pub async fn invite(&self, room: &str, user: &TestUser) {
        self.membership(room, "invite", json!({ "user_id": user.user_id })).await;
    }

    pub async fn kick(&self, room: &str, user: &TestUser) {
        self.membership(room, "kick", json!({ "user_id": user.user_id })).await;
    }

    pub async fn ban(&self, room: &str, user: &TestUser) {
        self.membership(room, "ban", json!({ "user_id": user.user_id })).await;
    }

    pub async fn unban(&self, room: &str, user: &TestUser) {
        self.membership(room, "unban", json!({ "user_id": user.user_id })).await;
    }

    async fn membership(&self, room: &str, action: &str, body: Value) {
        let path = path!("v3/rooms/{}/{}", room, action);
        let answer = self.call(false, Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{action}\n{answer}");
    }

    /// Sends an `m.text` message; its event ID.
    pub async fn send_text(&self, room: &str, body: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": body })).await
    }

    /// Sends an event; its ID.
    pub async fn send(&self, room: &str, event_type: &str, content: Value) -> String {
        let transaction = self.new_transaction();
        let path = path!("v3/rooms/{}/send/{}/{}", room, event_type, transaction);
        let answer = self.call(false, Method::PUT, &path, Some(&content)).await;
        assert_eq!(answer.status, 200, "sending\n{answer}");
        answer.text_at("event_id")
    }

    /// Sets a state event; its ID.
    pub async fn set_state(
        &self,
        room: &str,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> String {
        let path = path!("v3/rooms/{}/state/{}/{}", room, event_type, state_key);
        let answer = self.call(false, Method::PUT, &path, Some(&content)).await;
        assert_eq!(answer.status, 200, "setting state\n{answer}");
        answer.text_at("event_id")
    }

    /// The content of a state event that the room has.
    pub async fn state(&self, room: &str, event_type: &str, state_key: &str) -> Value {
        let path = path!("v3/rooms/{}/state/{}/{}", room, event_type, state_key);
        self.call(false, Method::GET, &path, None).await.ok()
    }

    /// The whole state of a room, as events.
    pub async fn full_state(&self, room: &str) -> Value {
        self.call(false, Method::GET, &path!("v3/rooms/{}/state", room), None).await.ok()
    }

    /// The events that make a room's state, by type and state key.
    pub async fn state_ids(&self, room: &str) -> BTreeMap<(String, String), String> {
        let state = self.full_state(room).await;
        let text =
            |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let events = state.as_array().into_iter().flatten();
        events.map(|e| ((text(e, "type"), text(e, "state_key")), text(e, "event_id"))).collect()
    }

    /// The bodies of all messages that the user can page back to, oldest first.
    pub async fn history(&self, room: &str) -> Vec<String> {
        let (mut bodies, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("{}?dir=b&limit=100{from}", path!("v3/rooms/{}/messages", room));
            let page = self.call(false, Method::GET, &path, None).await.ok();
            let events = page["chunk"].as_array().into_iter().flatten();
            let texts = events.filter_map(|event| event["content"]["body"].as_str());
            bodies.extend(texts.map(str::to_owned));
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => break,
            }
        }
        bodies.reverse();
        bodies
    }

    /// The membership that a room has for a user, `None` if it has none.
    pub async fn membership_of(&self, room: &str, user: &TestUser) -> Option<String> {
        let path = path!("v3/rooms/{}/state/m.room.member/{}", room, user.user_id);
        let answer = self.call(false, Method::GET, &path, None).await;
        (answer.status == 200).then(|| answer.text_at("membership"))
    }

    /// An event as this user sees it.
    pub async fn event(&self, room: &str, event_id: &str) -> Value {
        let path = path!("v3/rooms/{}/event/{}", room, event_id);
        self.call(false, Method::GET, &path, None).await.ok()
    }

    /// Redacts an event; the redaction's ID.
    pub async fn redact(&self, room: &str, event_id: &str) -> String {
        let path = path!("v3/rooms/{}/redact/{}/{}", room, event_id, self.new_transaction());
        let answer = self.call(false, Method::PUT, &path, Some(&json!({}))).await;
        assert_eq!(answer.status, 200, "redacting\n{answer}");
        answer.text_at("event_id")
    }

    /// What there is now, or has been since: does not wait.
    pub async fn sync(&self, since: Option<String>) -> Sync {
        self.syncing(since).get().await
    }

    /// A `/sync` with further parameters.
    pub fn syncing(&self, since: Option<String>) -> SyncRequest<'_> {
        SyncRequest::new(self, since)
    }

    /// Follows the user's syncs until one shows it; fails the test if none does. Not since the
    /// beginning of time but from `since` on, so that what went before cannot be meant.
    pub async fn sync_until(&self, since: String, shows: impl Fn(&Sync) -> bool) -> Sync {
        const ATTEMPTS: usize = 20;
        let mut since = since;
        let mut seen = Vec::new();
        for _ in 0..ATTEMPTS {
            let sync = self.syncing(Some(since)).timeout(2_000).get().await;
            if shows(&sync) {
                return sync;
            }
            since = sync.next_batch.clone();
            seen.push(sync.json);
        }
        panic!("{} never saw it in {:#}", self.user_id, Value::Array(seen));
    }

    /// Filters can be stored: the new filter's ID.
    pub async fn create_filter(&self, filter: Value) -> String {
        let path = path!("v3/user/{}/filter", self.user_id);
        let answer = self.call(false, Method::POST, &path, Some(&filter)).await;
        assert_eq!(answer.status, 200, "storing a filter\n{answer}");
        answer.text_at("filter_id")
    }

    /// One page of `/messages`, `query` as `dir=b&limit=10`.
    pub async fn messages(&self, room: &str, query: &str) -> Value {
        let path = format!("v3/rooms/{}/messages?{query}", encode(room));
        self.call(false, Method::GET, &path, None).await.ok()
    }
}

/// The IDs of a list of events.
#[track_caller]
pub fn event_ids(events: &Value) -> Vec<String> {
    let Some(events) = events.as_array() else { panic!("no list of events: {events:#}") };
    events.iter().map(|event| event["event_id"].as_str().unwrap_or_default().to_owned()).collect()
}
