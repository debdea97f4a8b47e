//! A relay on loopback with a port of its own.

use std::time::Duration;

use axum::Router;
use kith_voip::{Config, Grants, Relay};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{net::TcpListener, time::sleep};

pub(crate) struct Server {
    pub(crate) relay: Relay,
    pub(crate) url: String,
    metrics: Registry,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        // `RUST_LOG=kith_voip=debug` tells what happens.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let mut config = Config::local("key", "a secret of thirty-two characters!");
        change(&mut config);
        let relay = Relay::start(config).unwrap();
        Self::of(relay.clone(), relay.router()).await
    }

    pub(crate) async fn of(relay: Relay, router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut metrics = Registry::default();
        relay.register_metrics(&mut metrics);
        Self { relay, url, metrics }
    }

    /// One of the relay's counters or gauges.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}: {text}")).parse().unwrap()
    }

    /// Returns when somebody sends media.
    pub(crate) async fn media_comes(&self) {
        while self.metric("calls_received_bytes_total") < 50_000.0 {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A token for a participant of the room `call`.
    pub(crate) fn token(&self, identity: &str) -> String {
        self.relay.token(&Grants::participant("call", identity))
    }
}
