//! Who makes this request? One answer for each authentication scheme of the specification.
//!
//! An endpoint whose scheme is not here does not compile.

use std::{future::Future, net::IpAddr};

use http::Method;
use ruma::{
    OwnedServerName,
    api::{
        auth_scheme::{
            AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
            NoAuthentication,
        },
        federation::authentication::{ServerSignatures, XMatrix, XMatrixExtractError},
    },
};

use super::{ApiError, permission, unread::Unread};
use crate::{
    app::App,
    rate_limit::{Action, Who},
    users::Requester,
};

/// Bytes of a request of another server: a full transaction, 50 PDUs and 100 EDUs of 64 KiB, and more.
const FEDERATION_BODY: u64 = 200 * 64 * 1024;

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

    /// Nobody's body is read before it is known who sends it, as far as the head tells. A scheme that
    /// needs the body reads it after that.
    fn authenticate(
        app: &App,
        call: Call<'_>,
        credentials: Self::Output,
        request: &mut Unread,
    ) -> impl Future<Output = Result<Self::Requester, ApiError>> + Send;
}

impl Authenticate for NoAuthentication {
    type Requester = ();

    async fn authenticate(_: &App, _: Call<'_>, (): (), _: &mut Unread) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for NoAccessToken {
    type Requester = ();

    async fn authenticate(_: &App, _: Call<'_>, (): (), _: &mut Unread) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Authenticate for AccessToken {
    type Requester = Requester;

    async fn authenticate(
        app: &App,
        call: Call<'_>,
        token: String,
        _: &mut Unread,
    ) -> Result<Requester, ApiError> {
        by_token(app, call, &token).await
    }
}

/// Whose access token this is.
pub async fn by_token(app: &App, call: Call<'_>, token: &str) -> Result<Requester, ApiError> {
    let requester = app.sessions.authenticate(token).await?;
    permission::check(&requester, &call)?;
    app.sessions.seen(&requester, call.address);
    Ok(requester)
}

impl Authenticate for AccessTokenOptional {
    type Requester = Option<Requester>;

    async fn authenticate(
        app: &App,
        call: Call<'_>,
        token: Option<String>,
        _: &mut Unread,
    ) -> Result<Option<Requester>, ApiError> {
        match token {
            Some(token) => Ok(Some(by_token(app, call, &token).await?)),
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
        _: &mut Unread,
    ) -> Result<Option<String>, ApiError> {
        Ok(token)
    }
}

/// Another server, by its signature of the whole request.
/// [Spec](https://spec.matrix.org/latest/server-server-api/#request-authentication)
impl Authenticate for ServerSignatures {
    type Requester = OwnedServerName;

    fn missing(error: XMatrixExtractError) -> ApiError {
        ApiError::unauthorized(error.to_string())
    }

    async fn authenticate(
        app: &App,
        call: Call<'_>,
        x_matrix: XMatrix,
        request: &mut Unread,
    ) -> Result<OwnedServerName, ApiError> {
        let ours = app.team.server_name();
        if x_matrix.destination.as_deref().is_some_and(|destination| destination != ours) {
            return Err(ApiError::unauthorized("The request is for another server"));
        }
        if !app.remotes.permits(&x_matrix.origin) {
            return Err(ApiError::not_federating(&x_matrix.origin));
        }
        // Until the signature is checked anybody may claim to be that server: the address pays.
        let unproven = app.callers.enter(call.address.into())?;
        let request_with_body = request.read(FEDERATION_BODY).await?;
        let origin = app.key_ring.verify_request(&x_matrix, request_with_body, ours).await?;
        drop(unproven);
        app.federation_out.heard_of(&origin);
        app.rate_limits.check(Action::Federation, Who::Server(&origin))?;
        request.hold(app.callers.enter(origin.clone().into())?);
        Ok(origin)
    }
}
