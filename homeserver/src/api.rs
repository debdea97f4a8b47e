//! Which request goes to which handler? The router is the table of contents.

pub mod authenticate;
pub mod client;
pub mod error;
pub mod incoming;

use axum::Router;

pub use error::ApiError;

/// Every route of the server. The team that a request is for is found before; see
/// [`crate::server`].
pub fn router() -> Router {
    client::router(Router::new()).fallback(unrecognized).method_not_allowed_fallback(wrong_method)
}

async fn unrecognized() -> ApiError {
    ApiError::unrecognized()
}

async fn wrong_method() -> ApiError {
    ApiError::wrong_method()
}
