//! Files of our users in one request, or to a URI that was reserved before.

use std::time::Duration;

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use kith_media_store::{Append, Meta, Mxc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resumable;
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Path, Query, State},
    },
    media::Media,
    rate_limit::{Action, RateLimiter},
};

/// How long a file is waited for unless the client says otherwise.
pub(in crate::api) const WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    pub(super) filename: Option<String>,
}

/// What a request says of its file.
pub(super) fn meta(headers: &HeaderMap, filename: Option<String>) -> Meta {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let cut = headers.get("x-chunking").is_some_and(|cut| cut == "cdc");
    Meta { content_type: content_type.map(str::to_owned), filename, cut_by_content: cut }
}

/// Bytes of the body, where that is said.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `POST /_matrix/media/v3/upload`; with `Upload-Complete` as [`resumable`] says.
pub(super) async fn create_content(
    State(limits): State<RateLimiter>,
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(named): Query<Named>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    limits.check(Action::Upload, &requester.user_id)?;
    let meta = meta(&headers, named.filename);
    let body = request.into_body().into_data_stream();
    if let Some(complete) = resumable::complete(&headers)? {
        let who = &requester.user_id;
        return resumable::create(&media, who, meta, complete, &headers, body).await;
    }
    let length = length(&headers);
    let uploaded = media.store().upload(&requester.user_id, meta, length, body).await?;
    Ok(Json(json!({ "content_uri": uploaded.mxc.to_string() })).into_response())
}

/// `POST /_matrix/media/v1/create`
pub(super) async fn create_mxc_uri(
    State(limits): State<RateLimiter>,
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
) -> Result<Response, ApiError> {
    limits.check(Action::Upload, &requester.user_id)?;
    let reserved = media.store().reserve(&requester.user_id, Meta::default(), None).await?;
    let body = json!({
        "content_uri": reserved.mxc.to_string(),
        "unused_expires_at": reserved.expires,
    });
    Ok((resumable::place(&media, &reserved.mxc)?, Json(body)).into_response())
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
pub(super) async fn create_content_async(
    State(limits): State<RateLimiter>,
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
    Query(named): Query<Named>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    limits.check(Action::Upload, &requester.user_id)?;
    let mxc = own(&media, &server, &id)?;
    let length = length(&headers);
    if length.is_some_and(|length| length > media.limit()) {
        return Err(ApiError::too_large());
    }
    let append = Append {
        restart: true,
        complete: true,
        length,
        meta: meta(&headers, named.filename),
        ..Append::default()
    };
    let body = request.into_body().into_data_stream();
    media.store().append(&mxc, &requester.user_id, append, body).await?;
    Ok(Json(json!({})))
}

/// One of our files by the parts of its URI; nobody uploads others.
pub(super) fn own(media: &Media, server: &str, id: &str) -> Result<Mxc, ApiError> {
    let mxc = Media::named(server, id).filter(|mxc| media.store().is_own(mxc));
    mxc.ok_or_else(super::no_file)
}
