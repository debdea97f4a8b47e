//! Which status and errcode does each error become? Nowhere else are they chosen.

mod keys;
mod media;
mod remote;
mod requests;
mod rooms;
mod users;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use ruma::ServerName;
use serde_json::{Map, Value};

pub use self::keys::signature_failure;

/// An error response: `{"errcode": ..., "error": ...}` and what the errcode adds to it.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#standard-error-response)
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after_ms: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, errcode: &str, message: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("errcode".to_owned(), errcode.into());
        body.insert("error".to_owned(), message.into().into());
        Self { status, body, retry_after_ms: None }
    }

    /// Adds a field beside `errcode` and `error`.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.insert(field.to_owned(), value.into());
        self
    }

    /// A response of another shape than the standard error: what is still to do of a user-interactive
    /// authentication, with the errcode and the error of a stage that failed.
    pub fn uiaa(mut body: Map<String, Value>, failed: Option<Self>) -> Self {
        if let Some(failed) = failed {
            body.extend(failed.body);
        }
        Self { status: StatusCode::UNAUTHORIZED, body, retry_after_ms: None }
    }

    /// What stands in the place of an answer among others.
    pub fn into_body(self) -> Value {
        self.body.into()
    }

    pub fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Unrecognized request")
    }

    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "Wrong method for this path")
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message)
    }

    pub fn bad_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_BAD_JSON", message)
    }

    pub fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", message)
    }

    pub fn invalid_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", message)
    }

    pub fn missing_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", message)
    }

    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "Missing access token")
    }

    /// Another server's request is not signed as it must be.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", message)
    }

    /// The team's policy is not to speak with this server.
    pub fn not_federating(server: &ServerName) -> Self {
        Self::forbidden(format!("This server does not federate with {server}"))
    }

    pub fn user_locked() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_USER_LOCKED", "This account has been locked")
            .with("soft_logout", true)
    }

    pub fn user_suspended() -> Self {
        let message = "You cannot perform this action while suspended";
        Self::new(StatusCode::FORBIDDEN, "M_USER_SUSPENDED", message)
    }

    pub fn guest_access_forbidden() -> Self {
        let message = "Guests cannot do this";
        Self::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", message)
    }

    pub fn weak_password(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_WEAK_PASSWORD", message)
    }

    /// For requests with a type that this server does not know.
    pub fn unknown_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", message)
    }

    pub fn unknown_token(soft_logout: bool) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "Unknown access token")
            .with("soft_logout", soft_logout)
    }

    /// Third parties show it to ask who somebody is.
    pub fn unknown_openid_token() -> Self {
        let message = "Access token unknown or expired";
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message)
    }

    /// Account data that only this server may write.
    pub fn server_controlled() -> Self {
        let message = "This type is set by other endpoints";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", message)
    }

    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "The request is too large")
    }

    pub fn limit_exceeded(retry_after_ms: u64) -> Self {
        let mut error =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "Too many requests")
                .with("retry_after_ms", retry_after_ms);
        error.retry_after_ms = Some(retry_after_ms);
        error
    }

    /// What only other servers know.
    pub fn no_federation() -> Self {
        let reason = "This server does not speak with other servers yet";
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", reason)
    }

    /// Why another process did not give what was asked for.
    pub fn remote_failure(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", reason)
    }

    /// Logs the cause, which the client does not see.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed on our side");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "Internal server error")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Value::Object(self.body))).into_response();
        if let Some(ms) = self.retry_after_ms {
            // Whole seconds, rounded up: a client that waits this long finds the limit lifted.
            let seconds = HeaderValue::from(ms.div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<kith_store::Error> for ApiError {
    fn from(error: kith_store::Error) -> Self {
        Self::internal(error)
    }
}
