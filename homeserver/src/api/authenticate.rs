//! Who makes this request? One answer for each authentication scheme of the specification.
//!
//! An endpoint whose scheme is not here does not compile.

use std::{future::Future, net::IpAddr};

use http::Method;
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};

use super::{ApiError, permission};
use crate::{app::App, users::Requester};

/// Which endpoint is called, and from where.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub method: Method,
    /// ruma's newest path of the endpoint: `/_matrix/client/v3/rooms/{room_id}/join`.
    pub path: &'a str,
    pub address: IpAddr,
}

/// An authentication scheme that this server can check.
pub trait Authenticate: AuthScheme<Output: Send> {
    type Requester: Send;

    /// What the client is told when the credentials are not there.
    fn missing(_: Self::ExtractAuthenticationError) -> ApiError {
        ApiError::missing_token()
    }

    fn authenticate(
        app: &App,
        call: Call<'_>,
        credentials: Self::Output,
    ) -> impl Future<Output = Result<Self::Requester, ApiError>> + Send;
}

impl Authenticate for NoAuthentication {
    type Requester = ();

    async fn authenticate(_: &App, _: Call<'_>, (): ()) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for NoAccessToken {
    type Requester = ();

    async fn authenticate(_: &App, _: Call<'_>, (): ()) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for AccessToken {
    type Requester = Requester;

    async fn authenticate(app: &App, call: Call<'_>, token: String) -> Result<Requester, ApiError> {
        let requester = app.sessions.authenticate(&token).await?;
        permission::check(&requester, &call)?;
        app.sessions.seen(&requester, call.address);
        Ok(requester)
    }
}

impl Authenticate for AccessTokenOptional {
    type Requester = Option<Requester>;

    async fn authenticate(
        app: &App,
        call: Call<'_>,
        token: Option<String>,
    ) -> Result<Option<Requester>, ApiError> {
        match token {
            Some(token) => Ok(Some(AccessToken::authenticate(app, call, token).await?)),
            None => Ok(None),
        }
    }
}

/// The token, if there is one; application services are found by it.
impl Authenticate for AppserviceTokenOptional {
    type Requester = Option<String>;

    async fn authenticate(
        _: &App,
        _: Call<'_>,
        token: Option<String>,
    ) -> Result<Option<String>, ApiError> {
        Ok(token)
    }
}
