//! The one HTTP client with which this server connects to anybody.
//!
//! Every connection goes to an address that the [`AddressGuard`] permits, every body that is read
//! has a limit, every wait an end.

use std::{error::Error as StdError, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use hickory_resolver::ResolveError;
use reqwest::redirect::{Attempt, Policy};
use url::Url;

use crate::{
    connection::Limits,
    guard::{AddressGuard, Denied},
    resolver::{GuardedResolver, NoService},
    stream::{self, Stream},
    tls,
};

#[derive(Clone)]
pub struct Options {
    pub guard: AddressGuard,
    /// PEM texts with certificate authorities to trust beside the system's.
    pub certificate_authorities: Vec<Vec<u8>>,
    /// Who is asked for names that are not in /etc/hosts, instead of whom the system asks.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// The port of URLs of `.well-known` files; not 443 in tests.
    pub https_port: u16,
    /// How many redirects are followed; after those, and with 0, the redirect is the answer.
    pub redirects: usize,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub read_timeout: Duration,
    /// For a whole exchange, redirects included.
    pub timeout: Duration,
}

impl Default for Options {
    /// Permits every address: fill in the guard.
    fn default() -> Self {
        Self {
            guard: AddressGuard::default(),
            certificate_authorities: Vec::new(),
            name_servers: None,
            https_port: 443,
            redirects: 0,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(60),
        }
    }
}

/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    guard: Arc<AddressGuard>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("a certificate authority cannot be read: {0}")]
    CertificateAuthority(String),
    #[error("cannot set up outgoing connections: {0}")]
    Setup(#[source] Box<dyn StdError + Send + Sync>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the answer is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("no answer in time")]
    Timeout,
    #[error("the name cannot be resolved: {0}")]
    Resolve(String),
    #[error("the request has no usable URL")]
    Url,
    #[error("{0}")]
    Connection(String),
}

impl Client {
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let resolver = GuardedResolver::new(options.guard.clone(), options.name_servers.as_deref());
        Self::with_resolver(&options, resolver)
    }

    /// Shares the resolver's memory.
    #[expect(clippy::disallowed_methods, reason = "this is the guarded client")]
    pub(crate) fn with_resolver(
        options: &Options,
        resolver: GuardedResolver,
    ) -> Result<Self, ClientError> {
        let guard = resolver.guard();
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls::config(&options.certificate_authorities)?)
            .dns_resolver(Arc::new(resolver))
            // A proxy would connect for us to wherever it likes.
            .no_proxy()
            .redirect(redirects(Arc::clone(&guard), options.redirects))
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .timeout(options.timeout)
            .user_agent(concat!("Kith/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Setup(error.into()))?;
        Ok(Self { http, guard })
    }

    /// Sends the request and reads an answer of at most `limit` bytes, whatever its status.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
        limit: usize,
    ) -> Result<http::Response<Bytes>, RequestError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| RequestError::Url)?;
        self.guard.check(&url)?;
        let request: reqwest::Request = request.try_into().map_err(failure)?;
        let answer = self.http.execute(request).await.map_err(failure)?;
        read(answer, limit).await
    }

    /// As [`Client::send`]; the answer's body is read by whoever wants it.
    pub async fn send_streaming(
        &self,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Stream>, RequestError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| RequestError::Url)?;
        self.guard.check(&url)?;
        let deadline = tokio::time::Instant::now() + limits.timeout;
        let mut request: reqwest::Request = request.try_into().map_err(failure)?;
        *request.timeout_mut() = Some(limits.timeout);
        let mut answer = self.http.execute(request).await.map_err(failure)?;
        if answer.content_length().is_some_and(|length| length > limits.body as u64) {
            return Err(RequestError::TooLong { limit: limits.body });
        }
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        // The client's own clock for silence runs as well.
        let body = stream::within(answer.bytes_stream(), limits, limits.timeout, deadline);
        Ok(response.map(|()| body))
    }
}

async fn read(
    mut answer: reqwest::Response,
    limit: usize,
) -> Result<http::Response<Bytes>, RequestError> {
    let too_long = RequestError::TooLong { limit };
    if answer.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(failure)? {
        if body.len() + piece.len() > limit {
            return Err(too_long);
        }
        body.extend_from_slice(&piece);
    }
    let mut response = http::Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.version_mut() = answer.version();
    std::mem::swap(response.headers_mut(), answer.headers_mut());
    Ok(response)
}

/// Follows to permitted hosts, and never from HTTPS to HTTP. Names are checked when they are
/// resolved.
fn redirects(guard: Arc<AddressGuard>, limit: usize) -> Policy {
    Policy::custom(move |attempt: Attempt<'_>| {
        if attempt.previous().len() > limit {
            return attempt.stop();
        }
        let downgrade = attempt.url().scheme() == "http"
            && attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if downgrade {
            let host = attempt.url().host_str().unwrap_or_default().to_owned();
            return attempt.error(Denied(host));
        }
        match guard.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(denied) => attempt.error(denied),
        }
    })
}

fn failure(error: reqwest::Error) -> RequestError {
    match RequestError::from_cause(&error) {
        RequestError::Connection(_) if error.is_timeout() => RequestError::Timeout,
        failure => failure,
    }
}

impl RequestError {
    /// Looks for the cause among the causes.
    pub(crate) fn from_cause(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = error;
        loop {
            if let Some(denied) = cause.downcast_ref::<Denied>() {
                return Self::Denied(denied.clone());
            }
            if cause.is::<tokio::time::error::Elapsed>() {
                return Self::Timeout;
            }
            if cause.is::<ResolveError>() || cause.is::<NoService>() {
                return Self::Resolve(cause.to_string());
            }
            // An I/O error may hold its cause without calling it a source.
            let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let inner = inner.map(|inner| inner as &(dyn StdError + 'static));
            match inner.or_else(|| cause.source()) {
                Some(next) => cause = next,
                // The last cause says it best: "connection refused", "certificate expired".
                None => return Self::Connection(cause.to_string()),
            }
        }
    }
}
