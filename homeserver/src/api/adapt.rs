//! Bodies in forms that clients send and ruma's types do not know.

use std::marker::PhantomData;

use ruma::api::{IncomingRequest, Metadata, client::uiaa::AuthType, error::DeserializationError};
use serde_json::{Map, Value, json};

/// The request `R`, of a body that `A` puts right first. No body at all is an empty object.
pub struct Adapted<R, A>(pub R, pub PhantomData<A>);

/// One way to put a body right.
pub trait Adapt {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error>;
}

impl<R: Metadata, A> Metadata for Adapted<R, A> {
    const METHOD: http::Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest, A: Adapt> IncomingRequest for Adapted<R, A> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let mut body = match request.body() {
            [] => Map::new(),
            body => serde_json::from_slice(body)?,
        };
        A::adapt(&mut body)?;
        let body = serde_json::to_vec(&body)?;
        let request = R::try_from_http_request_inner(request.map(|_| &body[..]), path_args)?;
        Ok(Self(request, PhantomData))
    }
}

/// The body may be left away. Most of ruma's requests read that so themselves.
pub struct OptionalBody;

impl Adapt for OptionalBody {
    fn adapt(_: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        Ok(())
    }
}

/// Old clients confirm who they are with `auth.user` instead of `auth.identifier`.
pub struct NamedByUser;

impl Adapt for NamedByUser {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        if let Some(Value::Object(auth)) = body.get_mut("auth")
            && auth.get("type").is_some_and(|kind| kind == AuthType::Password.as_str())
            && !auth.contains_key("identifier")
            && let Some(user) = auth.remove("user")
        {
            auth.insert("identifier".to_owned(), json!({ "type": "m.id.user", "user": user }));
        }
        Ok(())
    }
}

/// The body has a `type`: without one ruma's own decoding panics.
pub struct Typed;

impl Adapt for Typed {
    fn adapt(body: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
        match body.contains_key("type") {
            true => Ok(()),
            false => Err(serde::de::Error::missing_field("type")),
        }
    }
}
