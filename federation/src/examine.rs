//! What does a server look like from here, step by step? For people who set one up.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ruma::{CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};
use rustls::ClientConfig;
use rustls_pki_types::ServerName as TlsName;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

pub use crate::discovery::WellKnownError;
use crate::{
    certificate::Validity,
    client::{Client, ClientError, Options},
    connection::Way,
    discovery::Discovery,
    keys::Published,
    remotes::REDIRECTS,
    resolver::GuardedResolver,
    tls,
};

/// For each step of connecting and each answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one answer.
const LONGEST_ANSWER: usize = 64 * 1024;
/// How many of a server's addresses are looked at.
const MOST_ADDRESSES: usize = 8;

/// Everything that was seen.
#[derive(Debug)]
pub struct Examination {
    pub server: OwnedServerName,
    /// Not asked for if the name is an address or has a port.
    pub well_known: Option<Result<(OwnedServerName, Duration), WellKnownError>>,
    /// The name under which it is asked: what the file says, or its own.
    pub authority: OwnedServerName,
    /// The hosts and ports of the SRV record, if there is one.
    pub services: Option<Vec<(String, u16)>>,
    /// Or why there are none.
    pub addresses: Result<Vec<Seen>, String>,
}

/// What is behind one address.
#[derive(Debug)]
pub struct Seen {
    pub address: SocketAddr,
    pub found: Result<Answers, Unreached>,
}

/// How far an attempt came.
#[derive(Debug)]
pub enum Unreached {
    /// The configuration forbids to connect there, as it is no public address.
    NotPermitted,
    /// This machine has no way to such addresses.
    NoRoute,
    Tcp(String),
    Tls(String),
}

#[derive(Debug)]
pub struct Answers {
    pub certificate: Option<Validity>,
    /// Name and version of the software.
    pub version: Result<String, String>,
    pub keys: Result<Keys, String>,
    /// By how much the server's clock is ahead of ours, in seconds, if it says the time.
    pub clock: Option<i64>,
}

#[derive(Debug)]
pub struct Keys {
    pub ids: Vec<String>,
    /// Milliseconds since the epoch, as published.
    pub valid_until: u64,
}

/// Looks at a server as another one would that meets it for the first time.
pub async fn examine(server: &ServerName, options: Options) -> Result<Examination, ClientError> {
    let resolver = GuardedResolver::new(options.guard.clone(), options.name_servers.as_deref());
    let mut tls = tls::config(&options.certificate_authorities)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = Arc::new(tls);
    let port = options.https_port;
    let options = Options { redirects: REDIRECTS, timeout: PATIENCE, ..options };
    let discovery = Discovery::new(Client::with_resolver(&options, resolver.clone())?, port);

    let named = server.is_ip_literal() || server.port().is_some();
    let well_known = match named {
        true => None,
        false => Some(discovery.well_known(server).await.map(|file| (file.server, file.lifetime))),
    };
    let delegated = well_known.as_ref().and_then(|read| read.as_ref().ok());
    let authority = delegated.map_or_else(|| server.to_owned(), |(name, _)| name.clone());
    let (services, addresses) = match addresses(&resolver, &authority).await {
        Ok((services, addresses)) => (services, Ok(addresses)),
        Err(error) => (None, Err(error)),
    };
    let addresses = match addresses {
        Ok(addresses) => {
            let mut seen = Vec::new();
            for address in addresses {
                let found = match resolver.guard().permits(address.ip()) {
                    true => visit(server, &authority, address, Arc::clone(&tls)).await,
                    false => Err(Unreached::NotPermitted),
                };
                seen.push(Seen { address, found });
            }
            Ok(seen)
        }
        Err(error) => Err(error),
    };
    let server = server.to_owned();
    Ok(Examination { server, well_known, authority, services, addresses })
}

type Found = (Option<Vec<(String, u16)>>, Vec<SocketAddr>);

async fn addresses(resolver: &GuardedResolver, authority: &ServerName) -> Result<Found, String> {
    let uri = format!("https://{authority}/").parse().map_err(|_| "it is no URI".to_owned())?;
    let text = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
    let (services, mut addresses) = match Way::of(&uri) {
        Way::Address(address) => (None, vec![address]),
        Way::Host => {
            let port = authority.port().unwrap_or_default();
            (None, resolver.all_addresses(authority.host(), port).await.map_err(text)?)
        }
        Way::Service => match resolver.targets(authority.host()).await.map_err(text)? {
            None => {
                let port = crate::connection::DEFAULT_PORT;
                (None, resolver.all_addresses(authority.host(), port).await.map_err(text)?)
            }
            Some(targets) => {
                let mut addresses = Vec::new();
                for target in &targets {
                    let found = resolver.all_addresses(&target.host, target.port).await;
                    addresses.extend(found.map_err(|error| format!("{}: {error}", target.host))?);
                }
                let services = targets.into_iter().map(|target| (target.host, target.port));
                (Some(services.collect()), addresses)
            }
        },
    };
    addresses.truncate(MOST_ADDRESSES);
    Ok((services, addresses))
}

async fn visit(
    server: &ServerName,
    authority: &ServerName,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
) -> Result<Answers, Unreached> {
    let late = || "no answer in 10 seconds".to_owned();
    let tcp = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) if has_no_route(&error) => return Err(Unreached::NoRoute),
        Ok(Err(error)) => return Err(Unreached::Tcp(error.to_string())),
        Err(_) => return Err(Unreached::Tcp(late())),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = TlsName::try_from(host).map_err(|error| Unreached::Tls(error.to_string()))?;
    let stream = match timeout(PATIENCE, TlsConnector::from(tls).connect(name, tcp)).await {
        Ok(stream) => stream.map_err(|error| Unreached::Tls(error.to_string()))?,
        Err(_) => return Err(Unreached::Tls(late())),
    };
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| Validity::of(chain.first()?));
    let shake = timeout(PATIENCE, http1::handshake(TokioIo::new(stream))).await;
    let (mut sender, connection) = match shake {
        Ok(Ok(open)) => open,
        Ok(Err(error)) => return Err(Unreached::Tls(error.to_string())),
        Err(_) => return Err(Unreached::Tls(late())),
    };
    let connection = tokio::spawn(connection);
    let asked = async {
        let version = get(&mut sender, authority, "/_matrix/federation/v1/version").await;
        let keys = get(&mut sender, authority, "/_matrix/key/v2/server").await;
        let clock = version.as_ref().or(keys.as_ref()).ok().and_then(|(head, _)| clock(head));
        let version = version.and_then(|(_, body)| read_version(&body));
        let keys = keys.and_then(|(_, body)| read_keys(server, &body));
        Answers { certificate, version, keys, clock }
    };
    let answers = asked.await;
    connection.abort();
    Ok(answers)
}

async fn get(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    authority: &ServerName,
    path: &str,
) -> Result<(HeaderMap, Bytes), String> {
    let request = http::Request::get(path).header(header::HOST, authority.as_str());
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let exchange = async {
        sender.ready().await.map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        if !head.status.is_success() {
            return Err(format!("the answer has the status {}", head.status));
        }
        Ok((head.headers, body))
    };
    let answered = timeout(PATIENCE, exchange).await;
    answered.unwrap_or_else(|_| Err("no answer in 10 seconds".to_owned()))
}

fn clock(head: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(head.get(header::DATE)?.to_str().ok()?).ok()?;
    let seconds = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
    Some(match date.duration_since(SystemTime::now()) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    })
}

fn read_version(body: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Version {
        server: Software,
    }
    #[derive(Deserialize)]
    struct Software {
        name: Option<String>,
        version: Option<String>,
    }
    let Version { server } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let parts = [server.name, server.version].into_iter().flatten();
    // It is shown on a terminal.
    let clean = |part: String| part.chars().filter(|c| !c.is_control()).take(100).collect();
    Ok(parts.map(clean).collect::<Vec<String>>().join(" "))
}

fn read_keys(server: &ServerName, body: &[u8]) -> Result<Keys, String> {
    let document: CanonicalJsonObject =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let now = MilliSecondsSinceUnixEpoch::now();
    let published = Published::read(server, document, now).map_err(|error| error.to_string())?;
    let valid_until = published.valid_until.0.into();
    Ok(Keys { ids: published.keys.0.keys().map(ToString::to_string).collect(), valid_until })
}

/// This machine cannot connect to such addresses at all, as without IPv6.
fn has_no_route(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
}
