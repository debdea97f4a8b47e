//! Our files, for servers whose users want them. Streamed, as to clients: no file is ever held whole.
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#content-repository)

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use kith_media_store::{Mxc, Row};
use serde::Deserialize;

use crate::{
    api::{
        ApiError,
        client::media::{WAIT, answer::file_headers},
        incoming::{FromServer, Path, Query, State},
    },
    media::Media,
    random::random_string,
};

/// Letters and digits between the parts of an answer: they are in no file.
const BOUNDARY: usize = 30;
/// Nobody waits longer for a file that is not uploaded yet.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The routes whose bodies are files; ruma's types would hold them in memory.
pub fn add_streams(router: Router) -> Router {
    router
        .route("/_matrix/federation/v1/media/download/{0}", get(get_content))
        .route("/_matrix/federation/v1/media/thumbnail/{0}", get(get_content_thumbnail))
}

#[derive(Deserialize)]
struct Options {
    timeout_ms: Option<u64>,
}

/// `GET /_matrix/federation/v1/media/download/{mediaId}`
async fn get_content(
    State(media): State<Media>,
    _: FromServer,
    Path(id): Path<String>,
    Query(Options { timeout_ms }): Query<Options>,
) -> Result<Response, ApiError> {
    let (mxc, row) = find(&media, &id, timeout_ms).await?;
    send(&media, &mxc, &row)
}

/// What a thumbnail is asked for; the size is the least that is wanted.
#[derive(Deserialize)]
struct Size {
    width: u32,
    height: u32,
    timeout_ms: Option<u64>,
}

/// `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`
///
/// An image is its own thumbnail.
async fn get_content_thumbnail(
    State(media): State<Media>,
    _: FromServer,
    Path(id): Path<String>,
    Query(size): Query<Size>,
) -> Result<Response, ApiError> {
    if size.width == 0 || size.height == 0 {
        return Err(ApiError::invalid_param("A thumbnail has a width and a height"));
    }
    let (mxc, row) = find(&media, &id, size.timeout_ms).await?;
    if !row.content_type.as_deref().unwrap_or_default().starts_with("image/") {
        return Err(ApiError::unknown_type("There are no thumbnails of such files"));
    }
    send(&media, &mxc, &row)
}

async fn find(media: &Media, id: &str, timeout_ms: Option<u64>) -> Result<(Mxc, Row), ApiError> {
    let no_file = || ApiError::not_found("There is no such file");
    let mxc = media.own(id).ok_or_else(no_file)?;
    let wait = timeout_ms.map_or(WAIT, Duration::from_millis).min(LONGEST_WAIT);
    let row = media.find(&mxc, wait).await?.ok_or_else(no_file)?;
    Ok((mxc, row))
}

/// Metadata, of which the specification knows none yet, and the file, with these boundaries.
fn send(media: &Media, mxc: &Mxc, row: &Row) -> Result<Response, ApiError> {
    let boundary = random_string(BOUNDARY);
    let headers = file_headers(row, None)?;
    let mut head = format!("\r\n--{boundary}\r\ncontent-type: application/json\r\n\r\n{{}}");
    head.push_str(&format!("\r\n--{boundary}\r\n"));
    let mut head = head.into_bytes();
    for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION] {
        if let Some(value) = headers.get(&name) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + row.size + tail.len() as u64;
    let part = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
    let content = media.read(mxc, 0..row.size);
    let body = part(head).chain(content).chain(part(tail.into_bytes()));
    let mixed = format!("multipart/mixed; boundary={boundary}");
    let mixed = HeaderValue::try_from(mixed).map_err(ApiError::internal)?;
    let headers = [(header::CONTENT_TYPE, mixed), (header::CONTENT_LENGTH, length.into())];
    Ok((headers, Body::from_stream(body)).into_response())
}
