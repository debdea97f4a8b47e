//! Files up and down, streamed: no body is ever held whole.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#content-repository)

pub(in crate::api) mod answer;
pub(in crate::api) mod legacy;
mod range;
mod resumable;
mod tus;
mod upload;

use std::time::Duration;

use axum::{
    Json, Router,
    response::Response,
    routing::{get, post},
};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::answer::send;
pub(in crate::api) use self::upload::WAIT;
pub(crate) use self::{answer::delegate, resumable::announce};
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Path, Query, State},
    },
    media::Media,
};

/// The routes whose bodies are files; ruma's types would hold them in memory.
pub fn add_streams(router: Router) -> Router {
    let upload = || {
        axum::routing::put(upload::create_content_async)
            .head(resumable::offset)
            .patch(resumable::append)
            .delete(resumable::cancel)
    };
    let router = router
        .route("/_matrix/media/v3/upload", post(upload::create_content))
        .route("/_matrix/media/r0/upload", post(upload::create_content))
        .route("/_matrix/media/v1/create", post(upload::create_mxc_uri))
        .route("/_matrix/media/v3/upload/{0}/{1}", upload())
        .route("/_matrix/client/v1/media/download/{0}/{1}", get(get_content))
        .route("/_matrix/client/v1/media/download/{0}/{1}/{2}", get(get_content_as_filename))
        .route("/_matrix/client/v1/media/config", get(get_media_config))
        .route("/_matrix/media/v3/config", get(get_media_config))
        .route("/_matrix/media/r0/config", get(get_media_config))
        .route("/_matrix/media/unstable/org.matrix.msc4034/usage", get(usage));
    legacy::add(tus::add(router))
}

/// Beside what a path says of a file.
#[derive(Debug, Default, Deserialize)]
struct Options {
    /// Milliseconds to wait for a file that is not uploaded yet.
    timeout_ms: Option<u64>,
}

impl Options {
    fn wait(&self) -> Duration {
        /// Nobody waits longer.
        const LONGEST: Duration = Duration::from_secs(120);
        self.timeout_ms.map_or(WAIT, Duration::from_millis).min(LONGEST)
    }
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
async fn get_content(
    State(media): State<Media>,
    _: Authenticated,
    Path((server, id)): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    download(&media, (&server, &id), None, &options, &headers).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn get_content_as_filename(
    State(media): State<Media>,
    _: Authenticated,
    Path((server, id, filename)): Path<(String, String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    download(&media, (&server, &id), Some(filename), &options, &headers).await
}

async fn download(
    media: &Media,
    (server, id): (&str, &str),
    filename: Option<String>,
    options: &Options,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let mxc = Media::named(server, id).ok_or_else(no_file)?;
    let row = media.find(&mxc, options.wait()).await?.ok_or_else(no_file)?;
    send(media, &mxc, &row, filename, headers)
}

fn no_file() -> ApiError {
    ApiError::not_found("There is no such file")
}

/// `GET /_matrix/client/v1/media/config`, `GET /_matrix/media/v3/config`, with what MSC4034 adds.
async fn get_media_config(
    State(media): State<Media>,
    _: Authenticated,
) -> Json<Map<String, Value>> {
    let policy = media.store().policy();
    let figures = [
        ("m.upload.size", Some(policy.largest)),
        ("org.matrix.msc4034.storage.size", policy.user.bytes),
        ("org.matrix.msc4034.storage.max_files", policy.user.files),
    ];
    Json(present(figures))
}

/// `GET /_matrix/media/unstable/org.matrix.msc4034/usage`
async fn usage(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let usage = media.store().usage_of(&requester.user_id).await?;
    let limit = media.store().policy().user.bytes;
    let figures = [
        ("org.matrix.msc4034.storage.used", Some(usage.bytes)),
        ("org.matrix.msc4034.storage.free", limit.map(|limit| limit.saturating_sub(usage.bytes))),
        ("org.matrix.msc4034.storage.files", Some(usage.files)),
    ];
    Ok(Json(present(figures)))
}

fn present<const N: usize>(figures: [(&str, Option<u64>); N]) -> Map<String, Value> {
    let present = |(name, figure): (&str, Option<u64>)| Some((name.to_owned(), figure?.into()));
    figures.into_iter().filter_map(present).collect()
}
