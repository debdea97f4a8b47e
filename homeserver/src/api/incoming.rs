//! How does an HTTP request become a typed one, and a typed answer an HTTP response?

use std::{future::Future, net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRef, FromRequest, FromRequestParts, RawPathParams, Request},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use bytes::BufMut;
use http::{HeaderValue, Method, request::Parts};
use ruma::{
    OwnedServerName,
    api::{
        IncomingRequest, IncomingRequestExt, OutgoingBody, OutgoingResponse, OutgoingResponseExt,
        auth_scheme::{AccessToken, AuthScheme},
        error::IntoHttpError,
        federation::authentication::ServerSignatures,
        path_builder::PathBuilder,
    },
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    ApiError,
    authenticate::{Authenticate, Call, by_token},
    unread::{Unread, read_body},
};
use crate::{app::App, users::Requester};

/// One part of the team's [`App`]: a handler asks for those that it uses.
pub struct State<T>(pub T);

impl<S: Sync, T: FromRef<App>> FromRequestParts<S> for State<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(T::from_ref(app(parts)?)))
    }
}

/// The parameters in the path of an endpoint that is not one of ruma's types.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The query of an endpoint that is not one of ruma's types.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// The address that the request came from, behind trusted proxies the one they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        address(parts)
    }
}

/// Whoever makes a request of an endpoint that is not one of ruma's types, by access token.
pub struct Authenticated(pub Requester);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let app = Arc::clone(app(parts)?);
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let mut request = http::Request::new(());
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        let token =
            AccessToken::extract_authentication(&request).map_err(|_| ApiError::missing_token())?;
        // Whoever may read may ask what there is to be read.
        let method = match parts.method.clone() {
            Method::HEAD => Method::GET,
            method => method,
        };
        let call = Call { method, path: parts.uri.path(), address };
        Ok(Self(by_token(&app, call, &token).await?))
    }
}

/// A request of the endpoint `R` and who makes it, as the endpoint's own authentication scheme says.
pub struct Incoming<R: IncomingRequest<Authentication: Authenticate>> {
    pub requester: <R::Authentication as Authenticate>::Requester,
    pub request: R,
}

impl<S, R> FromRequest<S> for Incoming<R>
where
    S: Sync,
    R: IncomingRequest<Authentication: Authenticate>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let arguments = RawPathParams::from_request_parts(&mut parts, &())
            .await
            .map_err(|error| ApiError::invalid_param(error.to_string()))?;
        let mut arguments: Vec<&str> = arguments.iter().map(|(_, value)| value).collect();
        // A route without its last parameter means the empty one: `/state/m.room.name`.
        arguments.resize(parameter_count::<R>().max(arguments.len()), "");

        let app = Arc::clone(app(&parts)?);
        let address = address(&parts)?.0;
        let mut unread = Unread::new(parts, body);
        let path = R::PATH_BUILDER.all_paths().last().unwrap_or_default();
        let call = Call { method: R::METHOD, path, address };
        let requester = authenticate::<R::Authentication>(&app, call, &mut unread).await?;
        let request = unread.read(app.team.config().limits.request_body).await?;
        check_json(request.body())?;
        let request = R::try_from_http_request(borrowed(request), &arguments)?;
        Ok(Self { requester, request })
    }
}

async fn authenticate<S: Authenticate>(
    app: &App,
    call: Call<'_>,
    request: &mut Unread,
) -> Result<S::Requester, ApiError> {
    let credentials = S::extract_authentication(request.head()).map_err(S::missing)?;
    S::authenticate(app, call, credentials, request).await
}

fn borrowed(request: &http::Request<Bytes>) -> http::Request<&[u8]> {
    let mut borrowed = http::Request::new(&request.body()[..]);
    *borrowed.method_mut() = request.method().clone();
    *borrowed.uri_mut() = request.uri().clone();
    *borrowed.headers_mut() = request.headers().clone();
    borrowed
}

/// The other server that makes a request of an endpoint that is not one of ruma's types, by its
/// signature. The request has no body.
pub struct FromServer(pub OwnedServerName);

impl<S: Sync> FromRequestParts<S> for FromServer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let app = Arc::clone(app(parts)?);
        let address = address(parts)?.0;
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let mut unread = Unread::new(parts.clone(), Body::empty());
        let call = Call { method, path: uri.path(), address };
        Ok(Self(authenticate::<ServerSignatures>(&app, call, &mut unread).await?))
    }
}

/// A body is one JSON object or nothing. What types an endpoint wants is ruma's to say; it would
/// pass over what is wrong in fields that it does not know, and take a list for an object.
fn check_json(body: &[u8]) -> Result<(), ApiError> {
    if body.is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(body).map_err(|error| ApiError::not_json(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| ApiError::not_json(error.to_string()))?;
    if text.trim_start().starts_with('{') {
        Ok(())
    } else {
        Err(ApiError::bad_json("The body is not a JSON object"))
    }
}

fn app(parts: &Parts) -> Result<&Arc<App>, ApiError> {
    let app = parts.extensions.get::<Arc<App>>();
    app.ok_or_else(|| ApiError::internal("a request without a team"))
}

fn address(parts: &Parts) -> Result<ClientAddress, ApiError> {
    let address = parts.extensions.get::<ClientAddress>().copied();
    address.ok_or_else(|| ApiError::internal("a request without an address"))
}

/// The body of a request that is not in the specification, as JSON.
pub struct JsonBody<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, app(&parts)?.team.config().limits.request_body).await?;
        match serde_json::from_slice(&body) {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.is_data() => Err(ApiError::bad_json(error.to_string())),
            Err(error) => Err(ApiError::not_json(error.to_string())),
        }
    }
}

fn parameter_count<R: IncomingRequest>() -> usize {
    R::PATH_BUILDER.all_paths().next().map_or(0, |path| path.matches('{').count())
}

/// A response body that is not one of ruma's types, as JSON.
pub struct JsonAnswer<T>(pub T);

impl<T: Serialize> OutgoingResponse for JsonAnswer<T> {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}

impl<T: Serialize> OutgoingBody for JsonAnswer<T> {
    type Error = serde_json::Error;

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("application/json"))
    }

    fn try_into_buf<B: Default + BufMut + AsRef<[u8]>>(self) -> Result<B, Self::Error> {
        let mut buffer = B::default().writer();
        serde_json::to_writer(&mut buffer, &self.0)?;
        Ok(buffer.into_inner())
    }
}

/// A handler of one endpoint: some parts of the application, then [`Incoming`].
pub trait Handler<Arguments>: Sized {
    /// Adds the endpoint under every path that ruma knows for it.
    fn add_to(self, router: Router) -> Router;
    /// Adds it under one more path; parameters missing there are empty.
    fn add_at(self, router: Router, path: &str) -> Router;
}

/// So that the router reads as a table of contents.
pub trait RouterExt {
    fn endpoint<Arguments>(self, handler: impl Handler<Arguments>) -> Self;
    fn endpoint_at<Arguments>(self, path: &str, handler: impl Handler<Arguments>) -> Self;
}

impl RouterExt for Router {
    fn endpoint<Arguments>(self, handler: impl Handler<Arguments>) -> Self {
        handler.add_to(self)
    }
    fn endpoint_at<Arguments>(self, path: &str, handler: impl Handler<Arguments>) -> Self {
        handler.add_at(self, path)
    }
}

macro_rules! handler {
    ($($part:ident)*) => {
        impl<R, F, Answer, $($part,)*> Handler<(R, Answer, $($part,)*)> for F
        where
            R: IncomingRequest<Authentication: Authenticate> + Send + 'static,
            F: Fn($($part,)* Incoming<R>) -> Answer + Clone + Send + Sync + 'static,
            Answer: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send + 'static,
            $($part: FromRequestParts<()> + Send + 'static,)*
        {
            fn add_to(self, mut router: Router) -> Router {
                for path in R::PATH_BUILDER.all_paths() {
                    router = self.clone().add_at(router, path);
                }
                router
            }

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn add_at(self, router: Router, path: &str) -> Router {
                let method = MethodFilter::try_from(R::METHOD).expect("ruma uses standard methods");
                let handler = move |$($part: $part,)* incoming: Incoming<R>| {
                    let answer = self($($part,)* incoming);
                    async move { respond(answer.await) }
                };
                router.route(&numbered(path), on(method, handler))
            }
        }
    };
}
handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
handler!(A B C D E G);

/// Parameters are named by their place: the router refuses two names for one place, and ruma's
/// endpoints do not always agree.
fn numbered(path: &str) -> String {
    let mut parts = path.split('{');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (n, part) in parts.enumerate() {
        let rest = part.split_once('}').map_or("", |(_, rest)| rest);
        numbered.push_str(&format!("{{{n}}}{rest}"));
    }
    numbered
}

fn respond(answer: Result<impl OutgoingResponseExt, ApiError>) -> Response {
    let answer = answer
        .and_then(|answer| answer.try_into_http_response::<Vec<u8>>().map_err(ApiError::internal));
    match answer {
        Ok(response) => response.map(Body::from),
        Err(error) => error.into_response(),
    }
}
