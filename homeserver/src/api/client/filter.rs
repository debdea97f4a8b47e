//! Filters that clients store to name them later.

use ruma::api::client::filter::{create_filter, get_filter};

use super::config::check_own;
use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    sync::Sync,
};

/// `POST /_matrix/client/v3/user/{userId}/filter`
pub async fn create_filter(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<create_filter::v3::Request>,
) -> Result<create_filter::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let id = sync.store_filter(&requester.user_id, &request.filter).await?;
    Ok(create_filter::v3::Response::new(id))
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
pub async fn get_filter(
    State(sync): State<Sync>,
    Incoming { requester, request }: Incoming<get_filter::v3::Request>,
) -> Result<get_filter::v3::Response, ApiError> {
    check_own(&requester, &request.user_id)?;
    let filter = sync.filter(&requester.user_id, &request.filter_id).await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("Unknown filter"))?;
    Ok(get_filter::v3::Response::new(filter))
}
