//! How is another server reached, once it is known under which name it answers?
//!
//! That name, a host with or without a port, decides everything else: it is the `Host` header, its
//! host is whom the certificate must name, and the connection goes to
//! - the address, with the port given or else 8448, if the host is an address;
//! - the host's addresses, if there is a port;
//! - what the SRV record says, or the host's addresses and port 8448, if there is none.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#resolving-server-names)

use std::{
    error::Error as StdError,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use ruma::ServerName;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::{
    client::{ClientError, Options, RequestError},
    guard::{AddressGuard, Denied},
    resolver::GuardedResolver,
    stream::{self, Stream},
    tls,
};

/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 8448;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How many unused connections to one server are kept.
const IDLE_PER_SERVER: usize = 4;
/// How often a server is asked for a sign of life while it works on an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

type BoxError = Box<dyn StdError + Send + Sync>;

/// How long one exchange may take, and how much the answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the search for the server to the last byte of its answer.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

impl Default for Limits {
    /// A minute and 16 MiB.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), body: 16 * 1024 * 1024 }
    }
}

/// Why there is no answer, and whether there was no connection either.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: RequestError,
    pub(crate) unreachable: bool,
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self { error, unreachable: false }
    }
}

impl From<&legacy::Error> for Failure {
    fn from(error: &legacy::Error) -> Self {
        Self { error: RequestError::from_cause(error), unreachable: error.is_connect() }
    }
}

/// The other side closed the connection before it answered.
fn was_cut(error: &legacy::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(|cause| {
        cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed()
    })
}

/// Connections to servers, shared by whoever clones it.
#[derive(Clone)]
pub(crate) struct Connections {
    http: Client<Bounded<HttpsConnector<Connector>>, Full<Bytes>>,
    read_timeout: Duration,
}

impl Connections {
    pub(crate) fn new(options: &Options, resolver: GuardedResolver) -> Result<Self, ClientError> {
        let tcp = |services| {
            let resolver = HostResolver { resolver: resolver.clone(), services };
            let mut tcp = HttpConnector::new_with_resolver(resolver);
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(options.connect_timeout));
            tcp
        };
        let connector =
            Connector { guard: resolver.guard(), hosts: tcp(false), services: tcp(true) };
        let tls = tls::config(&options.certificate_authorities)?;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_all_versions()
            .wrap_connector(connector);
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_SERVER)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .build(Bounded { inner: https, timeout: options.connect_timeout });
        Ok(Self { http, read_timeout: options.read_timeout })
    }

    /// Sends a request whose URI is `https://`, the server's name for itself and the path.
    pub(crate) async fn send(
        &self,
        authority: &ServerName,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Bytes>, Failure> {
        let exchange = async {
            let answer = self.open(authority, request).await?;
            Ok(self.read(answer, limits.body).await?)
        };
        let ended = tokio::time::timeout(limits.timeout, exchange).await;
        ended.unwrap_or(Err(RequestError::Timeout.into()))
    }

    /// As [`Connections::send`]; the answer's body is read by whoever wants it.
    pub(crate) async fn send_streaming(
        &self,
        authority: &ServerName,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Stream>, Failure> {
        let deadline = tokio::time::Instant::now() + limits.timeout;
        let answer = tokio::time::timeout_at(deadline, self.open(authority, request)).await;
        let answer = answer.unwrap_or(Err(RequestError::Timeout.into()))?;
        let too_long = RequestError::TooLong { limit: limits.body };
        if answer.body().size_hint().lower() > limits.body as u64 {
            return Err(too_long.into());
        }
        let read_timeout = self.read_timeout;
        Ok(answer
            .map(|body| stream::within(body.into_data_stream(), limits, read_timeout, deadline)))
    }

    async fn open(
        &self,
        authority: &ServerName,
        mut request: http::Request<Bytes>,
    ) -> Result<http::Response<Incoming>, Failure> {
        if authority.port() == Some(443) {
            // The port of HTTPS would be left out.
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| RequestError::Url)?;
            request.headers_mut().insert(header::HOST, host);
        }
        let agent = HeaderValue::from_static(concat!("Kith/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        self.exchange(request.map(Full::new)).await
    }

    /// A connection that was kept may end just when it is used again: what may be asked twice is.
    async fn exchange(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Failure> {
        let repeatable = matches!(*request.method(), Method::GET | Method::PUT);
        let again = repeatable.then(|| request.clone());
        match (self.http.request(request).await, again) {
            (Ok(answer), _) => Ok(answer),
            (Err(error), Some(request)) if was_cut(&error) => {
                self.http.request(request).await.map_err(|error| Failure::from(&error))
            }
            (Err(error), _) => Err(Failure::from(&error)),
        }
    }

    async fn read(
        &self,
        answer: http::Response<Incoming>,
        limit: usize,
    ) -> Result<http::Response<Bytes>, RequestError> {
        let (head, mut rest) = answer.into_parts();
        if rest.size_hint().lower() > limit as u64 {
            return Err(RequestError::TooLong { limit });
        }
        let mut body = BytesMut::new();
        loop {
            let frame = tokio::time::timeout(self.read_timeout, rest.frame()).await;
            let Some(frame) = frame.map_err(|_| RequestError::Timeout)? else { break };
            let frame = frame.map_err(|error| RequestError::from_cause(&error))?;
            let Some(piece) = frame.data_ref() else { continue };
            if body.len() + piece.len() > limit {
                return Err(RequestError::TooLong { limit });
            }
            body.extend_from_slice(piece);
        }
        Ok(http::Response::from_parts(head, body.freeze()))
    }
}

/// Finds the address and connects to it.
#[derive(Clone)]
struct Connector {
    guard: Arc<AddressGuard>,
    /// For a host with a port.
    hosts: HttpConnector<HostResolver>,
    /// For a host without.
    services: HttpConnector<HostResolver>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match Way::of(&uri) {
            Way::Address(address) if !self.guard.permits(address.ip()) => {
                let denied = Denied(address.ip().to_string());
                Box::pin(async move { Err(denied.into()) })
            }
            Way::Address(address) => {
                let uri = format!("https://{address}/");
                let uri = uri.parse().expect("an address and a port are an authority");
                connect(self.hosts.clone(), uri)
            }
            Way::Host => connect(self.hosts.clone(), uri),
            Way::Service => connect(self.services.clone(), uri),
        }
    }
}

/// Where a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Address(SocketAddr),
    /// To the host's addresses, at the port of the name.
    Host,
    /// Where SRV records say, or the host's addresses at the default port.
    Service,
}

impl Way {
    pub(crate) fn of(uri: &Uri) -> Self {
        let host = uri.host().unwrap_or_default();
        let address: Option<IpAddr> = match host.strip_prefix('[') {
            Some(host) => host.trim_end_matches(']').parse().ok().map(IpAddr::V6),
            None => host.parse().ok().map(IpAddr::V4),
        };
        match (address, uri.port_u16()) {
            (Some(address), port) => {
                Self::Address(SocketAddr::new(address, port.unwrap_or(DEFAULT_PORT)))
            }
            (None, Some(_)) => Self::Host,
            (None, None) => Self::Service,
        }
    }
}

fn connect(
    mut tcp: HttpConnector<HostResolver>,
    uri: Uri,
) -> BoxFuture<'static, Result<TokioIo<TcpStream>, BoxError>> {
    Box::pin(async move {
        std::future::poll_fn(|context| tcp.poll_ready(context)).await?;
        Ok(tcp.call(uri).await?)
    })
}

/// Gives out permitted addresses.
#[derive(Clone)]
struct HostResolver {
    resolver: GuardedResolver,
    /// The addresses, each with its port, of the Matrix server for this name; else those of the host.
    services: bool,
}

impl Service<Name> for HostResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { resolver, services } = self.clone();
        Box::pin(async move {
            let found = match services {
                true => resolver.services(name.as_str()).await?,
                false => resolver.addresses(name.as_str()).await?,
            };
            Ok(found.into_iter())
        })
    }
}

/// Ends when the connection does not stand in time, TLS included.
#[derive(Clone)]
struct Bounded<C> {
    inner: C,
    timeout: Duration,
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.timeout, self.inner.call(uri));
        Box::pin(async move { connecting.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_where_to_connect() {
        let way = |name: &str| Way::of(&format!("https://{name}/path").parse().expect("a URI"));
        let address = |text: &str| Way::Address(text.parse().expect("an address"));
        assert_eq!(way("192.0.2.1"), address("192.0.2.1:8448"));
        assert_eq!(way("192.0.2.1:443"), address("192.0.2.1:443"));
        assert_eq!(way("[2001:db8::1]"), address("[2001:db8::1]:8448"));
        assert_eq!(way("[2001:db8::1]:1"), address("[2001:db8::1]:1"));
        assert_eq!(way("matrix.example:8448"), Way::Host);
        assert_eq!(way("matrix.example"), Way::Service);
        // No address in the grammar of server names: DNS does not know it either.
        assert_eq!(way("127.1"), Way::Service);
    }
}
