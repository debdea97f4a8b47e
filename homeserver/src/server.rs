//! How do teams and listeners become one running server, and how does it stop?

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use kith_federation::client::Client;
use kith_store::{Batch, Database, engine, tables};
use kith_voip::Relay;
use ruma::OwnedServerName;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{catch_panic::CatchPanicLayer, cors};

use crate::{
    acme::Acme,
    api::{self, ApiError, incoming::ClientAddress, metrics::Metrics},
    app::{App, Shared},
    calls,
    certificates::Certificates,
    config::{Config, Serves},
    listen::{self, Bound, ListenError},
    outgoing::OutgoingError,
    team::TeamError,
};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
    #[error(transparent)]
    Team(#[from] TeamError),
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("calls: {0}")]
    Calls(#[from] kith_voip::StartError),
}

/// The teams of one process. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    database: Arc<Database>,
    client: Client,
    relay: Option<Relay>,
    /// By the lower-case host name of their requests: the server name, and its host alone.
    teams: HashMap<String, Arc<App>>,
    /// Serves requests for any other host name, as for an IP address.
    default: Arc<App>,
    /// Only if somebody may read them.
    metrics: Option<Arc<Metrics>>,
}

/// A server that answers. Stop it, or its listeners go on until the runtime ends.
pub struct RunningServer {
    pub server: Server,
    /// In the order of the configuration's listeners, with the ports that were really given.
    pub addresses: Vec<SocketAddr>,
    /// Where `/metrics` is, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    certificates: Vec<Certificates>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Opens the database and every team, then listens.
    pub async fn start(config: Config) -> Result<RunningServer, StartError> {
        let config = Arc::new(config);
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let bound = listen::bind(&config.listeners).await?;
        let metrics = match config.metrics.listen {
            Some(address) => Some(listen::bind_metrics(address).await?),
            None => None,
        };
        let server = Self::open(Arc::clone(&config), &tasks, &stopping).await?;
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let metrics_address = metrics.as_ref().map(|bound| bound.address);
        let certificates: Vec<Certificates> =
            bound.iter().filter_map(|bound| bound.certificates.clone()).collect();
        for certificates in certificates.iter().filter(|shown| shown.acme_names().is_some()) {
            let acme = Acme {
                config: config.acme.clone(),
                client: server.0.client.clone(),
                store: server.0.database.team(0).await?,
            };
            tasks.spawn(acme.keep(certificates.clone(), stopping.clone()));
        }
        for bound in bound {
            let router = server.router(&bound.serves);
            tasks.spawn(serve(bound, router, stopping.clone(), config.limits.stop_wait));
        }
        if let (Some(bound), Some(metrics)) = (metrics, &server.0.metrics) {
            let router = Arc::clone(metrics).router();
            tasks.spawn(serve(bound, router, stopping.clone(), config.limits.stop_wait));
        }
        tasks.close();
        Ok(RunningServer { server, addresses, metrics_address, certificates, stopping, tasks })
    }

    async fn open(
        config: Arc<Config>,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Result<Self, StartError> {
        let folder = config.database_dir();
        let engine = engine::open(config.storage.engine, &folder, config.storage.cache)?;
        let database = Database::open(engine)?;
        // One for all: clones share their connections.
        let relay = calls::relay(&config)?;
        let shared = Shared::new(&config, relay.clone())?;
        let mut teams = HashMap::new();
        let mut default = None;
        for team in config.teams() {
            let name = &team.server_name;
            let app = Arc::new(open_team(&database, &config, name, &shared, stopping).await?);
            app.spawn_tasks(tasks, stopping);
            default.get_or_insert_with(|| Arc::clone(&app));
            if let Some(host) = team.public_base_url.as_ref().and_then(|url| url.host_str()) {
                // Another team's server name wins over it.
                teams.entry(host.to_lowercase()).or_insert_with(|| Arc::clone(&app));
            }
            teams.insert(name.host().to_lowercase(), Arc::clone(&app));
            teams.insert(name.as_str().to_lowercase(), app);
        }
        let default = default.expect("a configuration names at least one team");
        let metrics = config.metrics.listen.map(|_| {
            let names = config.teams().into_iter().map(|team| team.server_name);
            let apps = names
                .filter_map(|name| teams.get(&name.as_str().to_lowercase()))
                .cloned()
                .collect();
            Arc::new(Metrics::new(apps, Arc::clone(&database), relay.as_ref()))
        });
        let client = shared.client().clone();
        Ok(Self(Arc::new(Inner { config, database, client, relay, teams, default, metrics })))
    }

    /// The team that a request for this host is for.
    fn team(&self, host: &str) -> &Arc<App> {
        let host = host.to_lowercase();
        let without_port = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
        let teams = &self.0.teams;
        teams.get(&host).or_else(|| teams.get(without_port)).unwrap_or(&self.0.default)
    }

    /// The team with this server name, if it is one of ours.
    pub fn app(&self, server_name: &str) -> Option<&Arc<App>> {
        self.0.teams.get(&server_name.to_lowercase())
    }

    pub fn database(&self) -> &Arc<Database> {
        &self.0.database
    }

    fn router(&self, serves: &[Serves]) -> Router {
        let relay = self.0.relay.as_ref().filter(|_| serves.contains(&Serves::Client));
        let signalling = relay.map_or_else(Router::new, Relay::router);
        api::router(serves, self.0.config.web_client.folder().as_deref())
            .nest(calls::SIGNALLING_PATH, signalling)
            .layer(CatchPanicLayer::custom(|_| {
                ApiError::internal("a handler panicked").into_response()
            }))
            .layer(cors())
            .layer(from_fn(api::client::media::announce))
            .layer(from_fn_with_state(
                self.0.config.media.node_secret.clone(),
                api::client::media::delegate,
            ))
            .layer(from_fn_with_state(self.clone(), choose_team))
            .layer(from_fn_with_state(self.0.metrics.clone(), api::metrics::measure))
    }
}

impl RunningServer {
    /// Takes up certificate files that have been replaced; happens by itself within a minute.
    pub fn reload_certificates(&self) {
        for certificates in &self.certificates {
            certificates.reload();
        }
    }

    /// Takes no new request, answers those it has, and closes the database.
    pub async fn stop(self) {
        // Each comes once for every name that it has; the second time there is nothing left to do.
        for team in self.server.0.teams.values() {
            team.calls.stop_recordings().await;
        }
        if let Some(relay) = &self.server.0.relay {
            relay.shutdown().await;
        }
        self.stopping.cancel();
        self.tasks.wait().await;
        self.server.0.database.close().await;
    }
}

async fn open_team(
    database: &Arc<Database>,
    config: &Arc<Config>,
    name: &OwnedServerName,
    shared: &Shared,
    stopping: &CancellationToken,
) -> Result<App, StartError> {
    let system = database.team(0).await?;
    let number = match system.get(&tables::TEAMS, &name.to_string()).await? {
        Some(number) => number,
        None => {
            let teams = system.scan(&tables::TEAMS, kith_store::Scan::all()).await?;
            let number = teams.iter().map(|(_, number)| number + 1).max().unwrap_or(1);
            let mut batch = Batch::new();
            batch.expect(&tables::TEAMS, &name.to_string(), None);
            batch.put(&tables::TEAMS, &name.to_string(), &number);
            system.commit(batch).await?;
            number
        }
    };
    let store = database.team(number).await?;
    let (config, shared, stopping) = (Arc::clone(config), shared.clone(), stopping.clone());
    Ok(App::open(name.clone(), config, store, shared, stopping).await?)
}

async fn serve(bound: Bound, router: Router, stopping: CancellationToken, stop_wait: Duration) {
    let address = bound.address;
    if let Err(error) = listen::serve(bound, router, stopping, stop_wait).await {
        tracing::error!(%address, %error, "a listener failed");
    }
}

/// Puts the team and the client's address into the request.
async fn choose_team(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let app = Arc::clone(server.team(host.unwrap_or_default()));
    let address = client_address(&server.0.config, peer.ip(), request.headers());
    request.extensions_mut().insert(app);
    request.extensions_mut().insert(ClientAddress(address));
    next.run(request).await
}

/// What a trusted proxy says, else the peer itself: the last address in `X-Forwarded-For` that is
/// not a trusted proxy's.
fn client_address(config: &Config, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !trusted(config, peer) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let addresses: Vec<IpAddr> =
        forwarded.flat_map(|list| list.split(',')).filter_map(|a| a.trim().parse().ok()).collect();
    let client = addresses.iter().rev().find(|address| !trusted(config, **address));
    client.or(addresses.first()).copied().unwrap_or(peer)
}

fn trusted(config: &Config, address: IpAddr) -> bool {
    config.trusted_proxies.iter().any(|range| range.contains(&address))
}

/// Any web page may call the API; tokens are never in cookies.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#web-browser-clients)
fn cors() -> cors::CorsLayer {
    use http::Method;
    cors::CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers([
            header::ORIGIN,
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            header::RANGE,
            header::IF_RANGE,
            http::HeaderName::from_static("x-requested-with"),
            http::HeaderName::from_static("repr-digest"),
            http::HeaderName::from_static("tus-resumable"),
            http::HeaderName::from_static("upload-checksum"),
            http::HeaderName::from_static("upload-complete"),
            http::HeaderName::from_static("upload-defer-length"),
            http::HeaderName::from_static("upload-length"),
            http::HeaderName::from_static("upload-metadata"),
            http::HeaderName::from_static("upload-offset"),
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            http::HeaderName::from_static("matrix-content-uri"),
            http::HeaderName::from_static("tus-resumable"),
            http::HeaderName::from_static("upload-complete"),
            http::HeaderName::from_static("upload-expires"),
            http::HeaderName::from_static("upload-length"),
            http::HeaderName::from_static("upload-limit"),
            http::HeaderName::from_static("upload-offset"),
        ])
        .max_age(std::time::Duration::from_secs(86_400))
}
