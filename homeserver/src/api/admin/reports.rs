//! What users reported, for administrators of the team.

use axum::{Json, extract::Query};
use kith_store::tables::ReportRow;
use serde::{Deserialize, Serialize};

use super::admin;
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, State},
    },
    reports::Reports,
};

/// How many reports one page holds: unless the client says otherwise, and at most.
const PAGE: usize = 100;

#[derive(Deserialize)]
pub(super) struct ReportsQuery {
    /// Only reports before this one.
    before: Option<u64>,
    limit: Option<usize>,
}

/// Newest first.
#[derive(Serialize)]
pub(super) struct ReportsResponse {
    reports: Vec<Report>,
    /// The `before` of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    id: u64,
    #[serde(flatten)]
    row: ReportRow,
}

/// `GET /_kith/admin/v1/reports`
pub(super) async fn list(
    State(reports): State<Reports>,
    Authenticated(requester): Authenticated,
    query: Result<Query<ReportsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ReportsResponse>, ApiError> {
    admin(&requester)?;
    let Query(query) = query.map_err(|error| ApiError::invalid_param(error.to_string()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let rows = reports.list(query.before, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(id, _)| *id);
    let reports = rows.into_iter().map(|(id, row)| Report { id, row }).collect();
    Ok(Json(ReportsResponse { reports, next }))
}
