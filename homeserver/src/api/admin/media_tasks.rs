//! Work on all files of a team, one job at a time.

use axum::{Json, Router, routing::get};
use http::StatusCode;
use serde_json::{Value, json};

use super::admin;
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, JsonBody, State},
    },
    media::{Media, jobs::Job},
};

pub(super) fn add(router: Router) -> Router {
    router.route("/_kith/admin/v1/media/job", get(status).post(begin))
}

/// `POST /_kith/admin/v1/media/job`: `{ "job": "gc" }`, `"scrub"`, `"fsck"`, `"move"` with `"to"`,
/// `"rebuild"`, `"verify"`.
async fn begin(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    JsonBody(job): JsonBody<Job>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    admin(&requester)?;
    if !media.begin(job) {
        let message = "Another job is at work";
        return Err(ApiError::new(StatusCode::CONFLICT, "M_UNKNOWN", message));
    }
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

/// `GET /_kith/admin/v1/media/job`: the one that runs, or ran last.
async fn status(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    Ok(Json(media.job_status()))
}
