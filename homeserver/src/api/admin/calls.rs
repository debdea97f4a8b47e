//! The calls that go on, and their recordings.

use axum::{
    Json, Router,
    routing::{get, post},
};
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::admin;
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Path, State},
    },
    calls::Calls,
};

pub(super) fn add(router: Router) -> Router {
    router
        .route("/_kith/admin/v1/calls", get(list))
        .route("/_kith/admin/v1/calls/{0}/recording", post(record).delete(stop))
}

/// `GET /_kith/admin/v1/calls`
async fn list(
    State(calls): State<Calls>,
    Authenticated(requester): Authenticated,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let calls = calls.running().await.into_iter().map(
        |call| json!({ "room_id": call.room_id, "users": call.users, "recorded": call.recorded }),
    );
    Ok(Json(json!({ "calls": calls.collect::<Vec<_>>() })))
}

/// `POST /_kith/admin/v1/calls/{roomId}/recording`: begins; everybody in the call is told.
async fn record(
    State(calls): State<Calls>,
    Authenticated(requester): Authenticated,
    Path(room_id): Path<OwnedRoomId>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    Ok(Json(json!({ "file": calls.record(&room_id).await? })))
}

/// `DELETE /_kith/admin/v1/calls/{roomId}/recording`: ends, with the files that can be played now.
async fn stop(
    State(calls): State<Calls>,
    Authenticated(requester): Authenticated,
    Path(room_id): Path<OwnedRoomId>,
) -> Result<Json<Value>, ApiError> {
    admin(&requester)?;
    let written = calls.stop_recording(&room_id).await?;
    Ok(Json(json!({ "files": written.parts, "packets": written.packets })))
}
