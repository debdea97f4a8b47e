//! Accounts made by scripts that know `registration.shared_secret`. Shaped as Synapse's, whose tools
//! and test suites then work here.

use std::time::Instant;

use axum::Json;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        ApiError,
        client::account::check_password,
        incoming::{ClientAddress, JsonBody, State},
    },
    config::Secret,
    devices::{SessionRequest, Sessions},
    rate_limit::{Action, RateLimiter},
    team::Team,
    users::{Claim, NewAccount, Nonces, Users},
};

#[derive(Serialize)]
pub(super) struct NonceResponse {
    nonce: String,
}

#[derive(Deserialize)]
pub(super) struct RegisterRequest {
    nonce: String,
    username: String,
    password: String,
    #[serde(default)]
    admin: bool,
    /// Only part of the proof.
    #[serde(default)]
    user_type: Option<String>,
    /// HMAC-SHA1 with the shared secret, in hexadecimal, over nonce, user name, password, `admin` or
    /// `notadmin`, and the user type if there is one, with a NUL between each two.
    mac: String,
}

#[derive(Serialize)]
pub(super) struct RegisterResponse {
    user_id: String,
    home_server: String,
    access_token: String,
    device_id: String,
}

/// `GET /_synapse/admin/v1/register`: a nonce that is good for one registration within a minute.
pub(super) async fn nonce(
    State(team): State<Team>,
    State(nonces): State<Nonces>,
) -> Result<Json<NonceResponse>, ApiError> {
    secret(&team)?;
    Ok(Json(NonceResponse { nonce: nonces.issue(Instant::now()) }))
}

/// `POST /_synapse/admin/v1/register`: makes the account and signs it in.
pub(super) async fn register(
    ClientAddress(address): ClientAddress,
    State(team): State<Team>,
    State(limits): State<RateLimiter>,
    State(nonces): State<Nonces>,
    State(users): State<Users>,
    State(sessions): State<Sessions>,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<Json<RegisterResponse>, ApiError> {
    let secret = secret(&team)?;
    limits.check(Action::Registration, address)?;
    check_password(&request.password)?;
    if !nonces.redeem(&request.nonce, Instant::now()) {
        return Err(ApiError::invalid_param("The nonce is unknown or too old"));
    }
    let claim = Claim {
        nonce: &request.nonce,
        username: &request.username,
        password: &request.password,
        admin: request.admin,
        user_type: request.user_type.as_deref(),
    };
    if !claim.is_proven(secret.expose(), &request.mac) {
        return Err(ApiError::forbidden("The HMAC is wrong"));
    }
    let account = NewAccount {
        user_id: Some(users.free_user_id(&request.username).await?),
        password: Some(request.password),
        admin: request.admin,
        ..NewAccount::default()
    };
    let user_id = users.register(account).await?;
    let device = SessionRequest { device_id: None, display_name: None, refreshable: false };
    let session = sessions.create(&user_id, device).await?;
    Ok(Json(RegisterResponse {
        user_id: user_id.to_string(),
        home_server: team.server_name().to_string(),
        access_token: session.access_token,
        device_id: session.device_id.to_string(),
    }))
}

/// Without a secret the endpoint does not exist.
fn secret(team: &Team) -> Result<&Secret, ApiError> {
    team.config().registration.shared_secret.as_ref().ok_or_else(ApiError::unrecognized)
}
