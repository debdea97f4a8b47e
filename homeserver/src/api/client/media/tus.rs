//! The same uploads as tus 1.0 has them, for its many clients.
//!
//! An upload made here is at one of `/_matrix/media/v3/upload` too. [tus](https://tus.io/protocols/resumable-upload)

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{head, post},
};
use base64::Engine;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kith_media_store::{Append, Appended, Error, Meta, State as FileState};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::upload::{length, own};
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Path, State},
    },
    media::Media,
    rate_limit::{Action, RateLimiter},
};

/// Where its uploads are.
pub(super) const PATH: &str = "/_matrix/client/unstable/dev.kith.tus";
const VERSION: &str = "1.0.0";
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination";
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// Bytes of a request with a checksum, which is held until that is checked.
const CHECKED: usize = 16 << 20;
/// `460 Checksum Mismatch`
const MISMATCH: u16 = 460;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Ours: the `mxc://` URI of the upload.
const CONTENT_URI: HeaderName = HeaderName::from_static("matrix-content-uri");

pub(super) fn add(router: Router) -> Router {
    let upload = head(offset).patch(append).delete(cancel);
    router
        .route(PATH, post(create))
        .route(&format!("{PATH}/"), post(create))
        .route(&format!("{PATH}/{{0}}/{{1}}"), upload)
}

/// What an answer to `OPTIONS` says.
pub(super) fn abilities(media: &Media) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("tus-resumable", HeaderValue::from_static(VERSION)),
        ("tus-version", HeaderValue::from_static(VERSION)),
        ("tus-extension", HeaderValue::from_static(EXTENSIONS)),
        ("tus-checksum-algorithm", HeaderValue::from_static("sha1,sha256")),
        ("tus-max-size", media.limit().into()),
    ] {
        headers.insert(HeaderName::from_static(name), value);
    }
    headers
}

/// Errors say which version is spoken, too.
fn answered(answer: Result<Response, ApiError>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.get(TUS_RESUMABLE).is_some_and(|version| version == VERSION) {
        return Ok(());
    }
    let message = format!("Tus-Resumable is {VERSION} here");
    Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "M_UNKNOWN", message))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || ApiError::invalid_param(format!("{name} is a number of bytes"));
    number.map(Some).ok_or_else(malformed)
}

/// `Upload-Metadata: filename d29ybGQ=,filetype aW1hZ2UvcG5n`
fn metadata(headers: &HeaderMap) -> Meta {
    let text = headers.get("upload-metadata").and_then(|value| value.to_str().ok());
    let pairs = text.unwrap_or_default().split(',').filter_map(|pair| {
        let (name, value) = pair.trim().split_once(' ')?;
        let value = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
        Some((name, String::from_utf8(value).ok()?))
    });
    let mut meta = Meta::default();
    for (name, value) in pairs {
        match name {
            "filename" | "name" => meta.filename = Some(value),
            "filetype" | "type" | "contentType" => meta.content_type = Some(value),
            _ => {}
        }
    }
    meta
}

/// `POST`: an upload is created, with its first bytes if there are any.
async fn create(
    State(limits): State<RateLimiter>,
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let created = async {
        check_version(&headers)?;
        limits.check(Action::Upload, &requester.user_id)?;
        let announced = number(&headers, &UPLOAD_LENGTH)?;
        if announced.is_none() && headers.get(UPLOAD_DEFER_LENGTH).is_none_or(|defer| defer != "1")
        {
            return Err(ApiError::missing_param("Upload-Length is missing"));
        }
        let who = &requester.user_id;
        let reserved = media.store().reserve(who, metadata(&headers), announced).await?;
        let brings = is_offset_stream(&headers);
        let body = if brings { request.into_body() } else { Body::empty() };
        let body = checked(&headers, body).await?;
        let append = Append { complete_at_length: true, ..Append::default() };
        let appended =
            media.store().append(&reserved.mxc, who, append, body.into_data_stream()).await?;
        let place = format!("{PATH}/{}/{}", appended.mxc.server, appended.mxc.id());
        let mut answer = state_headers(&appended);
        answer.insert(header::LOCATION, HeaderValue::try_from(place).map_err(ApiError::internal)?);
        Ok((StatusCode::CREATED, answer).into_response())
    };
    answered(created.await)
}

/// `HEAD`
async fn offset(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        check_version(&headers)?;
        let mxc = own(&media, &server, &id)?;
        let status = media.store().status(&mxc, &requester.user_id).await?;
        let mut answer = state_headers(&status);
        match status.row.length {
            _ if status.row.state == FileState::Complete => {
                answer.insert(UPLOAD_LENGTH, status.row.size.into());
            }
            Some(length) => {
                answer.insert(UPLOAD_LENGTH, length.into());
            }
            None => {
                answer.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1"));
            }
        }
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok((StatusCode::OK, answer).into_response())
    };
    answered(found.await)
}

/// `PATCH`
async fn append(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let appended = async {
        check_version(&headers)?;
        let mxc = own(&media, &server, &id)?;
        if !is_offset_stream(&headers) {
            let message = format!("The body of a PATCH is {OFFSET_STREAM}");
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "M_UNKNOWN", message));
        }
        let missing = || ApiError::missing_param("Upload-Offset is missing");
        let append = Append {
            offset: number(&headers, &UPLOAD_OFFSET)?.ok_or_else(missing)?,
            complete_at_length: true,
            length: number(&headers, &UPLOAD_LENGTH)?,
            ..Append::default()
        };
        let body = checked(&headers, request.into_body()).await?.into_data_stream();
        let appended = media.store().append(&mxc, &requester.user_id, append, body).await?;
        Ok((StatusCode::NO_CONTENT, state_headers(&appended)).into_response())
    };
    answered(appended.await)
}

/// `DELETE`
async fn cancel(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let cancelled = async {
        check_version(&headers)?;
        let mxc = own(&media, &server, &id)?;
        match media.store().cancel(&mxc, &requester.user_id).await {
            // A whole file is no upload any more.
            Err(Error::Exists) => Err(ApiError::not_found("There is no such upload")),
            cancelled => Ok(cancelled.map(|()| StatusCode::NO_CONTENT.into_response())?),
        }
    };
    answered(cancelled.await)
}

fn is_offset_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == OFFSET_STREAM)
}

fn state_headers(upload: &Appended) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_OFFSET, upload.row.size.into());
    if let Ok(uri) = HeaderValue::try_from(upload.mxc.to_string()) {
        headers.insert(CONTENT_URI, uri);
    }
    if let FileState::Reserved { expires } | FileState::Uploading { expires, .. } = upload.row.state
    {
        let expires = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(expires));
        if let Ok(expires) = HeaderValue::try_from(expires) {
            headers.insert(UPLOAD_EXPIRES, expires);
        }
    }
    headers
}

/// The body, if it is what `Upload-Checksum` says: nothing of it is kept otherwise.
async fn checked(headers: &HeaderMap, body: Body) -> Result<Body, ApiError> {
    let Some(checksum) = headers.get("upload-checksum") else { return Ok(body) };
    let malformed = || ApiError::invalid_param("Upload-Checksum is malformed");
    let text = checksum.to_str().map_err(|_| malformed())?;
    let (algorithm, expected) = text.split_once(' ').ok_or_else(malformed)?;
    let expected = base64::engine::general_purpose::STANDARD.decode(expected.trim());
    let expected = expected.map_err(|_| malformed())?;
    if length(headers).is_some_and(|length| length > CHECKED as u64) {
        return Err(ApiError::too_large());
    }
    let content = Limited::new(body, CHECKED).collect().await;
    let content = content.map_err(|error| ApiError::not_json(error.to_string()))?.to_bytes();
    let actual = match algorithm {
        "sha1" => Sha1::digest(&content).to_vec(),
        "sha256" => Sha256::digest(&content).to_vec(),
        _ => return Err(ApiError::invalid_param("Checksums are sha1 or sha256")),
    };
    if actual != expected {
        let status = StatusCode::from_u16(MISMATCH).map_err(ApiError::internal)?;
        return Err(ApiError::new(status, "M_UNKNOWN", "The checksum is another"));
    }
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(content)]);
    Ok(Body::from_stream(whole.boxed()))
}
