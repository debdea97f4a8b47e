//! Calls: where they are relayed, and who gets in.
//!
//! MSC4143 names the transports; MSC4195 gives tokens, to whoever shows an OpenID token of any homeserver.

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
    calls::{Admission, Calls, OpenIdToken, Participant, SERVICE_PATH},
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
}

#[derive(Deserialize)]
struct Member {
    id: String,
    claimed_user_id: OwnedUserId,
    claimed_device_id: String,
}

/// `POST {service}/get_token`
async fn get_token(
    State(calls): State<Calls>,
    JsonBody(body): JsonBody<TokenRequest>,
) -> Result<Json<Value>, ApiError> {
    let TokenRequest { room_id, slot_id, openid_token, member } = body;
    let participant = Participant {
        user_id: Some(&member.claimed_user_id),
        device_id: &member.claimed_device_id,
        member_id: Some(&member.id),
    };
    let admission = calls.admit(&room_id, Some(&slot_id), &openid_token, &participant).await?;
    Ok(admitted(admission))
}

#[derive(Deserialize)]
struct LegacyTokenRequest {
    room: OwnedRoomId,
    openid_token: OpenIdToken,
    device_id: String,
}

/// `POST {service}/sfu/get`
async fn legacy_token(
    State(calls): State<Calls>,
    JsonBody(body): JsonBody<LegacyTokenRequest>,
) -> Result<Json<Value>, ApiError> {
    let LegacyTokenRequest { room, openid_token, device_id } = body;
    let participant = Participant { user_id: None, device_id: &device_id, member_id: None };
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
