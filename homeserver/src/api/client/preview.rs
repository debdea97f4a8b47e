//! What is behind a URL in a message?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediapreview_url)

use ruma::{
    MilliSecondsSinceUnixEpoch,
    api::client::{authenticated_media, media},
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::{
        ApiError,
        incoming::{Incoming, State},
    },
    pictures::Pictures,
    rate_limit::{Action, RateLimiter},
    users::Requester,
};

/// `GET /_matrix/client/v1/media/preview_url`
pub async fn get_authenticated_media_preview(
    State(limits): State<RateLimiter>,
    State(pictures): State<Pictures>,
    Incoming { requester, request }: Incoming<authenticated_media::get_media_preview::v1::Request>,
) -> Result<authenticated_media::get_media_preview::v1::Response, ApiError> {
    let data = preview(&limits, &pictures, &requester, &request.url, request.ts).await?;
    Ok(authenticated_media::get_media_preview::v1::Response::from_raw_value(data))
}

/// `GET /_matrix/media/v3/preview_url`
#[allow(deprecated, reason = "clients of before v1.11 ask here")]
pub async fn get_media_preview(
    State(limits): State<RateLimiter>,
    State(pictures): State<Pictures>,
    Incoming { requester, request }: Incoming<media::get_media_preview::v3::Request>,
) -> Result<media::get_media_preview::v3::Response, ApiError> {
    let data = preview(&limits, &pictures, &requester, &request.url, request.ts).await?;
    Ok(media::get_media_preview::v3::Response::from_raw_value(data))
}

async fn preview(
    limits: &RateLimiter,
    pictures: &Pictures,
    requester: &Requester,
    url: &str,
    at: Option<MilliSecondsSinceUnixEpoch>,
) -> Result<Box<RawValue>, ApiError> {
    let previews = pictures.previews().ok_or_else(ApiError::unrecognized)?;
    limits.check(Action::Preview, &requester.user_id)?;
    let properties = previews.get(url, at.map(|at| at.get().into())).await?;
    to_raw_value(&properties).map_err(ApiError::internal)
}
