//! What only administrators and their scripts call; not in the specification.

mod media;
mod media_tasks;
mod register;
mod reports;

use axum::{Router, routing::get};

pub(super) fn router(router: Router) -> Router {
    media::add(router)
        .route("/_synapse/admin/v1/register", get(register::nonce).post(register::register))
        .route("/_kith/admin/v1/reports", get(reports::list))
}
