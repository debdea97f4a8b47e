//! Which request goes to which handler? The router is the table of contents.

mod adapt;
mod admin;
pub mod authenticate;
pub mod client;
pub mod error;
pub mod federation;
pub mod health;
pub mod incoming;
pub mod metrics;
mod permission;
mod uiaa;
mod unread;
mod web_client;

use std::path::Path;

use axum::{Router, routing::get};

pub use error::ApiError;

use crate::config::Serves;

/// Every route of a listener that serves these parts of the API. The team that a request is for is
/// found before; see [`crate::server`]. Where clients are served, so is the `web_client`, if its folder is
/// known.
pub fn router(serves: &[Serves], web_client: Option<&Path>) -> Router {
    let mut router = Router::new().route("/health", get(health::health));
    if serves.contains(&Serves::Client) {
        router = admin::router(client::router(router));
    }
    if serves.contains(&Serves::Federation) {
        router = federation::router(router);
    }
    let web_client = web_client.filter(|_| serves.contains(&Serves::Client));
    web_client::fallback(router, web_client).method_not_allowed_fallback(wrong_method)
}

async fn wrong_method() -> ApiError {
    ApiError::wrong_method()
}
