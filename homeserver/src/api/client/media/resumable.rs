//! An upload that goes on where it broke off, as the IETF's draft has it, at the URL to which MSC2246 uploads.
//!
//! `POST` upload or create, then `HEAD` for the offset, `PATCH` to go on, `DELETE` to give up.
//! [Draft](https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/)

use axum::{
    Json,
    body::{Body, Bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kith_media_store::{Append, Appended, Error, Meta, Mxc, State as FileState};
use ruma::{
    UserId,
    serde::{Base64, base64::Standard},
};
use serde_json::{Value, json};

use super::upload::{Named, length, own};
use crate::{
    api::{
        ApiError,
        incoming::{Authenticated, Path, Query, State},
    },
    media::Media,
};

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// What the body of a `PATCH` is.
const PARTIAL: &str = "application/partial-upload";
/// Where uploads are, beside those of [`super::tus`].
const PATH: &str = "/_matrix/media/v3/upload";

/// Whether the file is whole with this request; `None` if it does not speak of that.
pub(super) fn complete(headers: &HeaderMap) -> Result<Option<bool>, ApiError> {
    match headers.get(UPLOAD_COMPLETE).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"?1") => Ok(Some(true)),
        Some(b"?0") => Ok(Some(false)),
        Some(_) => Err(ApiError::invalid_param("Upload-Complete is ?0 or ?1")),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || ApiError::invalid_param(format!("{name} is a number of bytes"));
    number.map(Some).ok_or_else(malformed)
}

/// `Repr-Digest: sha-256=:…:`, of the whole file; other algorithms are passed over.
fn digest(headers: &HeaderMap) -> Result<Option<[u8; 32]>, ApiError> {
    let text = headers.get(REPR_DIGEST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let member = text.split(',').find_map(|member| member.trim().strip_prefix("sha-256="));
    let Some(member) = member else { return Ok(None) };
    let malformed = || ApiError::invalid_param("Repr-Digest is malformed");
    let encoded = member.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let bytes: Base64<Standard> =
        Base64::parse(encoded.ok_or_else(malformed)?).map_err(|_| malformed())?;
    Ok(Some(bytes.as_bytes().try_into().map_err(|_| malformed())?))
}

/// `POST /_matrix/media/v3/upload` with `Upload-Complete`: `Location` says where it goes on.
pub(super) async fn create<E: std::fmt::Display>(
    media: &Media,
    who: &UserId,
    meta: Meta,
    complete: bool,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Result<Response, ApiError> {
    let announced = number(headers, &UPLOAD_LENGTH)?;
    let whole = announced.or_else(|| length(headers).filter(|_| complete));
    let reserved = media.store().reserve(who, meta, whole).await?;
    let append = Append { complete, sha256: digest(headers)?, ..Append::default() };
    match media.store().append(&reserved.mxc, who, append, body).await {
        Ok(appended) => {
            let status = if complete { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, place(media, &reserved.mxc)?, progress(&appended)).into_response())
        }
        // The client cannot know where it could go on.
        Err(Error::BrokenOff(reason)) => Err(Error::BrokenOff(reason).into()),
        Err(error) => {
            media.store().cancel(&reserved.mxc, who).await?;
            Err(error.into())
        }
    }
}

/// `HEAD /_matrix/media/v3/upload/{serverName}/{mediaId}`: how much is here. Ends a request that still
/// brings bytes, so that the answer stays right.
pub(super) async fn offset(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let mxc = own(&media, &server, &id)?;
    let status = media.store().status(&mxc, &requester.user_id).await?;
    let mut headers = state_headers(&status);
    headers.insert(UPLOAD_LIMIT, limit(&media)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = status.row.length {
        headers.insert(UPLOAD_LENGTH, length.into());
    }
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// `PATCH /_matrix/media/v3/upload/{serverName}/{mediaId}`
pub(super) async fn append(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
    Query(named): Query<Named>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let mxc = own(&media, &server, &id)?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type != Some(PARTIAL) {
        let message = format!("The body of a PATCH is {PARTIAL}");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "M_UNKNOWN", message));
    }
    let missing = |name| ApiError::missing_param(format!("{name} is missing"));
    let offset = number(&headers, &UPLOAD_OFFSET)?.ok_or_else(|| missing("Upload-Offset"))?;
    let complete = complete(&headers)?.ok_or_else(|| missing("Upload-Complete"))?;
    let announced = number(&headers, &UPLOAD_LENGTH)?;
    let last = length(&headers).filter(|_| complete).and_then(|length| length.checked_add(offset));
    let append = Append {
        offset,
        complete,
        length: announced.or(last),
        meta: Meta { filename: named.filename, ..Meta::default() },
        sha256: digest(&headers)?,
        ..Append::default()
    };
    let body = request.into_body().into_data_stream();
    match media.store().append(&mxc, &requester.user_id, append, body).await {
        Ok(appended) if complete => Ok((StatusCode::OK, progress(&appended)).into_response()),
        Ok(appended) => Ok((StatusCode::NO_CONTENT, state_headers(&appended)).into_response()),
        Err(error) => problem(error),
    }
}

/// `DELETE /_matrix/media/v3/upload/{serverName}/{mediaId}`
pub(super) async fn cancel(
    State(media): State<Media>,
    Authenticated(requester): Authenticated,
    Path((server, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mxc = own(&media, &server, &id)?;
    media.store().cancel(&mxc, &requester.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where an upload goes on, and how large it may be.
pub(super) fn place(media: &Media, mxc: &Mxc) -> Result<HeaderMap, ApiError> {
    let place = HeaderValue::try_from(format!("{PATH}/{}/{}", mxc.server, mxc.id()));
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, place.map_err(ApiError::internal)?);
    headers.insert(UPLOAD_LIMIT, limit(media)?);
    Ok(headers)
}

/// The least is no more than a wish: what broke off may be shorter.
fn limit(media: &Media) -> Result<HeaderValue, ApiError> {
    let policy = media.store().policy();
    let age = policy.unfinished.as_secs();
    let limit = format!("max-size={}, min-append-size=0, max-age={age}", policy.largest);
    HeaderValue::try_from(limit).map_err(ApiError::internal)
}

fn is_whole(upload: &Appended) -> bool {
    upload.row.state == FileState::Complete
}

fn state_headers(upload: &Appended) -> HeaderMap {
    let complete = if is_whole(upload) { "?1" } else { "?0" };
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_COMPLETE, HeaderValue::from_static(complete));
    headers.insert(UPLOAD_OFFSET, upload.row.size.into());
    headers
}

fn progress(upload: &Appended) -> (HeaderMap, Json<Value>) {
    (state_headers(upload), Json(json!({ "content_uri": upload.mxc.to_string() })))
}

/// What the draft has its own words for.
fn problem(error: Error) -> Result<Response, ApiError> {
    let kind = |name| format!("https://iana.org/assignments/http-problem-types#{name}");
    let (status, problem) = match &error {
        Error::WrongOffset { expected, provided } => (
            StatusCode::CONFLICT,
            json!({
                "type": kind("mismatching-upload-offset"),
                "expected-offset": expected,
                "provided-offset": provided,
            }),
        ),
        Error::Exists => (StatusCode::CONFLICT, json!({ "type": kind("completed-upload") })),
        Error::WrongLength { .. } => {
            (StatusCode::BAD_REQUEST, json!({ "type": kind("inconsistent-upload-length") }))
        }
        _ => return Err(error.into()),
    };
    let mut body = ApiError::from(error).into_body();
    if let (Some(body), Value::Object(problem)) = (body.as_object_mut(), problem) {
        body.extend(problem);
    }
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    Ok((status, content_type, Body::from(body.to_string())).into_response())
}

/// Adds to an answer to `OPTIONS` what can be known before an upload begins.
pub(crate) async fn announce(State(media): State<Media>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_tus = path.starts_with(super::tus::PATH);
    let asks = request.method() == Method::OPTIONS && (is_tus || path.starts_with(PATH));
    let mut response = next.run(request).await;
    if asks && let Ok(limit) = limit(&media) {
        response.headers_mut().insert(UPLOAD_LIMIT, limit);
        if is_tus {
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().extend(super::tus::abilities(&media));
        }
    }
    response
}
