//! Where is this server, and which key is its own?

use axum::extract::FromRef;
use futures_util::{StreamExt, stream};
use kith_federation::key_ring::KeyRing;
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    api::federation::discovery::{
        ServerSigningKeys, discover_homeserver, get_remote_server_keys,
        get_remote_server_keys_batch, get_server_keys,
        get_server_version::{self, v1::Server},
    },
    serde::Raw,
    signatures::sign_json,
};
use serde_json::value::to_raw_value;

use crate::{
    api::{
        ApiError,
        incoming::{ClientAddress, Incoming, State},
    },
    app::App,
    rate_limit::{Action, RateLimiter},
    team::Team,
};

/// Of how many servers one request may ask for keys.
const SERVERS: usize = 100;
/// How many of them are asked at once.
const AT_ONCE: usize = 10;

/// `GET /.well-known/matrix/server`: federation comes by the same way as clients.
pub async fn discover_homeserver(
    State(team): State<Team>,
    _: Incoming<discover_homeserver::Request>,
) -> Result<discover_homeserver::Response, ApiError> {
    let url = team.public_base_url();
    let port = url.port_or_known_default().unwrap_or(8448);
    let name = format!("{}:{port}", url.host_str().unwrap_or_default());
    let name = OwnedServerName::try_from(name).map_err(ApiError::internal)?;
    Ok(discover_homeserver::Response::new(name))
}

/// `GET /_matrix/key/v2/server`
pub async fn get_server_keys(
    State(team): State<Team>,
    _: Incoming<get_server_keys::v2::Request>,
) -> Result<get_server_keys::v2::Response, ApiError> {
    let keys = team.published_keys().map_err(ApiError::internal)?;
    let keys = Raw::from_json(to_raw_value(&keys)?);
    Ok(get_server_keys::v2::Response::new(keys))
}

/// `GET /_matrix/federation/v1/version`
pub async fn get_server_version(
    _: Incoming<get_server_version::v1::Request>,
) -> Result<get_server_version::v1::Response, ApiError> {
    let mut server = Server::new();
    server.name = Some("Kith".to_owned());
    server.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let mut response = get_server_version::v1::Response::new();
    response.server = Some(server);
    Ok(response)
}

/// `GET /_matrix/key/v2/query/{serverName}`
pub async fn get_remote_server_keys(
    State(notary): State<Notary>,
    State(limits): State<RateLimiter>,
    ClientAddress(address): ClientAddress,
    Incoming { request, .. }: Incoming<get_remote_server_keys::v2::Request>,
) -> Result<get_remote_server_keys::v2::Response, ApiError> {
    limits.check(Action::Federation, address)?;
    let keys = notary.keys(&request.server_name, request.minimum_valid_until_ts).await;
    Ok(get_remote_server_keys::v2::Response::new(keys.into_iter().collect()))
}

/// `POST /_matrix/key/v2/query`
///
/// Servers whose keys cannot be had are missing in the answer.
pub async fn get_remote_server_keys_batch(
    State(notary): State<Notary>,
    State(limits): State<RateLimiter>,
    ClientAddress(address): ClientAddress,
    Incoming { request, .. }: Incoming<get_remote_server_keys_batch::v2::Request>,
) -> Result<get_remote_server_keys_batch::v2::Response, ApiError> {
    limits.check(Action::Federation, address)?;
    if request.server_keys.len() > SERVERS {
        let message = format!("At most {SERVERS} servers can be asked for at once");
        return Err(ApiError::invalid_param(message));
    }
    let now = MilliSecondsSinceUnixEpoch::now();
    let asked = stream::iter(request.server_keys).map(async |(server, wanted)| {
        let least = wanted.values().map(|wanted| wanted.minimum_valid_until_ts.unwrap_or(now));
        notary.keys(&server, least.max().unwrap_or(now)).await
    });
    let keys: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    Ok(get_remote_server_keys_batch::v2::Response::new(keys.into_iter().flatten().collect()))
}

/// Says by its own signature that other servers published these keys.
#[derive(Clone)]
pub struct Notary {
    team: Team,
    key_ring: KeyRing,
}

impl FromRef<App> for Notary {
    fn from_ref(app: &App) -> Self {
        Self { team: app.team.clone(), key_ring: app.key_ring.clone() }
    }
}

impl Notary {
    /// `None` if they cannot be had.
    async fn keys(
        &self,
        server: &ServerName,
        valid_until: MilliSecondsSinceUnixEpoch,
    ) -> Option<Raw<ServerSigningKeys>> {
        match self.key_ring.published(server, valid_until).await {
            Ok(keys) => self.signed(keys),
            Err(error) => {
                tracing::debug!(%server, %error, "a notary's question for keys is not answered");
                None
            }
        }
    }

    fn signed(&self, mut keys: CanonicalJsonObject) -> Option<Raw<ServerSigningKeys>> {
        sign_json(self.team.server_name().as_str(), self.team.signing_key(), &mut keys).ok()?;
        Some(Raw::from_json(to_raw_value(&keys).ok()?))
    }
}
