//! Signing in and out.

use ruma::{
    OwnedUserId,
    api::client::{
        session::{
            get_login_token,
            get_login_types::{
                self,
                v3::{LoginType, PasswordLoginType, TokenLoginType},
            },
            login::{
                self,
                v3::{LoginInfo, Password},
            },
            logout, logout_all, refresh_token,
        },
        uiaa::UserIdentifier,
    },
};

use crate::{
    api::{
        ApiError,
        adapt::{Adapted, NamedByUser, Typed},
        incoming::{ClientAddress, Incoming, State},
        uiaa::Uiaa,
    },
    devices::{AuthenticationError, LOGIN_TOKEN_LIFETIME, SessionRequest, Sessions},
    rate_limit::{Action, RateLimiter},
    users::{AccountError, Users},
};

/// `GET /_matrix/client/v3/login`
pub async fn get_login_types(
    _: Incoming<get_login_types::v3::Request>,
) -> Result<get_login_types::v3::Response, ApiError> {
    let mut token = TokenLoginType::new();
    token.get_login_token = true;
    let flows = vec![LoginType::Password(PasswordLoginType::new()), LoginType::Token(token)];
    Ok(get_login_types::v3::Response::new(flows))
}

/// `POST /_matrix/client/v3/login`
pub async fn login(
    ClientAddress(address): ClientAddress,
    State(limits): State<RateLimiter>,
    State(users): State<Users>,
    State(sessions): State<Sessions>,
    Incoming { requester: token, request: Adapted(request, _) }: Incoming<
        Adapted<login::v3::Request, Typed>,
    >,
) -> Result<login::v3::Response, ApiError> {
    limits.check(Action::Login, address)?;
    Sessions::check_names(
        request.device_id.as_deref(),
        request.initial_device_display_name.as_deref(),
    )?;
    let user_id = match request.login_info {
        LoginInfo::Password(password) => by_password(&limits, &users, password).await?,
        LoginInfo::Token(token) => by_token(&users, &sessions, &token.token).await?,
        // No application service is known here, and so no token of one.
        LoginInfo::ApplicationService(_) => {
            return Err(match token {
                Some(_) => ApiError::forbidden("Not the token of an application service"),
                None => ApiError::missing_token(),
            });
        }
        _ => return Err(ApiError::unknown_type("Unknown login type")),
    };
    let session = SessionRequest {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    };
    let session = sessions.create(&user_id, session).await?;
    let mut response = login::v3::Response::new(user_id, session.access_token, session.device_id);
    response.refresh_token = session.refresh_token;
    response.expires_in = session.expires_in;
    Ok(response)
}

async fn by_password(
    limits: &RateLimiter,
    users: &Users,
    login: Password,
) -> Result<OwnedUserId, ApiError> {
    #[allow(deprecated, reason = "old clients send `user` instead of `identifier`")]
    let name = match login.identifier {
        Some(UserIdentifier::Matrix(id)) => Some(id.user),
        // Nobody has an email address or a phone number here: as an unknown user.
        Some(_) => None,
        None if login.user.is_some() => login.user,
        None if login.address.is_some() => None,
        None => return Err(ApiError::missing_param("identifier")),
    };
    let user_id = match &name {
        Some(name) => users.find(name).await?,
        None => None,
    };
    if let Some(user_id) = &user_id {
        limits.peek(Action::FailedLogin, user_id)?;
    }
    let checked = users.check_password(user_id.as_deref(), login.password).await;
    if let (Err(AccountError::WrongPassword), Some(user_id)) = (&checked, &user_id) {
        limits.check(Action::FailedLogin, user_id)?;
    }
    checked?;
    user_id.ok_or_else(|| AccountError::WrongPassword.into())
}

async fn by_token(
    users: &Users,
    sessions: &Sessions,
    token: &str,
) -> Result<OwnedUserId, ApiError> {
    let user_id = sessions.use_login_token(token).await.map_err(|error| match error {
        AuthenticationError::UnknownToken { .. } => {
            ApiError::forbidden("The login token is invalid, used or expired")
        }
        error => error.into(),
    })?;
    match users.get(&user_id).await? {
        Some(user) if user.locked => Err(AccountError::Locked.into()),
        Some(user) if !user.deactivated => Ok(user_id),
        _ => Err(AccountError::Deactivated.into()),
    }
}

/// `POST /_matrix/client/v1/login/get_token`
pub async fn get_login_token(
    State(limits): State<RateLimiter>,
    State(uiaa): State<Uiaa>,
    State(sessions): State<Sessions>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<get_login_token::v1::Request, NamedByUser>,
    >,
) -> Result<get_login_token::v1::Response, ApiError> {
    limits.check(Action::Login, &requester.user_id)?;
    uiaa.confirm(&requester, "get_login_token", &(), request.auth).await?;
    let token = sessions.create_login_token(&requester.user_id).await?;
    Ok(get_login_token::v1::Response::new(LOGIN_TOKEN_LIFETIME, token))
}

/// `POST /_matrix/client/v3/refresh`
pub async fn refresh_token(
    ClientAddress(address): ClientAddress,
    State(limits): State<RateLimiter>,
    State(sessions): State<Sessions>,
    Incoming { request, .. }: Incoming<refresh_token::v3::Request>,
) -> Result<refresh_token::v3::Response, ApiError> {
    limits.check(Action::Login, address)?;
    let session = sessions.refresh(&request.refresh_token).await?;
    let mut response = refresh_token::v3::Response::new(session.access_token);
    response.refresh_token = session.refresh_token;
    response.expires_in_ms = session.expires_in;
    Ok(response)
}

/// `POST /_matrix/client/v3/logout`
pub async fn logout(
    State(sessions): State<Sessions>,
    Incoming { requester, .. }: Incoming<logout::v3::Request>,
) -> Result<logout::v3::Response, ApiError> {
    sessions.delete(&requester.user_id, &[requester.device_id]).await?;
    Ok(logout::v3::Response::new())
}

/// `POST /_matrix/client/v3/logout/all`
pub async fn logout_all(
    State(sessions): State<Sessions>,
    Incoming { requester, .. }: Incoming<logout_all::v3::Request>,
) -> Result<logout_all::v3::Response, ApiError> {
    sessions.delete_all_but(&requester.user_id, None).await?;
    Ok(logout_all::v3::Response::new())
}
