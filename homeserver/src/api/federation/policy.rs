//! Policy servers.

use ruma::api::federation::policy::sign_event;

use crate::api::{ApiError, incoming::Incoming};

/// `POST /_matrix/policy/v1/sign`
///
/// This server judges no room's events.
pub async fn sign_event(
    _: Incoming<sign_event::v1::Request>,
) -> Result<sign_event::v1::Response, ApiError> {
    Err(ApiError::not_found("This server is no policy server of that room"))
}
