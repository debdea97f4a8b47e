//! How is another server asked for something? Found, signed for, asked within limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::StatusCode;
use ruma::{
    OwnedServerName, ServerName,
    api::{
        IncomingResponseExt, OutgoingRequest, OutgoingRequestExt,
        auth_scheme::{AuthScheme, NoAuthentication},
        federation::authentication::{ServerSignatures, XMatrixSigningInput},
        path_builder::SinglePath,
    },
    time::SystemTime,
};
use serde::Deserialize;

pub use crate::connection::Limits;
use crate::{
    client::{Client, ClientError, Options, RequestError},
    connection::{Connections, Failure},
    discovery::Discovery,
    reachability::Reachability,
    resolver::GuardedResolver,
    signing_key::SigningKey,
    stream::Stream,
};

/// How many redirects of a `.well-known` file are followed.
pub(crate) const REDIRECTS: usize = 5;
/// For the whole way to a `.well-known` file.
const WELL_KNOWN_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a server's own words about an error is kept, in bytes.
const LONGEST_MESSAGE: usize = 300;
/// How much of an answer that says so is read, in bytes.
const LONGEST_ERROR: usize = 64 * 1024;

/// With which servers a team speaks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Policy {
    #[default]
    Open,
    /// With no other server.
    Closed,
    /// Only with these.
    Allow(Vec<OwnedServerName>),
}

impl Policy {
    pub fn permits(&self, server: &ServerName) -> bool {
        match self {
            Self::Open => true,
            Self::Closed => false,
            Self::Allow(servers) => servers.iter().any(|allowed| allowed == server),
        }
    }
}

/// What all teams of a process share: connections, and what is known of where servers are. Cheap to
/// clone.
#[derive(Clone)]
pub struct Network {
    connections: Connections,
    discovery: Discovery,
    reachability: Reachability,
}

impl Network {
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let resolver = GuardedResolver::new(options.guard.clone(), options.name_servers.as_deref());
        let connections = Connections::new(&options, resolver.clone())?;
        let port = options.https_port;
        let options = Options { redirects: REDIRECTS, timeout: WELL_KNOWN_TIMEOUT, ..options };
        let discovery = Discovery::new(Client::with_resolver(&options, resolver)?, port);
        Ok(Self { connections, discovery, reachability: Reachability::new() })
    }
}

/// The other servers, as one team speaks with them. Cheap to clone.
#[derive(Clone)]
pub struct Remotes(Arc<Inner>);

struct Inner {
    network: Network,
    server_name: OwnedServerName,
    signing_key: Arc<SigningKey>,
    policy: Policy,
}

/// Why another server did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    #[error("the server cannot be found: {0}")]
    Discovery(String),
    #[error(transparent)]
    Connection(#[from] RequestError),
    /// It answered with an error. `message` is its own text, cut.
    #[error("the server refused with status {status}: {message}")]
    Refused { status: u16, errcode: Option<String>, message: String },
    #[error("the server's answer is malformed: {0}")]
    Malformed(String),
    /// The policy is "closed", or the server is not on the list.
    #[error("this server does not federate with {0}")]
    NotAllowed(OwnedServerName),
    /// It did not answer a moment ago and is left alone until then.
    #[error("the server does not answer")]
    Down { retry_at: SystemTime },
    #[error("this is the server itself")]
    Ourselves,
}

/// An authentication scheme of the server-server API.
pub trait Scheme: AuthScheme {
    fn input<'a>(
        origin: &ServerName,
        destination: &ServerName,
        signing_key: &'a SigningKey,
    ) -> Self::Input<'a>;
}

impl Scheme for ServerSignatures {
    fn input<'a>(
        origin: &ServerName,
        destination: &ServerName,
        signing_key: &'a SigningKey,
    ) -> XMatrixSigningInput<'a> {
        XMatrixSigningInput::new(origin.to_owned(), destination.to_owned(), signing_key.pair())
    }
}

impl Scheme for NoAuthentication {
    fn input(_: &ServerName, _: &ServerName, _: &SigningKey) {}
}

impl Remotes {
    pub fn new(
        network: Network,
        server_name: OwnedServerName,
        signing_key: Arc<SigningKey>,
        policy: Policy,
    ) -> Self {
        Self(Arc::new(Inner { network, server_name, signing_key, policy }))
    }

    /// The team's own name.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0.signing_key
    }

    /// Whether the team speaks with this server, in either direction.
    pub fn permits(&self, server: &ServerName) -> bool {
        self.0.policy.permits(server)
    }

    /// The server showed that it is there: it is asked again at once.
    pub fn reached(&self, server: &ServerName) {
        self.0.network.reachability.reached(server);
    }

    /// Asks within the usual [`Limits`].
    pub async fn request<R>(
        &self,
        destination: &ServerName,
        request: R,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest<PathBuilder = SinglePath, Authentication: Scheme> + Send,
    {
        self.request_with(destination, request, Limits::default()).await
    }

    /// Finds the server, signs the request if its scheme asks for it, sends it and reads the answer.
    pub async fn request_with<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest<PathBuilder = SinglePath, Authentication: Scheme> + Send,
    {
        let (authority, request, limits) = self.prepared(destination, request, limits).await?;
        let begun = Instant::now();
        let answer = self.0.network.connections.send(&authority, request, limits).await;
        let answer = self.noted(destination, begun, answer)?;
        if !answer.status().is_success() {
            return Err(refused(&answer));
        }
        let (head, body) = answer.into_parts();
        let answer = http::Response::from_parts(head, body.as_ref());
        R::IncomingResponse::try_from_http_response(answer)
            .map_err(|error| FederationError::Malformed(error.to_string()))
    }

    /// As [`Remotes::request_with`], for an answer that is too large to be held: whoever asks reads it.
    pub async fn stream<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<http::Response<Stream>, FederationError>
    where
        R: OutgoingRequest<PathBuilder = SinglePath, Authentication: Scheme> + Send,
    {
        let (authority, request, limits) = self.prepared(destination, request, limits).await?;
        let begun = Instant::now();
        let answer = self.0.network.connections.send_streaming(&authority, request, limits).await;
        let answer = self.noted(destination, begun, answer)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, mut body) = answer.into_parts();
        let mut said = BytesMut::new();
        while let Some(Ok(piece)) = body.next().await
            && said.len() + piece.len() <= LONGEST_ERROR
        {
            said.extend_from_slice(&piece);
        }
        Err(refused(&http::Response::from_parts(head, said.freeze())))
    }

    /// The signed request, where it goes, and what is left of its time.
    async fn prepared<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<(OwnedServerName, http::Request<Bytes>, Limits), FederationError>
    where
        R: OutgoingRequest<PathBuilder = SinglePath, Authentication: Scheme> + Send,
    {
        let Inner { network, server_name, signing_key, .. } = &*self.0;
        if destination == server_name {
            return Err(FederationError::Ourselves);
        }
        if !self.permits(destination) {
            return Err(FederationError::NotAllowed(destination.to_owned()));
        }
        if let Some(retry_at) = network.reachability.retry_at(destination) {
            return Err(FederationError::Down { retry_at });
        }
        let begun = Instant::now();
        let authority = network.discovery.authority(destination).await;
        let timeout = limits.timeout.saturating_sub(begun.elapsed());
        let input = R::Authentication::input(server_name, destination, signing_key);
        let base_url = format!("https://{authority}");
        let request = request.try_into_http_request::<Vec<u8>>(&base_url, input, ());
        let request = request.map_err(|error| FederationError::Malformed(error.to_string()))?;
        Ok((authority, request.map(Bytes::from), Limits { timeout, ..limits }))
    }

    /// Remembers whether the server could be reached.
    fn noted<T>(
        &self,
        server: &ServerName,
        begun: Instant,
        answer: Result<T, Failure>,
    ) -> Result<T, FederationError> {
        let reachability = &self.0.network.reachability;
        let failure = match answer {
            Ok(answer) => {
                reachability.reached(server);
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        if failure.unreachable {
            reachability.failed(server, begun.elapsed());
        }
        Err(match failure.error {
            RequestError::Resolve(reason) => FederationError::Discovery(reason),
            error => FederationError::Connection(error),
        })
    }
}

/// What the server says about an error, if it says it as the specification wants.
fn refused(answer: &http::Response<Bytes>) -> FederationError {
    #[derive(Deserialize)]
    struct StandardError {
        errcode: Option<String>,
        error: Option<String>,
    }
    let status = answer.status();
    let said: Option<StandardError> = serde_json::from_slice(answer.body()).ok();
    let (errcode, message) = said.map_or((None, None), |said| (said.errcode, said.error));
    let mut message = message.unwrap_or_else(|| reason(status));
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
    }
    FederationError::Refused { status: status.as_u16(), errcode, message }
}

fn reason(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("no reason given").to_owned()
}
