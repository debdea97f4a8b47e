//! A process that carries files for a server: as many of them as there is to carry, before one datastore.
//!
//! Everything that it is asked it passes on to the server, which knows who may read what and where it lies.
//! Where the server answers with a [`Plan`] of a file, the node reads the file itself. It keeps nothing, so
//! that any node can answer any request, and one that dies takes nothing with it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kith_media_store::{chunks, plan::Reader};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    api::ApiError,
    config::{Config, Secret},
    listen::{self, ListenError},
    media::{
        self,
        plan::{LENGTH, PLANNED, Plan, SECRET},
    },
};

/// Bytes of a plan: one of the largest file has some hundred for each 4 MiB.
const LARGEST_PLAN: usize = 64 << 20;
/// How long the server may take to begin an answer; a `/sync` that waits is not for nodes.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("media.node_secret is not set: it is to be the same here and at the server")]
    NoSecret,
    #[error("{0} is no URL of a server: http://10.0.0.1:8008, for example")]
    Server(Url),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A node that answers until it is stopped.
pub struct RunningNode {
    pub addresses: Vec<SocketAddr>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

struct Node {
    config: Config,
    /// Scheme and authority.
    server: Uri,
    secret: HeaderValue,
    client: Client<HttpConnector, Body>,
    /// By the team's folder.
    readers: Mutex<HashMap<String, Reader>>,
}

impl RunningNode {
    /// `config` has listeners, datastore, master key and secret; `server` is asked over plain HTTP.
    pub async fn start(config: Config, server: &Url) -> Result<Self, NodeError> {
        let secret = config.media.node_secret.as_ref().map(Secret::expose);
        let secret = secret.and_then(|secret| HeaderValue::from_str(secret).ok());
        let secret = secret.ok_or(NodeError::NoSecret)?;
        let wrong = || NodeError::Server(server.clone());
        let named: Uri = server.as_str().parse().map_err(|_| wrong())?;
        if named.scheme_str() != Some("http") || named.path() != "/" {
            return Err(wrong());
        }
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let bound = listen::bind(&config.listeners).await?;
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let stop_wait = config.limits.stop_wait;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let readers = Mutex::default();
        let node = Arc::new(Node { config, server: named, secret, client, readers });
        for bound in bound {
            let router = Router::new().fallback(carry).with_state(Arc::clone(&node));
            tasks.spawn(listen::serve(bound, router, stopping.clone(), stop_wait));
        }
        tasks.close();
        Ok(Self { addresses, stopping, tasks })
    }

    pub async fn stop(self) {
        self.stopping.cancel();
        self.tasks.wait().await;
    }
}

async fn carry(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    if let Err(error) = node.address(&mut request, peer) {
        return error.into_response();
    }
    let answer = tokio::time::timeout(PATIENCE, node.client.request(request)).await;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return ApiError::remote_failure(error.to_string()).into_response(),
        Err(_) => return ApiError::remote_failure("the server does not answer").into_response(),
    };
    let (mut parts, body) = answer.into_parts();
    remove_hops(&mut parts.headers);
    if parts.headers.remove(PLANNED).is_none() {
        return Response::from_parts(parts, Body::new(body));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    if let Some(length) = parts.headers.remove(LENGTH) {
        parts.headers.insert(header::CONTENT_LENGTH, length);
    }
    let plan = match Limited::new(body, LARGEST_PLAN).collect().await {
        Ok(plan) => serde_json::from_slice::<Plan>(&plan.to_bytes()).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match plan {
        Err(error) => ApiError::remote_failure(error).into_response(),
        Ok(plan) => match node.reader(&plan).await {
            Ok(reader) => Response::from_parts(parts, Body::from_stream(reader.read(plan.parts))),
            Err(error) => ApiError::internal(error).into_response(),
        },
    }
}

impl Node {
    /// To the server, in the name of whoever asked.
    fn address(&self, request: &mut Request, peer: SocketAddr) -> Result<(), ApiError> {
        let mut uri = self.server.clone().into_parts();
        let path = request.uri().path_and_query().cloned();
        uri.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
        // An HTTP/2 request names its host here.
        let host = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
        *request.uri_mut() = Uri::from_parts(uri).map_err(ApiError::internal)?;
        *request.version_mut() = http::Version::HTTP_11;
        let headers = request.headers_mut();
        remove_hops(headers);
        if let (None, Some(Ok(host))) = (headers.get(header::HOST), host) {
            headers.insert(header::HOST, host);
        }
        let address = HeaderValue::try_from(peer.ip().to_string()).map_err(ApiError::internal)?;
        headers.append(HeaderName::from_static("x-forwarded-for"), address);
        headers.insert(SECRET, self.secret.clone());
        Ok(())
    }

    /// Opened when the first file of a team is asked for, and anew when there are new keys.
    async fn reader(&self, plan: &Plan) -> Result<Reader, chunks::Error> {
        let mut readers = self.readers.lock().await;
        if let Some(reader) = readers.get(&plan.folder).filter(|known| known.has_keys(&plan.parts))
        {
            return Ok(reader.clone());
        }
        let reader = Reader::open(&media::places(&self.config, &plan.folder)).await?;
        readers.insert(plan.folder.clone(), reader.clone());
        Ok(reader)
    }
}

/// What is meant for the next process alone, and what nobody but us may say.
fn remove_hops(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        SECRET,
    ] {
        headers.remove(name);
    }
}
