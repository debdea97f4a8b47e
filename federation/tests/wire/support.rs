//! Servers for tests: HTTPS with certificates of one authority, DNS, and a store for keys.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use axum::{Router, body::to_bytes, extract::Request};
use axum_server::tls_rustls::RustlsConfig;
use bytes::Bytes;
use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SRV},
};
use http::{HeaderMap, Method, Response};
use kith_federation::{
    client::Options,
    guard::AddressGuard,
    key_ring::{KeyStore, KeyStoreError},
    keys::Published,
    remotes::{Network, Policy, Remotes},
    signing_key::SigningKey,
};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use ruma::{OwnedServerName, ServerName};
use rustls::{ServerConfig, crypto::ring};
use tokio::net::UdpSocket;

/// Certificate and key of the authority whom all tests believe.
fn authority() -> &'static (Certificate, KeyPair) {
    static AUTHORITY: OnceLock<(Certificate, KeyPair)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.self_signed(&key).expect("signed"), key)
    })
}

fn tls(names: &[&str]) -> RustlsConfig {
    let (issuer, issuer_key) = authority();
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).expect("valid names");
    let certificate = params.signed_by(&key, issuer, issuer_key).expect("signed");
    let key = key.serialize_der().try_into().expect("PKCS#8");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a key and its certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    RustlsConfig::from_config(Arc::new(config))
}

/// One request that a server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As in the `Host` header, or in HTTP/2 `:authority`.
    pub(crate) host: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn request(&self) -> http::Request<Bytes> {
        let mut request = http::Request::builder().method(self.method.clone()).uri(&self.path);
        *request.headers_mut().expect("valid") = self.headers.clone();
        request.body(self.body.clone()).expect("valid")
    }
}

pub(crate) type Answer = Response<axum::body::Body>;

/// An HTTPS server on a free port of 127.0.0.1, until the test ends or it is dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    handle: axum_server::Handle<SocketAddr>,
}

impl Peer {
    /// With a certificate for these names.
    pub(crate) async fn start(
        names: &[&str],
        answer: impl Fn(Asked) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&asked);
        let handler = async move |request: Request| {
            let (head, body) = request.into_parts();
            let host = head.headers.get("host").map(|host| host.to_str().expect("text").to_owned());
            let host = host.or_else(|| Some(head.uri.authority()?.to_string()));
            let request = Asked {
                host: host.unwrap_or_default(),
                method: head.method,
                path: head.uri.path_and_query().expect("a path").to_string(),
                headers: head.headers,
                body: to_bytes(body, usize::MAX).await.expect("read"),
            };
            log.lock().push(request.clone());
            answer(request)
        };
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp_rustls(listener, tls(names)).expect("a listener");
        let router = Router::new().fallback(handler);
        tokio::spawn(server.handle(handle.clone()).serve(router.into_make_service()));
        Self { address, asked, handle }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `127.0.0.1:PORT`: found without DNS.
    pub(crate) fn name(&self) -> OwnedServerName {
        OwnedServerName::try_from(self.address.to_string()).expect("an address and a port")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

pub(crate) fn json(status: u16, body: &serde_json::Value) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(body.to_string().into()).expect("valid")
}

/// A name server.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    hosts: Arc<Mutex<HashMap<Name, Vec<RData>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn dns_name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).expect("a name")
}

fn a_records(addresses: &[[u8; 4]]) -> Vec<RData> {
    addresses.iter().map(|at| RData::A(Ipv4Addr::from(*at).into())).collect()
}

impl Dns {
    /// Every name of A records is at the address given with it, or does not exist. SRV records have
    /// a name, a target and a port.
    pub(crate) async fn start(hosts: &[(&str, [u8; 4])], services: &[(&str, &str, u16)]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let hosts = hosts.iter().map(|(host, at)| (dns_name(host), a_records(&[*at])));
        let hosts = Arc::new(Mutex::new(hosts.collect::<HashMap<_, _>>()));
        let mut records: HashMap<Name, Vec<RData>> = HashMap::new();
        for (service, target, port) in services {
            let target = if target.is_empty() { Name::root() } else { dns_name(target) };
            let record = RData::SRV(SRV::new(0, 0, *port, target));
            records.entry(dns_name(service)).or_default().push(record);
        }
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, known) = (Arc::clone(&asked), Arc::clone(&hosts));
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.expect("received");
                let query = Message::from_vec(&packet[..length]).expect("a DNS message");
                let question = query.query().expect("one question").clone();
                log.lock().push(format!("{} {}", question.query_type(), question.name()));
                let host = known.lock().get(question.name()).cloned();
                let exists = host.is_some();
                let found = match question.query_type() {
                    RecordType::A => host.unwrap_or_default(),
                    RecordType::SRV => records.get(question.name()).cloned().unwrap_or_default(),
                    _ => Vec::new(),
                };
                let mut answer = Message::new();
                answer.set_id(query.id()).set_message_type(MessageType::Response);
                answer.set_recursion_available(true);
                answer.set_response_code(match exists || !found.is_empty() {
                    true => ResponseCode::NoError,
                    false => ResponseCode::NXDomain,
                });
                for data in found {
                    answer.add_answer(Record::from_rdata(question.name().clone(), 300, data));
                }
                answer.add_query(question);
                socket.send_to(&answer.to_vec().expect("valid"), from).await.expect("sent");
            }
        });
        Self { address, hosts, asked }
    }

    /// From now on the host is there.
    pub(crate) fn moves(&self, host: &str, to: &[[u8; 4]]) {
        self.hosts.lock().insert(dns_name(host), a_records(to));
    }

    /// Such as `SRV _matrix._tcp.a.test.`
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// Connects to 127.0.0.1 and nothing else.
pub(crate) fn options() -> Options {
    let range = |text: &str| text.parse().expect("a network");
    Options {
        guard: AddressGuard {
            denied: vec![range("0.0.0.0/0"), range("::/0")],
            allowed: vec![range("127.0.0.1/32")],
        },
        certificate_authorities: vec![authority().0.pem().into_bytes()],
        ..Options::default()
    }
}

pub(crate) const OWN_NAME: &str = "own.test";

pub(crate) fn own_name() -> &'static ServerName {
    OWN_NAME.try_into().expect("a server name")
}

/// The wire of `own.test`.
pub(crate) fn remotes(options: Options) -> Remotes {
    remotes_with(options, Policy::Open)
}

pub(crate) fn remotes_with(options: Options, policy: Policy) -> Remotes {
    let network = Network::new(options).expect("a network");
    Remotes::new(network, own_name().to_owned(), Arc::new(SigningKey::generate()), policy)
}

/// Keeps keys in memory.
#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<HashMap<OwnedServerName, Published>>);

#[async_trait]
impl KeyStore for MemoryStore {
    async fn load(&self, server: &ServerName) -> Result<Option<Published>, KeyStoreError> {
        Ok(self.0.lock().get(server).cloned())
    }

    async fn save(&self, server: &ServerName, keys: &Published) -> Result<(), KeyStoreError> {
        self.0.lock().insert(server.to_owned(), keys.clone());
        Ok(())
    }
}
