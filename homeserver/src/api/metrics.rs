//! How is the server doing? `GET /metrics` for Prometheus, on a listener of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use kith_store::{Database, Key, Scan, Store, Table, Value, tables};
use kith_voip::Relay;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::sync::Mutex;

use super::ApiError;
use crate::app::App;

/// Accounts and rooms are counted at most this often: that reads their tables.
const COUNT_EVERY: Duration = Duration::from_secs(60);
const PAGE: usize = 1000;

/// Seconds. Most answers take below a millisecond; a waiting `/sync` takes half a minute.
const LATENCIES: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    /// The route with its parameters' names, so that there are not more than routes.
    endpoint: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndpointLabels {
    method: String,
    endpoint: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TeamLabels {
    team: String,
}

/// The numbers of one process.
pub struct Metrics {
    registry: Registry,
    teams: Vec<Arc<App>>,
    database: Arc<Database>,
    requests: Family<RequestLabels, Counter>,
    latencies: Family<EndpointLabels, Histogram>,
    positions: Family<TeamLabels, Gauge>,
    rooms: Family<TeamLabels, Gauge>,
    users: Family<TeamLabels, Gauge>,
    database_size: Gauge,
    memory: Gauge,
    counted: Mutex<Option<Instant>>,
}

impl Metrics {
    pub fn new(teams: Vec<Arc<App>>, database: Arc<Database>, relay: Option<&Relay>) -> Self {
        let mut registry = Registry::with_prefix("kith");
        if let Some(relay) = relay {
            relay.register_metrics(&mut registry);
        }
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let latencies =
            Family::new_with_constructor((|| Histogram::new(LATENCIES)) as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its answer's",
            Unit::Seconds,
            latencies.clone(),
        );
        let positions = Family::default();
        registry.register("stream_position", "Changes since the team's first", positions.clone());
        let rooms = Family::default();
        registry.register("rooms", "Rooms known to the team", rooms.clone());
        let users = Family::default();
        registry.register("users", "Accounts that are not deactivated", users.clone());
        let database_size = Gauge::default();
        let help = "What the database takes on disk";
        registry.register_with_unit("database_size", help, Unit::Bytes, database_size.clone());
        let memory = Gauge::default();
        let help = "Memory of this process that is in RAM";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, memory.clone());
        Self {
            registry,
            teams,
            database,
            requests,
            latencies,
            positions,
            rooms,
            users,
            database_size,
            memory,
            counted: Mutex::new(None),
        }
    }

    /// The whole of the metrics listener.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().route("/metrics", get(metrics)).with_state(self)
    }

    /// All metrics in the OpenMetrics text format.
    async fn text(&self) -> Result<String, kith_store::Error> {
        for team in &self.teams {
            let position = self.positions.get_or_create_owned(&labels(team));
            position.set(team.store.stream().position().try_into().unwrap_or(i64::MAX));
        }
        self.database_size
            .set(self.database.engine().size_on_disk().try_into().unwrap_or(i64::MAX));
        self.memory.set(resident_memory().unwrap_or(0));
        self.count().await?;
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        Ok(text)
    }

    async fn count(&self) -> Result<(), kith_store::Error> {
        let mut counted = self.counted.lock().await;
        if counted.is_some_and(|counted| counted.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        for team in &self.teams {
            let rooms = count(&team.store, &tables::ROOMS, |_| true).await?;
            let users = count(&team.store, &tables::USERS, |user| !user.0.deactivated).await?;
            self.rooms.get_or_create_owned(&labels(team)).set(rooms);
            self.users.get_or_create_owned(&labels(team)).set(users);
        }
        *counted = Some(Instant::now());
        Ok(())
    }
}

fn labels(team: &App) -> TeamLabels {
    TeamLabels { team: team.team.server_name().to_string() }
}

/// Rows are read in pages, so that a large table is never in memory whole.
async fn count<K: Key, V: Value>(
    store: &Store,
    table: &Table<K, V>,
    counts: impl Fn(&V) -> bool,
) -> Result<i64, kith_store::Error> {
    let mut count = 0;
    let mut scan = Scan::all();
    loop {
        let rows = store.scan(table, scan.limit(PAGE)).await?;
        count += rows.iter().filter(|(_, value)| counts(value)).count();
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE => scan = Scan::all().after(last),
            _ => return Ok(i64::try_from(count).unwrap_or(i64::MAX)),
        }
    }
}

/// The second field of `/proc/self/statm`, in pages.
fn resident_memory() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * i64::try_from(rustix::param::page_size()).ok()?)
}

async fn metrics(State(metrics): State<Arc<Metrics>>) -> Result<Response, ApiError> {
    let text = metrics.text().await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Counts, times and logs every request of the other listeners. Of its path it knows only the route:
/// what stands in the path or the query may be private.
pub async fn measure(
    State(metrics): State<Option<Arc<Metrics>>>,
    request: Request,
    next: Next,
) -> Response {
    if metrics.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let method = request.method().to_string();
    let endpoint = request.extensions().get::<MatchedPath>();
    let endpoint = endpoint.map_or("none", MatchedPath::as_str).to_owned();
    let start = Instant::now();
    let response = next.run(request).await;
    let (seconds, status) = (start.elapsed().as_secs_f64(), response.status().as_u16());
    tracing::debug!(method, endpoint, status, seconds, "answered");
    if let Some(metrics) = metrics {
        let labels = EndpointLabels { method: method.clone(), endpoint: endpoint.clone() };
        metrics.latencies.get_or_create(&labels).observe(seconds);
        metrics.requests.get_or_create(&RequestLabels { method, endpoint, status }).inc();
    }
    response
}
