//! Where is this server, and which key is its own?

use ruma::{
    OwnedServerName,
    api::federation::discovery::{discover_homeserver, get_server_keys},
    serde::Raw,
};
use serde_json::value::to_raw_value;

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    team::Team,
};

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
