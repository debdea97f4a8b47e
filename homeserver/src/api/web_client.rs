//! The web client's files: what a browser gets at `/`.
//!
//! A folder that `make client` made: `index.html`, and below `assets/` files whose names change with their
//! content, each perhaps with `.br` and `.gz` beside it. Paths of the API are never looked for there.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use tower_http::services::{ServeDir, ServeFile};
use tower_service::Service as _;

use super::ApiError;

/// The page runs its own files and nothing else, is shown in no other page, and speaks to whatever
/// homeserver its user names.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; worker-src 'self' blob:; \
    connect-src 'self' http: https: ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Microphone, camera and screen are for calls.
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
];

struct Files {
    files: ServeDir,
    page: ServeFile,
}

/// Answers what no route does: with the client's files, where there are any.
pub(super) fn fallback(router: Router, folder: Option<&Path>) -> Router {
    let Some(folder) = folder else {
        return router.fallback(async || ApiError::unrecognized());
    };
    let files = ServeDir::new(folder).precompressed_br().precompressed_gzip();
    let page = ServeFile::new(folder.join("index.html")).precompressed_br().precompressed_gzip();
    router.fallback_service(axum::routing::any(serve).with_state(Arc::new(Files { files, page })))
}

async fn serve(State(files): State<Arc<Files>>, request: Request) -> Response {
    if of_the_api(request.uri()) {
        return ApiError::unrecognized().into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::wrong_method().into_response();
    }
    let hashed = request.uri().path().starts_with("/assets/");
    // A view of the client has a path of its own; what a page loads is there or is not.
    let page = (!hashed && accepts_pages(request.headers())).then(|| {
        let mut page = Request::new(Body::empty());
        page.headers_mut().clone_from(request.headers());
        page
    });
    let Ok(mut found) = files.files.clone().call(request).await;
    if let Some(page) = page.filter(|_| found.status().is_client_error()) {
        let Ok(answer) = files.page.clone().call(page).await;
        found = answer;
    }
    if found.status().is_client_error() {
        return ApiError::unrecognized().into_response();
    }
    let mut response = found.into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let kept = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

fn of_the_api(uri: &Uri) -> bool {
    uri.path().starts_with("/_") || uri.path().starts_with("/.well-known/")
}

/// Whether a person goes there, rather than a page that loads something.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}
