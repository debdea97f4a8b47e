//! How does a file go out?

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kith_media_store::{
    Mxc, Row,
    sniff::{self, Class},
};
use ruma::http_headers::{ContentDisposition, ContentDispositionType};

use subtle::ConstantTimeEq;

use super::range::{Wanted, wanted};
use crate::{
    api::ApiError,
    config::Secret,
    media::{
        Media,
        plan::{LENGTH, PLANNED, Planned, SECRET},
    },
};

/// The file or the part that is asked for.
pub(super) fn send(
    media: &Media,
    mxc: &Mxc,
    row: &Row,
    filename: Option<String>,
    asked: &HeaderMap,
) -> Result<Response, ApiError> {
    let mut headers = file_headers(row, filename)?;
    let etag = format!("\"{}\"", row.sha256.as_deref().unwrap_or_default());
    headers.insert(header::ETAG, HeaderValue::from_str(&etag).map_err(ApiError::internal)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let size = row.size;
    let (status, range) = match wanted(asked, size, &etag) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::NotModified => {
            headers.remove(header::CONTENT_LENGTH);
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        Wanted::Nothing => {
            let range = HeaderValue::try_from(format!("bytes */{size}"));
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_RANGE, range.map_err(ApiError::internal)?);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        let value = HeaderValue::try_from(text).map_err(ApiError::internal)?;
        headers.insert(header::CONTENT_RANGE, value);
        headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    }
    Ok(planned(Planned::new(media, mxc, range), status, headers))
}

/// An answer whose body may be read by somebody else.
pub(in crate::api) fn planned(body: Planned, status: StatusCode, headers: HeaderMap) -> Response {
    let stream = Body::from_stream(body.read());
    (status, headers, Extension(body), stream).into_response()
}

/// A media node is told how the answer is made, and sends it.
pub(crate) async fn delegate(
    State(secret): State<Option<Secret>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(SECRET);
    let is_node = secret.zip(given).is_some_and(|(secret, given)| {
        bool::from(secret.expose().as_bytes().ct_eq(given.as_bytes()))
    });
    let mut response = next.run(request).await;
    let Some(body) = response.extensions_mut().remove::<Planned>().filter(|_| is_node) else {
        return response;
    };
    let plan = match body.plan().await {
        Ok(plan) => plan,
        Err(error) => return ApiError::from(error).into_response(),
    };
    let (mut parts, _) = response.into_parts();
    if let Some(length) = parts.headers.remove(header::CONTENT_LENGTH) {
        parts.headers.insert(LENGTH, length);
    }
    parts.headers.insert(PLANNED, HeaderValue::from_static("1"));
    match serde_json::to_vec(&plan) {
        Ok(plan) => Response::from_parts(parts, Body::from(plan)),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// What the uploader claimed is repeated, but never believed: no script runs, nothing is sniffed.
pub(in crate::api) fn file_headers(
    row: &Row,
    filename: Option<String>,
) -> Result<HeaderMap, ApiError> {
    let content_type = row.content_type.as_deref().unwrap_or("application/octet-stream");
    let class = row.sniffed.as_deref().map_or(Class::Other, Class::of_word);
    let kind = if sniff::is_inline(Some(content_type), class) {
        ContentDispositionType::Inline
    } else {
        ContentDispositionType::Attachment
    };
    let filename = filename.or_else(|| row.filename.clone());
    let disposition = ContentDisposition::new(kind).with_filename(filename).to_string();
    let value = |text: &str| HeaderValue::from_str(text);
    let octets = HeaderValue::from_static("application/octet-stream");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, value(content_type).unwrap_or(octets));
    headers.insert(header::CONTENT_LENGTH, row.size.into());
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition).map_err(ApiError::internal)?);
    keep_safe(&mut headers);
    Ok(headers)
}

/// No script runs, nothing is guessed; what is under a URI never changes.
pub(in crate::api) fn keep_safe(headers: &mut HeaderMap) {
    for (name, text) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(text));
    }
}

const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; \
    plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';";
