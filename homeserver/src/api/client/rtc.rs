//! Calls: where they are relayed, and who gets in.
//!
//! MSC4143 names the transports; MSC4195 gives tokens, to whoever shows an OpenID token of any homeserver.

use std::time::Duration;

use axum::{
    Json, Router,
    routing::{get, post},
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, JsonBody, State},
    },
    calls::{Admission, Calls, Leave, OpenIdToken, Participant, SERVICE_PATH},
};

pub(super) fn add_service(router: Router) -> Router {
    let transports = get(transports);
    router
        .route("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", transports.clone())
        .route("/_matrix/client/v1/rtc/transports", transports)
        .route("/_matrix/client/v3/voip/turnServer", get(turn_server))
        .merge(service())
}

fn service() -> Router {
    Router::new()
        .route(&format!("{SERVICE_PATH}/get_token"), post(get_token))
        .route(&format!("{SERVICE_PATH}/sfu/get"), post(legacy_token))
        .route(&format!("{SERVICE_PATH}/delegate_delayed_leave"), post(delegate_leave))
        .route(&format!("{SERVICE_PATH}/healthz"), get(async || ""))
}

/// The transport as clients want it named.
pub(super) fn transport(calls: &Calls) -> Option<Value> {
    let url = calls.service_url()?;
    Some(json!({ "type": "livekit", "livekit_service_url": url }))
}

/// `GET /_matrix/client/v1/rtc/transports`
async fn transports(State(calls): State<Calls>, _: Authenticated) -> Json<Value> {
    let transports: Vec<Value> = transport(&calls).into_iter().collect();
    Json(json!({ "rtc_transports": transports }))
}

#[derive(Deserialize)]
struct TokenRequest {
    room_id: OwnedRoomId,
    slot_id: String,
    openid_token: OpenIdToken,
    member: Member,
    #[serde(flatten)]
    leave: DelayedLeave,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    claimed_user_id: OwnedUserId,
    claimed_device_id: String,
}

/// The event that says that the participant left, which this server is to put off and to send (MSC4140).
#[derive(Deserialize)]
struct DelayedLeave {
    delay_id: Option<String>,
    /// In milliseconds.
    delay_timeout: Option<u64>,
}

impl DelayedLeave {
    fn get(&self) -> Result<Option<Leave<'_>>, ApiError> {
        match (&self.delay_id, self.delay_timeout) {
            (None, None) => Ok(None),
            (Some(delay_id), Some(timeout)) => {
                Ok(Some(Leave { delay_id, delay: Duration::from_millis(timeout) }))
            }
            _ => Err(ApiError::bad_json("`delay_id` and `delay_timeout` come together")),
        }
    }
}

/// `POST {service}/get_token`
async fn get_token(
    State(calls): State<Calls>,
    JsonBody(body): JsonBody<TokenRequest>,
) -> Result<Json<Value>, ApiError> {
    Ok(admitted(body.admit(&calls).await?))
}

/// `POST {service}/delegate_delayed_leave`: for whoever is in the call already.
async fn delegate_leave(
    State(calls): State<Calls>,
    JsonBody(body): JsonBody<TokenRequest>,
) -> Result<Json<Value>, ApiError> {
    if body.leave.get()?.is_none() {
        return Err(ApiError::bad_json("`delay_id` and `delay_timeout` are missing"));
    }
    body.admit(&calls).await?;
    Ok(Json(json!({})))
}

impl TokenRequest {
    async fn admit(&self, calls: &Calls) -> Result<Admission, ApiError> {
        let participant = Participant {
            user_id: Some(&self.member.claimed_user_id),
            device_id: &self.member.claimed_device_id,
            member_id: Some(&self.member.id),
            leave: self.leave.get()?,
        };
        let slot_id = Some(&*self.slot_id);
        Ok(calls.admit(&self.room_id, slot_id, &self.openid_token, &participant).await?)
    }
}

#[derive(Deserialize)]
struct LegacyTokenRequest {
    room: OwnedRoomId,
    openid_token: OpenIdToken,
    device_id: String,
    #[serde(flatten)]
    leave: DelayedLeave,
}

/// `POST {service}/sfu/get`
async fn legacy_token(
    State(calls): State<Calls>,
    JsonBody(body): JsonBody<LegacyTokenRequest>,
) -> Result<Json<Value>, ApiError> {
    let LegacyTokenRequest { room, openid_token, device_id, leave } = body;
    let leave = leave.get()?;
    let participant = Participant { user_id: None, device_id: &device_id, member_id: None, leave };
    Ok(admitted(calls.admit(&room, None, &openid_token, &participant).await?))
}

fn admitted(Admission { url, jwt }: Admission) -> Json<Value> {
    Json(json!({ "url": url, "jwt": jwt }))
}

/// `GET /_matrix/client/v3/voip/turnServer`
async fn turn_server(
    State(calls): State<Calls>,
    Authenticated(requester): Authenticated,
) -> Json<Value> {
    Json(match calls.turn_server(&requester.user_id) {
        Some(turn) => json!({
            "username": turn.username,
            "password": turn.password,
            "uris": turn.uris,
            "ttl": turn.lifetime.as_secs(),
        }),
        None => json!({}),
    })
}
