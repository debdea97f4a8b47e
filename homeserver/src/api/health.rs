//! Is the server in a state to answer? For load balancers and service managers.

use axum::Json;
use kith_store::{Store, tables};
use serde_json::{Value, json};

use super::{ApiError, incoming::State};

/// `GET /health`: 200 with `{"status": "ok"}` if the database can be read.
pub async fn health(State(store): State<Store>) -> Result<Json<Value>, ApiError> {
    store.get(&tables::SECRETS, &"signing_key".to_owned()).await?;
    Ok(Json(json!({ "status": "ok" })))
}
