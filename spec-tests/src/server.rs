//! A real server for one test.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use kith_homeserver::{
    app::App,
    config::{
        CertificateFiles, Config, EngineKind, FederationPolicy, Listener, OpenRegistration,
        PasswordHash, Serves, Tls,
    },
    listen::ListenError,
    server::{RunningServer, Server, StartError},
};
use parking_lot::RwLock;
use ruma::server_name;
use tempfile::TempDir;

use crate::{
    Gate, RecordingProxy, TestUser,
    certificates::{ServerCertificate, certificate_authority, free_port},
    record,
    user::Connection,
};

/// A server on a free port of this machine: anybody may register, nothing is rate-limited, password
/// hashes are cheap. It is gone, with its data, when it is dropped.
pub struct TestServer {
    running: Option<RunningServer>,
    /// On the heap, or every test's future would be as large as a server's settings.
    config: Box<Config>,
    reached: ReachedServer,
    _folder: TempDir,
}

/// A server that somebody else runs, at an address of this machine: another process, for example.
pub struct ReachedServer {
    /// Follows a restart, which takes another free port.
    address: Arc<RwLock<SocketAddr>>,
    client: reqwest::Client,
    test: Option<Arc<str>>,
}

impl TestServer {
    /// With its data in memory. `server.name()` is its server name. It speaks with no other server: see
    /// [`TestServer::federating`] for one that does.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With its data on disk, for tests that restart it.
    pub async fn durable() -> Self {
        Self::with(|config| config.storage.engine = EngineKind::Sled).await
    }

    /// With a configuration of one's own: `TestServer::with(|config| config.registration.guests = true)`.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        install_crypto_provider();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut config = Self::config(&folder);
        change(&mut config);
        let running = Box::pin(Server::start((*config).clone())).await.expect("the server starts");
        Self::running(running, config, folder)
    }

    fn config(folder: &TempDir) -> Box<Config> {
        let mut config = Box::new(Config {
            server_name: server_name!("kith.test").to_owned(),
            data_dir: folder.path().join("data"),
            password_hash: PasswordHash { memory: 8, iterations: 1, parallelism: 1 },
            listeners: vec![Listener {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                tls: None,
                serves: vec![Serves::Client, Serves::Federation],
                optional: false,
            }],
            ..Config::default()
        });
        // Nobody is to look for the server names that tests make up.
        config.federation.policy = FederationPolicy::Closed;
        config.storage.engine = EngineKind::Memory;
        config.decoder = decoder();
        config.registration.open = OpenRegistration::Anyone;
        config.rate_limits.enabled = false;
        config
    }

    fn running(running: RunningServer, config: Box<Config>, folder: TempDir) -> Self {
        let reached = ReachedServer::at(running.addresses[0]);
        Self { running: Some(running), config, reached, _folder: folder }
    }

    /// A server that others reach and that reaches others of this machine: its server name is
    /// `127.0.0.1:PORT`, where it answers with TLS. It trusts [`crate::RemoteServer`]s and others of its
    /// kind. Users talk to it over plain HTTP as always.
    pub async fn federating() -> Self {
        Self::federating_with(|_| ()).await
    }

    /// With a configuration of one's own; `change` sees the server name. It may be called again, with
    /// another port, if the first was taken meanwhile.
    pub async fn federating_with(change: impl Fn(&mut Config)) -> Self {
        install_crypto_provider();
        loop {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let mut config = Self::config(&folder);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            federate(&mut config, address, folder.path());
            change(&mut config);
            match Box::pin(Server::start((*config).clone())).await {
                Err(StartError::Listen(ListenError::Bind { .. })) => {}
                started => return Self::running(started.expect("it starts"), config, folder),
            }
        }
    }

    /// A federating server whose name leads to a [`Gate`], which [`Self::gate`] opens.
    pub async fn federating_behind_gate() -> Self {
        Self::federating_with(|config| {
            for listener in config.listeners.iter_mut().filter(|listener| listener.tls.is_some()) {
                listener.address.set_port(0);
            }
        })
        .await
    }

    /// The way to a server that [`Self::federating_behind_gate`] started.
    pub async fn gate(&self) -> Gate {
        let running = self.running.as_ref().expect("the server runs");
        let listeners = self.config.listeners.iter().zip(&running.addresses);
        let mut encrypted = listeners.filter(|(listener, _)| listener.tls.is_some());
        let (_, address) = encrypted.next().expect("it has a listener with TLS");
        Gate::open(self.name().parse().expect("its name is an address"), *address).await
    }

    /// Stops the server and starts it again on the same data. Users remain usable.
    pub async fn restart(&mut self) {
        assert!(self.config.storage.engine != EngineKind::Memory, "use TestServer::durable()");
        self.stop().await;
        let running = Box::pin(Server::start((*self.config).clone())).await;
        let running = running.expect("the server starts again");
        self.reached.moved_to(running.addresses[0]);
        self.running = Some(running);
    }

    /// Stops the server as SIGTERM does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Where its data are, if they are on disk.
    pub fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// The first team itself, for what no endpoint does.
    pub fn app(&self) -> &App {
        let running = self.running.as_ref().expect("the server runs");
        running.server.app(self.name()).expect("the first team is served")
    }

    /// The first team's server name.
    pub fn name(&self) -> &str {
        self.config.server_name.as_str()
    }

    /// `http://127.0.0.1:12345`, without a slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        *self.reached.address.read()
    }

    /// A new account with this localpart, signed in.
    pub async fn register(&self, localpart: &str) -> TestUser {
        self.reached.register(localpart).await
    }

    /// Nobody: requests without an access token.
    pub fn anonymous(&self) -> TestUser {
        self.reached.anonymous()
    }

    /// Nobody, asking for one of several teams by its host name.
    pub fn anonymous_at(&self, host: &str) -> TestUser {
        TestUser::anonymous(Connection { host: Some(host.into()), ..self.reached.connection() })
    }

    /// A new account on one of several teams.
    pub async fn register_at(&self, host: &str, localpart: &str) -> TestUser {
        let connection = Connection { host: Some(host.into()), ..self.reached.connection() };
        TestUser::register(connection, localpart).await
    }

    /// A second address of the same server, whose requests are noted for the report too: for
    /// clients that are not [`TestUser`]s.
    pub async fn recording_proxy(&self) -> RecordingProxy {
        RecordingProxy::start(self.reached.connection()).await
    }
}

impl ReachedServer {
    pub fn at(address: SocketAddr) -> Self {
        install_crypto_provider();
        Self {
            address: Arc::new(RwLock::new(address)),
            client: client(),
            test: Some(record::current_test().into()),
        }
    }

    /// One that is not Kith: what it answers is no news about us.
    pub fn unrecorded(address: SocketAddr) -> Self {
        Self { test: None, ..Self::at(address) }
    }

    /// Users go on talking to the server there.
    pub fn moved_to(&self, address: SocketAddr) {
        *self.address.write() = address;
    }

    pub async fn register(&self, localpart: &str) -> TestUser {
        TestUser::register(self.connection(), localpart).await
    }

    pub fn anonymous(&self) -> TestUser {
        TestUser::anonymous(self.connection())
    }

    fn connection(&self) -> Connection {
        Connection {
            client: self.client.clone(),
            address: Arc::clone(&self.address),
            host: None,
            test: self.test.clone(),
        }
    }
}

/// The program that decodes pictures for servers within tests. Tests of other packages have none.
fn decoder() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.ancestors().nth(2)?.join("decode-image")).filter(|program| program.exists())
}

/// What a configuration needs for federation on this machine.
fn federate(config: &mut Config, address: SocketAddr, folder: &Path) {
    let certificate = ServerCertificate::for_address(address.ip());
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written to");
        path
    };
    config.server_name = address.to_string().try_into().expect("an address with a port");
    config.federation.policy = FederationPolicy::Open;
    config.listeners.push(Listener {
        address,
        tls: Some(Tls::Files(CertificateFiles {
            certificate: write("certificate.pem", &certificate.certificate),
            key: write("key.pem", &certificate.key),
        })),
        serves: vec![Serves::Client, Serves::Federation],
        optional: false,
    });
    config.outgoing.certificate_authorities = vec![write("ca.pem", &certificate_authority())];
    config.outgoing.allowed_ranges = vec!["127.0.0.0/8".parse().expect("a network")];
}

/// HTTP clients want one even if all that they do is plain.
pub(crate) fn install_crypto_provider() {
    // Fails if another test of this process was first: there is one then.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[allow(clippy::disallowed_methods, reason = "tests speak to their own server on loopback")]
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without options can be built")
}
