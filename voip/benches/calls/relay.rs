//! The relay in a process of its own, so that what it takes can be told from what its clients take.

use std::{
    collections::HashMap, net::SocketAddr, process::Stdio, sync::Arc, time::Duration,
    time::SystemTime,
};

use axum::{Router, routing::get};
use kith_voip::{Config, Grants, Relay, Rooms, token};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

const KEY: &str = "key";
const SECRET: &str = "a secret of thirty-two characters!";

/// What the process of its own does: serves until its standard input ends. The arguments are the address
/// that clients are to send media to, if it is not the relay's own, and `pipeline` to relay through GStreamer.
pub(crate) async fn serve(arguments: impl Iterator<Item = String>) {
    // `RUST_LOG=kith_voip=debug` tells what happens.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut config = Config::local(KEY, SECRET);
    for argument in arguments {
        match argument.as_str() {
            "pipeline" => config.through_pipeline = Rooms::All,
            address => config.advertised = vec![address.parse().expect("an address")],
        }
    }
    let relay = Relay::start(config).expect("loopback has free ports");
    let mut registry = Registry::default();
    relay.register_metrics(&mut registry);
    let registry = Arc::new(registry);
    let metrics = get(move || async move {
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        text
    });
    let router: Router = relay.router().route("/metrics", metrics);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{} {}", listener.local_addr().expect("it is bound"), relay.udp_address());
    let mut nothing = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.expect("it serves"),
        _ = stdin.read_to_end(&mut nothing) => relay.shutdown().await,
    }
}

/// The process, seen from outside.
pub(crate) struct Process {
    child: Child,
    http: SocketAddr,
    pub(crate) url: String,
    pub(crate) udp: SocketAddr,
}

impl Process {
    pub(crate) async fn start(advertised: Option<SocketAddr>, rooms: &Rooms) -> Self {
        let own = std::env::current_exe().expect("this program is a file");
        let mut child = Command::new(own)
            .arg("relay")
            .args(advertised.map(|address| address.to_string()))
            .args((*rooms != Rooms::None).then_some("pipeline"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program can be run");
        let stdout = child.stdout.take().expect("it is a pipe");
        let line = BufReader::new(stdout).lines().next_line().await;
        let line = line.expect("it can be read").expect("the relay has started");
        let (http, udp) = line.split_once(' ').expect("two addresses");
        let http: SocketAddr = http.parse().expect("an address");
        let udp = udp.parse().expect("an address");
        Self { child, http, url: format!("ws://{http}"), udp }
    }

    pub(crate) fn token(&self, identity: &str) -> String {
        token::sign(KEY, SECRET, &Grants::participant("call", identity), SystemTime::now())
    }

    fn proc(&self, path: &str) -> String {
        let id = self.child.id().expect("it runs");
        std::fs::read_to_string(format!("/proc/{id}/{path}")).expect("Linux tells")
    }

    /// Time that all of its threads have had a core.
    pub(crate) fn cpu(&self) -> Duration {
        let id = self.child.id().expect("it runs");
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("Linux tells");
        let nanos = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// A number of `/proc/…/status`: `VmRSS` in KiB, or `Threads`.
    pub(crate) fn status(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("a number")
    }

    /// All samples of `/metrics` without labels.
    pub(crate) async fn metrics(&self) -> HashMap<String, f64> {
        use tokio::{io::AsyncWriteExt as _, net::TcpStream};
        let mut stream = TcpStream::connect(self.http).await.expect("the relay serves");
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("the relay serves");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("text");
        let samples = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        samples.collect()
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.metrics().await.get(name).copied().unwrap_or_default()
    }
}
