//! Who makes this request? One answer for each authentication scheme of the specification.
//!
//! An endpoint whose scheme is not here does not compile.

use std::future::Future;

use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};

use super::ApiError;
use crate::{app::App, users::Requester};

/// An authentication scheme that this server can check.
pub trait Authenticate: AuthScheme<Output: Send> {
    type Requester: Send;

    /// What the client is told when the credentials are not there.
    fn missing(_: Self::ExtractAuthenticationError) -> ApiError {
        ApiError::missing_token()
    }

    fn authenticate(
        app: &App,
        credentials: Self::Output,
    ) -> impl Future<Output = Result<Self::Requester, ApiError>> + Send;
}

impl Authenticate for NoAuthentication {
    type Requester = ();

    async fn authenticate(_: &App, (): ()) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for NoAccessToken {
    type Requester = ();

    async fn authenticate(_: &App, (): ()) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for AccessToken {
    type Requester = Requester;

    async fn authenticate(app: &App, token: String) -> Result<Requester, ApiError> {
        Ok(app.sessions.authenticate(&token).await?)
    }
}

impl Authenticate for AccessTokenOptional {
    type Requester = Option<Requester>;

    async fn authenticate(app: &App, token: Option<String>) -> Result<Option<Requester>, ApiError> {
        match token {
            Some(token) => Ok(Some(app.sessions.authenticate(&token).await?)),
            None => Ok(None),
        }
    }
}

/// The token, if there is one; application services are found by it.
impl Authenticate for AppserviceTokenOptional {
    type Requester = Option<String>;

    async fn authenticate(_: &App, token: Option<String>) -> Result<Option<String>, ApiError> {
        Ok(token)
    }
}
