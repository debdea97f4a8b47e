//! The relay's routes: a table of contents.

use axum::{
    Router,
    extract::{Query, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::cors::CorsLayer;

use super::{JoinQuery, socket};
use crate::{
    Grants,
    relay::Relay,
    token::TokenError,
    worker::{Command, Refusal},
};

pub(crate) fn router(relay: Relay) -> Router {
    Router::new()
        .route("/rtc", get(rtc))
        .route("/rtc/validate", get(validate))
        // The single peer connection is not built: on 404 all clients fall back on `/rtc`.
        .route("/rtc/v1", get(not_found))
        .route("/rtc/v1/validate", get(not_found))
        .layer(CorsLayer::permissive())
        .with_state(relay)
}

/// Why somebody may not join.
enum JoinError {
    Token(TokenError),
    Refused(Refusal),
    ShutDown,
}

impl IntoResponse for JoinError {
    fn into_response(self) -> Response {
        match self {
            Self::Token(error) => (StatusCode::UNAUTHORIZED, error.to_string()),
            Self::Refused(refusal) => (refusal.status(), refusal.to_string()),
            Self::ShutDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting down".to_owned()),
        }
        .into_response()
    }
}

/// `GET /rtc`: the signalling WebSocket.
async fn rtc(
    State(relay): State<Relay>,
    Query(query): Query<JoinQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, JoinError> {
    let grants = admit(&relay, &query, &headers).await?;
    let largest = relay.config().limits.signal_message;
    let upgrade = upgrade.max_message_size(largest).max_frame_size(largest);
    Ok(upgrade.on_upgrade(move |socket| Box::pin(socket::serve(relay, grants, query, socket))))
}

/// `GET /rtc/validate`: why was the WebSocket refused? Browsers do not tell.
async fn validate(
    State(relay): State<Relay>,
    Query(query): Query<JoinQuery>,
    headers: HeaderMap,
) -> Result<&'static str, JoinError> {
    admit(&relay, &query, &headers).await?;
    Ok("success")
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The bearer's grants, if there is room for the bearer now.
async fn admit(relay: &Relay, query: &JoinQuery, headers: &HeaderMap) -> Result<Grants, JoinError> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.or(query.access_token.as_deref());
    let token = token.ok_or(JoinError::Token(TokenError::Malformed))?;
    let grants = relay.verify(token).map_err(JoinError::Token)?;
    let asked = grants.clone();
    let answer = relay.ask(|reply| Command::Admit { grants: asked, reply }).await;
    answer.ok_or(JoinError::ShutDown)?.map_err(JoinError::Refused)?;
    Ok(grants)
}
