//! Files up and down, streamed: no body is ever held whole.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#content-repository)

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kith_media_store::Metadata;
use ruma::{
    ServerName,
    api::client::{authenticated_media, media},
    http_headers::{ContentDisposition, ContentDispositionType},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Incoming, Path, Query, State},
    },
    media::{
        Media,
        remote::{RemoteFile, Thumbnail},
    },
    rate_limit::{Action, RateLimiter},
};

/// The routes whose bodies are files; ruma's types would hold them in memory.
pub fn add_streams(router: Router) -> Router {
    router
        .route("/_matrix/media/v3/upload", post(create_content))
        .route("/_matrix/media/r0/upload", post(create_content))
        .route("/_matrix/client/v1/media/download/{0}/{1}", get(get_content))
        .route("/_matrix/client/v1/media/thumbnail/{0}/{1}", get(get_content_thumbnail))
        .route("/_matrix/client/v1/media/download/{0}/{1}/{2}", get(get_content_as_filename))
}

#[derive(Deserialize)]
struct Upload {
    filename: Option<String>,
}

/// `POST /_matrix/media/v3/upload`
async fn create_content(
    State(limits): State<RateLimiter>,
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Query(upload): Query<Upload>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    limits.check(Action::Upload, &requester.user_id)?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content = request.into_body().into_data_stream();
    let uri = media.upload(content_type.map(str::to_owned), upload.filename, content).await?;
    Ok(Json(json!({ "content_uri": uri })))
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
async fn get_content(
    State(media): State<Media>,
    _: Authenticated,
    Path((server_name, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    download(&media, &server_name, &id, None).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn get_content_as_filename(
    State(media): State<Media>,
    _: Authenticated,
    Path((server_name, id, filename)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    download(&media, &server_name, &id, Some(filename)).await
}

async fn download(
    media: &Media,
    server_name: &str,
    id: &str,
    filename: Option<String>,
) -> Result<Response, ApiError> {
    send(media, server_name, id, filename, None).await
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
///
/// An image of this server is its own thumbnail.
async fn get_content_thumbnail(
    State(media): State<Media>,
    _: Authenticated,
    Path((server_name, id)): Path<(String, String)>,
    Query(size): Query<Size>,
) -> Result<Response, ApiError> {
    let crop = match size.method.as_deref() {
        None | Some("scale") => false,
        Some("crop") => true,
        Some(_) => return Err(ApiError::invalid_param("A thumbnail is scaled or cropped")),
    };
    if !(1..=LARGEST).contains(&size.width) || !(1..=LARGEST).contains(&size.height) {
        return Err(ApiError::invalid_param("A thumbnail cannot have this size"));
    }
    let Size { width, height, animated, .. } = size;
    let thumbnail = Thumbnail { width, height, crop, animated };
    send(&media, &server_name, &id, None, Some(thumbnail)).await
}

/// Pixels of a side.
const LARGEST: u32 = 4_096;

#[derive(Deserialize)]
struct Size {
    width: u32,
    height: u32,
    method: Option<String>,
    #[serde(default)]
    animated: bool,
}

async fn send(
    media: &Media,
    server_name: &str,
    id: &str,
    filename: Option<String>,
    thumbnail: Option<Thumbnail>,
) -> Result<Response, ApiError> {
    let not_found = || ApiError::not_found("There is no such file");
    let server = <&ServerName>::try_from(server_name).map_err(|_| not_found())?;
    if media.is_own(server) {
        let (metadata, content) = media.own(id).await?.ok_or_else(not_found)?;
        let content_type = metadata.content_type.as_deref().unwrap_or_default();
        if thumbnail.is_some() && !content_type.starts_with("image/") {
            return Err(ApiError::unknown_type("There are no thumbnails of such files"));
        }
        let headers = file_headers(&metadata, filename)?;
        return Ok((headers, Body::from_stream(content)).into_response());
    }
    let file = RemoteFile { server: server.to_owned(), id: id.to_owned(), thumbnail };
    let (metadata, content) = media.remote().get(&file).await?.ok_or_else(not_found)?;
    let headers = file_headers(&metadata, filename)?;
    Ok((headers, Body::from_stream(content)).into_response())
}

/// Types that a browser may show in place; anything else is saved.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#serving-inline-content)
const INLINE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// What the uploader claimed is repeated, but never believed: no script runs, nothing is sniffed.
pub(in crate::api) fn file_headers(
    metadata: &Metadata,
    filename: Option<String>,
) -> Result<HeaderMap, ApiError> {
    let content_type = metadata.content_type.as_deref().unwrap_or("application/octet-stream");
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inline = INLINE.contains(&essence.as_str());
    let kind =
        if inline { ContentDispositionType::Inline } else { ContentDispositionType::Attachment };
    let filename = filename.or_else(|| metadata.filename.clone());
    let disposition = ContentDisposition::new(kind).with_filename(filename).to_string();
    let value = |text: &str| HeaderValue::from_str(text);
    let octets = HeaderValue::from_static("application/octet-stream");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, value(content_type).unwrap_or(octets));
    headers.insert(header::CONTENT_LENGTH, metadata.size.into());
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition).map_err(ApiError::internal)?);
    for (name, text) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(text));
    }
    Ok(headers)
}

const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; \
    plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';";

/// `GET /_matrix/client/v1/media/config`
pub async fn get_authenticated_media_config(
    State(media): State<Media>,
    _: Incoming<authenticated_media::get_media_config::v1::Request>,
) -> Result<authenticated_media::get_media_config::v1::Response, ApiError> {
    let limit = media.limit().try_into().unwrap_or(ruma::UInt::MAX);
    Ok(authenticated_media::get_media_config::v1::Response::new(limit))
}

/// `GET /_matrix/media/v3/config`
#[allow(deprecated, reason = "clients of before v1.11 ask here")]
pub async fn get_media_config(
    State(media): State<Media>,
    _: Incoming<media::get_media_config::v3::Request>,
) -> Result<media::get_media_config::v3::Response, ApiError> {
    let limit = media.limit().try_into().unwrap_or(ruma::UInt::MAX);
    Ok(media::get_media_config::v3::Response::new(limit))
}
