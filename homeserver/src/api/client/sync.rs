//! What is new?

use ruma::api::client::sync::sync_events;

use super::presence::is_unknown;
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    sync::{Sync, v3::SyncRequest},
};

/// `GET /_matrix/client/v3/sync`
pub async fn sync_events(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<sync_events::v3::Request>,
) -> Result<sync_events::v3::Response, ApiError> {
    let since = request.since.as_deref().map(str::parse).transpose();
    let since = since.map_err(|_| ApiError::invalid_param("`since` is not a token of ours"))?;
    if is_unknown(&request.set_presence) {
        return Err(ApiError::invalid_param("Unknown `set_presence`"));
    }
    let filter = match request.filter {
        None => Default::default(),
        Some(sync_events::v3::Filter::FilterDefinition(filter)) => filter,
        Some(sync_events::v3::Filter::FilterId(filter_id)) => sync
            .filter(&requester.user_id, &filter_id)
            .await?
            .ok_or_else(|| ApiError::invalid_param("There is no filter with this ID"))?,
        Some(_) => return Err(ApiError::invalid_param("`filter` is neither an ID nor a filter")),
    };
    let request = SyncRequest {
        since,
        filter,
        full_state: request.full_state,
        use_state_after: request.use_state_after,
        timeout: request.timeout.unwrap_or_default(),
        set_presence: request.set_presence,
    };
    Ok(sync.sync(&requester, request).await?)
}
