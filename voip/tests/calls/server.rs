//! A relay on loopback with a port of its own.

use axum::Router;
use kith_voip::{Config, Grants, Relay};
use tokio::net::TcpListener;

pub(crate) struct Server {
    pub(crate) relay: Relay,
    pub(crate) url: String,
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
        Self { relay, url }
    }

    /// A token for a participant of the room `call`.
    pub(crate) fn token(&self, identity: &str) -> String {
        self.relay.token(&Grants::participant("call", identity))
    }
}
