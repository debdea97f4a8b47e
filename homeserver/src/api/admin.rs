//! What only administrators and their scripts call; not in the specification.

mod calls;
mod media;
mod media_tasks;
mod register;
mod reports;

use axum::{Router, routing::get};

use super::ApiError;
use crate::users::Requester;

pub(super) fn router(router: Router) -> Router {
    calls::add(media::add(router))
        .route("/_synapse/admin/v1/register", get(register::nonce).post(register::register))
        .route("/_kith/admin/v1/reports", get(reports::list))
}

fn admin(requester: &Requester) -> Result<(), ApiError> {
    if requester.admin {
        Ok(())
    } else {
        Err(ApiError::forbidden("Only administrators may do this"))
    }
}
