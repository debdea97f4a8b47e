//! How do requests reach the peer?

use std::{net::TcpListener, sync::Arc};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::Method,
    response::Response,
};
use axum_server::Handle;
use ruma::{
    CanonicalJsonValue,
    api::federation::authentication::XMatrix,
    signatures::{PublicKeyMap, verify_json},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    Shared,
    answers::{Asked, Reply, arguments, query, x_matrix},
    canonical,
};

/// Larger than anything that a server under test sends.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A listener; cut when it is dropped.
pub(super) struct Running {
    handle: Handle<std::net::SocketAddr>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) async fn stop(mut self) {
        self.handle.shutdown();
        // Ends with the listener.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
    }
}

#[derive(Clone)]
struct Way {
    shared: Arc<Shared>,
    client: reqwest::Client,
}

pub(super) async fn serve(shared: Arc<Shared>, client: reqwest::Client) -> Running {
    let listener = TcpListener::bind(shared.address).expect("the peer's port is free");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    let handle = Handle::new();
    let acceptor = shared.certificate.acceptor();
    let router = Router::new().fallback(answer).with_state(Way { shared, client });
    let server = axum_server::from_tcp_rustls(listener, acceptor).expect("a listener");
    let server = server.handle(handle.clone());
    let task = tokio::spawn(async move {
        server.serve(router.into_make_service()).await.expect("serving ends only when told");
    });
    Running { handle, task }
}

async fn answer(State(way): State<Way>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let mut asked = Asked {
        query: query(parts.uri.query().unwrap_or_default()),
        method: parts.method,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        origin: None,
        arguments: Vec::new(),
        path,
    };
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str()).to_owned();
    asked.origin = way.origin(&asked, &uri, &body).await;
    let reply = way.reply(&mut asked);
    way.shared.asked.send_modify(|all| all.push(asked));
    reply.into_response()
}

impl Way {
    fn reply(&self, asked: &mut Asked) -> Reply {
        let shared = &self.shared;
        if asked.path.starts_with("/_matrix/federation/")
            && asked.path != "/_matrix/federation/v1/version"
            && asked.origin.is_none()
        {
            return Reply::error(401, "M_UNAUTHORIZED");
        }
        for hook in shared.hooks.lock().iter_mut().filter(|hook| hook.method == asked.method) {
            if let Some(found) = arguments(&hook.pattern, &asked.path) {
                asked.arguments = found;
                if let Some(reply) = (hook.answer)(asked) {
                    return reply;
                }
            }
        }
        if asked.method == Method::GET && asked.path == "/_matrix/key/v2/server" {
            return shared.published_keys().into();
        }
        if asked.is("PUT", "v1/send/{}") {
            return json!({ "pdus": {} }).into();
        }
        if asked.is("GET", "v1/version") {
            return json!({ "server": { "name": "peer of a test", "version": "1" } }).into();
        }
        shared.reply_of_rooms(asked).unwrap_or_else(|| Reply::error(404, "M_UNRECOGNIZED"))
    }

    /// Who signed the request, if the signature is right and it is for us.
    async fn origin(&self, asked: &Asked, uri: &str, body: &[u8]) -> Option<String> {
        let parameters = x_matrix(&asked.headers)?;
        let origin = parameters.get("origin")?;
        let (key_id, signature) = (parameters.get("key")?, parameters.get("sig")?);
        if parameters.get("destination")? != self.shared.name.as_str() {
            return None;
        }
        let request = axum::http::Request::builder().method(asked.method.clone()).uri(uri);
        let request = request.body(body).ok()?;
        let from = origin.as_str().try_into().ok()?;
        let mut object = XMatrix::request_object(&request, from, &self.shared.name).ok()?;
        let signatures = json!({ origin: { key_id: signature } });
        let signatures: CanonicalJsonValue = serde_json::from_value(signatures).ok()?;
        object.insert("signatures".to_owned(), signatures);
        let key = self.key_of(origin, key_id).await?;
        let key = ruma::serde::Base64::parse(key).ok()?;
        let keys = PublicKeyMap::from([(origin.clone(), [(key_id.clone(), key)].into())]);
        verify_json(&keys, &object).ok().map(|()| origin.clone())
    }

    /// A server's key; each is asked for once.
    async fn key_of(&self, server: &str, key_id: &str) -> Option<String> {
        let name = (server.to_owned(), key_id.to_owned());
        if let Some(key) = self.shared.keys.lock().get(&name) {
            return Some(key.clone());
        }
        let url = format!("https://{server}/_matrix/key/v2/server");
        let keys = self.client.get(url).send().await.ok()?.text().await.ok()?;
        let keys: Value = serde_json::from_str(&keys).ok()?;
        let _ = canonical(keys.clone());
        let key = keys["verify_keys"][key_id]["key"].as_str()?.to_owned();
        self.shared.keys.lock().insert(name, key.clone());
        Some(key)
    }
}
