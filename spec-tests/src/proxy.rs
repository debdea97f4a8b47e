//! Between a server and clients that we did not write: notes what they ask for.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    record::{Record, record},
    user::Connection,
};

/// Larger than anything that a client of a test sends or gets.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A reverse proxy as operators have one, on a free port. Stops when it is dropped.
pub struct RecordingProxy {
    address: SocketAddr,
    passed: Arc<Mutex<Vec<Passed>>>,
    task: JoinHandle<()>,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Passed {
    /// With the query: `/_matrix/client/v3/sync?timeout=0`.
    pub path: String,
    /// `null` if it is not JSON.
    pub body: Value,
    pub status: u16,
}

#[derive(Clone)]
struct Way {
    connection: Connection,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl RecordingProxy {
    pub(crate) async fn start(connection: Connection) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let passed = Arc::default();
        let way = Way { connection, passed: Arc::clone(&passed) };
        let router = Router::new().fallback(forward).with_state(way);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving ends only with the task");
        });
        Self { address, passed, task }
    }

    /// `http://127.0.0.1:12345`, without a slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked for so far and answered, in the order of the answers: for tests that show what
    /// a client really sends.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.lock().clone()
    }
}

impl Drop for RecordingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(State(way): State<Way>, request: Request) -> Response {
    match try_forward(way, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}")).into_response(),
    }
}

async fn try_forward(way: Way, request: Request) -> Result<Response, axum::Error> {
    let Way { connection, passed } = way;
    let (parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{}{path_and_query}", *connection.address.read());
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let body = to_bytes(body, MAX_BODY).await?;
    let asked = serde_json::from_slice(&body).unwrap_or_default();
    let sent = connection.client.request(parts.method.clone(), url).headers(headers).body(body);
    let response = sent.send().await.map_err(axum::Error::new)?;

    let mut forwarded = Response::new(Body::empty());
    *forwarded.status_mut() = response.status();
    *forwarded.headers_mut() = response.headers().clone();
    // The server writes the lengths of its own answers again.
    forwarded.headers_mut().remove(header::TRANSFER_ENCODING);
    let body = response.bytes().await.map_err(axum::Error::new)?;
    let status = forwarded.status().as_u16();
    passed.lock().push(Passed { path: path_and_query.to_owned(), body: asked, status });
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    record(Record {
        test: connection.test.as_deref().unwrap_or_default().to_owned(),
        direct: false,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        status,
        errcode: json["errcode"].as_str().unwrap_or_default().to_owned(),
    });
    *forwarded.body_mut() = Body::from(body);
    Ok(forwarded)
}
