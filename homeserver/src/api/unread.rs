//! A request whose body may still be on the wire.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;

use super::ApiError;
use crate::callers::Place;

/// Its head is known; its body is read when it is known who sends it.
pub struct Unread {
    head: http::Request<()>,
    body: Option<Body>,
    read: Option<http::Request<Bytes>>,
    held: Option<Held>,
}

/// Until a request is answered its caller's place is taken.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Option<Place>>>);

impl Unread {
    pub(super) fn new(parts: Parts, body: Body) -> Self {
        let mut head = http::Request::new(());
        *head.method_mut() = parts.method;
        *head.uri_mut() = parts.uri;
        *head.headers_mut() = parts.headers;
        let held = parts.extensions.get::<Held>().cloned();
        Self { head, body: Some(body), read: None, held }
    }

    pub(super) fn head(&self) -> &http::Request<()> {
        &self.head
    }

    /// The whole request. Only the first reader's limit, in bytes, counts.
    pub(super) async fn read(&mut self, limit: u64) -> Result<&http::Request<Bytes>, ApiError> {
        let read = match self.read.take() {
            Some(read) => read,
            None => {
                let body = read_body(self.body.take().unwrap_or_default(), limit).await?;
                std::mem::take(&mut self.head).map(|()| body)
            }
        };
        Ok(self.read.insert(read))
    }

    /// Keeps the place until the request is answered.
    pub(super) fn hold(&self, place: Place) {
        if let Some(held) = &self.held {
            *held.0.lock() = Some(place);
        }
    }
}

pub(super) async fn read_body(body: Body, limit: u64) -> Result<Bytes, ApiError> {
    match Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large()),
        Err(error) => Err(ApiError::not_json(format!("The body cannot be read: {error}"))),
    }
}

/// Lets go of the places that a request took when it is answered.
pub(super) async fn hold_places(mut request: Request, next: Next) -> Response {
    let held = Held::default();
    request.extensions_mut().insert(held.clone());
    let response = next.run(request).await;
    drop(held.0.lock().take());
    response
}
