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
use futures_util::{StreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderValue, header};
use kith_media_store::{Mxc, Row};
use serde::Deserialize;

use crate::{
    api::{
        ApiError,
        client::{
            media::{WAIT, answer::file_headers},
            thumbnail::{Asked, picture_headers},
        },
        incoming::{FromServer, Path, Query, State},
    },
    media::Media,
    pictures::Pictures,
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
    let headers = file_headers(&row, None)?;
    send(&headers, row.size, media.read(&mxc, 0..row.size))
}

/// `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`
async fn get_content_thumbnail(
    State(media): State<Media>,
    State(pictures): State<Pictures>,
    _: FromServer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let size = asked.size()?;
    let mxc = media.own(&id).ok_or_else(no_file)?;
    let picture = pictures.thumbnail(&mxc, size, asked.wait(), false).await?;
    let picture = picture.ok_or_else(no_file)?;
    let headers = picture_headers(&picture)?;
    send(&headers, picture.size, picture.content)
}

async fn find(media: &Media, id: &str, timeout_ms: Option<u64>) -> Result<(Mxc, Row), ApiError> {
    let mxc = media.own(id).ok_or_else(no_file)?;
    let wait = timeout_ms.map_or(WAIT, Duration::from_millis).min(LONGEST_WAIT);
    let row = media.find(&mxc, wait).await?.ok_or_else(no_file)?;
    Ok((mxc, row))
}

fn no_file() -> ApiError {
    ApiError::not_found("There is no such file")
}

/// Metadata, of which the specification knows none yet, and the file.
fn send(
    headers: &HeaderMap,
    size: u64,
    content: BoxStream<'static, Result<Bytes, kith_media_store::Error>>,
) -> Result<Response, ApiError> {
    let boundary = random_string(BOUNDARY);
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
    let length = head.len() as u64 + size + tail.len() as u64;
    let part = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
    let body = part(head).chain(content).chain(part(tail.into_bytes()));
    let mixed = format!("multipart/mixed; boundary={boundary}");
    let mixed = HeaderValue::try_from(mixed).map_err(ApiError::internal)?;
    let headers = [(header::CONTENT_TYPE, mixed), (header::CONTENT_LENGTH, length.into())];
    Ok((headers, Body::from_stream(body)).into_response())
}
