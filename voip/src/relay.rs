//! The relay as the homeserver embeds it.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{
    Config, Event, Grants, RecordError, Recording, RoomSummary,
    config::Rooms,
    edge,
    metrics::Metrics,
    pipeline::{self, MissingElements},
    signal,
    token::{self, TokenError},
    worker::{self, Command},
};

/// Commands that wait for the worker; senders wait beyond it.
const COMMANDS: usize = 1024;

/// Events that a slow listener may be behind before it loses some.
const EVENTS: usize = 4096;

/// Packets that a recording may be behind before it loses some: a few seconds of a large call.
const TAPPED: usize = 16_384;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the UDP port for calls cannot be bound: {0}")]
    Bind(io::Error),
    #[error("the address {0} is no address that clients could send to: tell what to advertise")]
    NothingToAdvertise(SocketAddr),
    #[error("the thread for calls cannot be started: {0}")]
    Thread(io::Error),
    #[error("the API secret is empty")]
    NoSecret,
    #[error("calls cannot be relayed through GStreamer: {0}")]
    Pipeline(#[from] MissingElements),
}

/// A running relay; clones are the same relay. It ends with [`Relay::shutdown`], or when the last
/// clone and every router are gone.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<Config>,
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
}

impl Relay {
    /// Binds the UDP port and starts the one thread that does all media.
    pub fn start(config: Config) -> Result<Self, StartError> {
        if config.api_secret.is_empty() {
            return Err(StartError::NoSecret);
        }
        if config.through_pipeline != Rooms::None {
            pipeline::check()?;
        }
        let socket = edge::bind(config.udp).map_err(StartError::Bind)?;
        let address = socket.local_addr().map_err(StartError::Bind)?;
        let advertised = advertised(&config, address)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let metrics = Arc::new(Metrics::new());
        let config = Arc::new(config);
        worker::start(worker::Start {
            config: Arc::clone(&config),
            socket,
            advertised,
            commands: received,
            events: events.clone(),
            metrics: Arc::clone(&metrics),
        })
        .map_err(StartError::Thread)?;
        Ok(Self { shared: Arc::new(Shared { config, address, commands, events, metrics }) })
    }

    /// Everything that clients call, to be mounted where `livekit_service_url` points:
    /// `GET /rtc` (WebSocket) and `GET /rtc/validate`, with CORS for everybody.
    pub fn router(&self) -> Router {
        signal::router(self.clone())
    }

    /// A token that lets its bearer join, for `access_token` or as a bearer token.
    pub fn token(&self, grants: &Grants) -> String {
        let config = &self.shared.config;
        token::sign(&config.api_key, &config.api_secret, grants, SystemTime::now())
    }

    /// What happens from now on. A listener that is too slow gets `Lagged` and should ask for
    /// [`Relay::rooms`].
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// The rooms and participants as they are now; empty after the shutdown.
    pub async fn rooms(&self) -> Vec<RoomSummary> {
        self.ask(|reply| Command::Rooms { reply }).await.unwrap_or_default()
    }

    /// Ends a participant's session; true if there was one.
    pub async fn remove_participant(&self, room: &str, identity: &str) -> bool {
        let (room, identity) = (room.to_owned(), identity.to_owned());
        self.ask(|reply| Command::Remove { room, identity, reply }).await.unwrap_or(false)
    }

    /// Writes what happens in a room to `path` until it is stopped or the call ends. Tracks that are
    /// encrypted end to end cannot be recorded and are left out. Everybody in the call is told that it is
    /// recorded.
    pub async fn record(&self, room: &str, path: PathBuf) -> Result<Recording, RecordError> {
        pipeline::check()?;
        let (sink, packets) = std::sync::mpsc::sync_channel(TAPPED);
        let (stop, stopped) = oneshot::channel();
        let room = room.to_owned();
        let tap = |reply| Command::Tap { room, sink, stop: stopped, reply };
        if !self.ask(tap).await.unwrap_or(false) {
            return Err(RecordError::NoSuchRoom);
        }
        let done = pipeline::record(path, packets)?;
        Ok(Recording { stop, done })
    }

    /// Tells all clients that the server goes away, and frees the port. Safe to call twice.
    pub async fn shutdown(&self) {
        self.ask(|reply| Command::Shutdown { reply }).await;
    }

    /// The bound UDP address.
    pub fn udp_address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Adds the metrics `calls_…`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Grants, TokenError> {
        let config = &self.shared.config;
        token::verify(&config.api_key, &config.api_secret, token, SystemTime::now())
    }

    /// False after the shutdown.
    pub(crate) async fn command(&self, command: Command) -> bool {
        self.shared.commands.send(command).await.is_ok()
    }

    /// `None` after the shutdown.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.shared.commands.send(question(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// What clients are told to send media to.
fn advertised(config: &Config, bound: SocketAddr) -> Result<Vec<SocketAddr>, StartError> {
    if config.advertised.is_empty() {
        if bound.ip().is_unspecified() {
            return Err(StartError::NothingToAdvertise(bound));
        }
        return Ok(vec![bound]);
    }
    let with_port = |address: &SocketAddr| match address.port() {
        0 => SocketAddr::new(address.ip(), bound.port()),
        _ => *address,
    };
    Ok(config.advertised.iter().map(with_port).collect())
}
