//! A push gateway: tells its test what a homeserver pushed, and answers as the test says.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};

/// Longer than a push takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the gateway answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Accept,
    Status(u16),
    /// Says that the pushkeys are not valid.
    Reject,
    /// Never answers.
    Hang,
    Redirect(String),
}

/// A gateway on a free port. Stops when it is dropped.
pub struct PushGateway {
    address: SocketAddr,
    inner: Arc<Inner>,
    received: mpsc::UnboundedReceiver<Value>,
    task: JoinHandle<()>,
}

struct Inner {
    reply: Mutex<Reply>,
    // Bounded by what one test causes.
    received: mpsc::UnboundedSender<Value>,
}

impl PushGateway {
    pub async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    /// At another address of this machine.
    pub async fn start_at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (sender, received) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner { reply: Mutex::new(Reply::Accept), received: sender });
        let router = Router::new()
            .route("/_matrix/push/v1/notify", post(notify))
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving ends only with the task");
        });
        Self { address, inner, received, task }
    }

    /// Where pushers send to.
    pub fn url(&self) -> String {
        format!("http://{}/_matrix/push/v1/notify", self.address)
    }

    /// From now on it answers so.
    pub fn reply(&self, reply: Reply) {
        *self.inner.reply.lock() = reply;
    }

    /// The next notification, as soon as it is there.
    pub async fn next(&mut self) -> Value {
        let next = timeout(PATIENCE, self.received.recv()).await;
        next.expect("a push comes").expect("the gateway runs")
    }

    /// The next notification of an event.
    pub async fn next_event(&mut self) -> Value {
        loop {
            let next = self.next().await;
            if next["event_id"].is_string() {
                return next;
            }
        }
    }

    /// What came and was not looked at.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

impl Drop for PushGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn notify(State(gateway): State<Arc<Inner>>, Json(body): Json<Value>) -> Response {
    let notification = body["notification"].clone();
    let keys = notification["devices"].as_array().cloned().unwrap_or_default();
    let keys: Vec<Value> = keys.into_iter().map(|device| device["pushkey"].clone()).collect();
    let reply = gateway.reply.lock().clone();
    // Nobody listens any more when the test is over.
    let _ = gateway.received.send(notification);
    match reply {
        Reply::Accept => Json(json!({ "rejected": [] })).into_response(),
        Reply::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Reply::Reject => Json(json!({ "rejected": keys })).into_response(),
        Reply::Hang => std::future::pending().await,
        Reply::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
    }
}
