//! On which addresses does the server answer, and how does it stop?

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use axum_server::{
    Handle,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use futures_util::future::{BoxFuture, FutureExt};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    certificates::{CertificateError, Certificates},
    config::{Listener, Serves},
};

/// How long a client may take to send a request's headers, or to say anything on a connection
/// that it keeps.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// What is read of a body at once, in bytes: it stays in the cache of the processor until it is where it belongs.
const HTTP1_BUFFER: usize = 128 << 10;
/// How often renewed certificates are looked for.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {error}")]
    Bind { address: SocketAddr, error: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A listener whose address is ours.
pub struct Bound {
    /// With the port that was really given.
    pub address: SocketAddr,
    pub serves: Vec<Serves>,
    listener: TcpListener,
    /// Only with TLS.
    pub certificates: Option<Certificates>,
}

/// The listener of `/metrics`.
pub async fn bind_metrics(address: SocketAddr) -> Result<Bound, ListenError> {
    let socket = TcpListener::bind(address).await;
    let failed = |error| ListenError::Bind { address, error };
    let socket = socket.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound { address, serves: Vec::new(), listener: socket, certificates: None })
}

/// Takes every address, or none.
pub async fn bind(listeners: &[Listener]) -> Result<Vec<Bound>, ListenError> {
    let mut bound = Vec::new();
    for listener in listeners {
        let certificates = listener.tls.clone().map(Certificates::open).transpose()?;
        let address = listener.address;
        let socket = match TcpListener::bind(address).await {
            Err(error) if listener.optional && has_no_such_address(&error) => {
                tracing::info!(%address, "this machine does not have the address; skipped");
                continue;
            }
            bound => bound.map_err(|error| ListenError::Bind { address, error })?,
        };
        let address = socket.local_addr().map_err(|error| ListenError::Bind { address, error })?;
        bound.push(Bound {
            address,
            serves: listener.serves.clone(),
            listener: socket,
            certificates,
        });
    }
    Ok(bound)
}

/// Answers until `stopping`; then takes no new request and gives those that it has accepted
/// `stop_wait` to end.
pub async fn serve(
    bound: Bound,
    router: Router,
    stopping: CancellationToken,
    stop_wait: Duration,
) -> io::Result<()> {
    let handle = Handle::new();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    // A response that waits for more to send is a message that arrives late.
    let nodelay = NoDelayAcceptor::new();
    let serving: BoxFuture<'_, io::Result<()>> = match &bound.certificates {
        None => server(bound.listener, nodelay, &handle).serve(service).boxed(),
        Some(certificates) => {
            let config = RustlsConfig::from_config(Arc::new(certificates.server_config()));
            let acceptor = RustlsAcceptor::new(config).acceptor(nodelay);
            let serving = server(bound.listener, acceptor, &handle).serve(service);
            async move {
                tokio::select! {
                    served = serving => served,
                    never = renew(certificates) => match never {},
                }
            }
            .boxed()
        }
    };
    let mut serving = serving;
    tokio::select! {
        served = &mut serving => return served,
        () = stopping.cancelled() => handle.graceful_shutdown(Some(stop_wait)),
    }
    serving.await
}

fn server<A>(
    listener: TcpListener,
    acceptor: A,
    handle: &Handle<SocketAddr>,
) -> axum_server::Server<SocketAddr, A> {
    let mut server = axum_server::Server::from_listener(listener).handle(handle.clone());
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER);
    builder.http2().timer(TokioTimer::new());
    server.acceptor(acceptor)
}

/// Reads the certificates as [`bind`] would.
pub fn check_certificates(listeners: &[Listener]) -> Result<(), ListenError> {
    for tls in listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        Certificates::open(tls.clone())?;
    }
    Ok(())
}

/// Takes up certificates that others renew.
async fn renew(certificates: &Certificates) -> Infallible {
    loop {
        tokio::time::sleep(CERTIFICATE_CHECK).await;
        certificates.reload();
    }
}

/// The machine has no IPv6, or no such interface.
fn has_no_such_address(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable
        || code == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}
