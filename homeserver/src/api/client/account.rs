//! Making an account and managing it.

use axum::extract::FromRef;
use ruma::{
    OwnedUserId,
    api::client::account::{
        ThirdPartyIdRemovalStatus, change_password, check_registration_token_validity, deactivate,
        get_3pids, get_username_availability,
        register::{self, LoginType, RegistrationKind},
        request_openid_token, whoami,
    },
    authentication::TokenType,
};

use crate::{
    api::{
        ApiError,
        adapt::{Adapted, NamedByUser},
        incoming::{ClientAddress, Incoming, State},
        uiaa::{self, Uiaa},
    },
    app::App,
    devices::{SessionRequest, Sessions},
    openid::{self, OpenId},
    rate_limit::{Action, RateLimiter},
    team::Team,
    users::{NewAccount, Users},
};

/// The longest password in bytes: hashing takes time in proportion.
const PASSWORD: usize = 1024;

/// `POST /_matrix/client/v3/register`
pub async fn register(
    ClientAddress(address): ClientAddress,
    State(team): State<Team>,
    State(limits): State<RateLimiter>,
    State(parts): State<Registration>,
    Incoming { requester: token, request }: Incoming<register::v3::Request>,
) -> Result<register::v3::Response, ApiError> {
    if matches!(request.login_type, Some(LoginType::ApplicationService)) {
        // No application service is known here, and so no token of one.
        return Err(match token {
            Some(_) => ApiError::unknown_token(false),
            None => ApiError::missing_token(),
        });
    }
    limits.check(Action::Registration, address)?;
    let registration = &team.config().registration;
    match &request.kind {
        RegistrationKind::Guest if registration.guests => return parts.guest(request).await,
        RegistrationKind::Guest => {
            return Err(ApiError::forbidden("Guests are not allowed on this server"));
        }
        RegistrationKind::User => {}
        _ => return Err(ApiError::invalid_param("kind is \"user\" or \"guest\"")),
    }
    uiaa::registration_flows(registration, address)?;
    Sessions::check_names(
        request.device_id.as_deref(),
        request.initial_device_display_name.as_deref(),
    )?;
    let guest = match &request.guest_access_token {
        Some(token) => Some(parts.upgraded_guest(token, request.username.as_deref()).await?),
        None => None,
    };
    let user_id = match (&guest, &request.username) {
        (None, Some(username)) => Some(parts.users.free_user_id(username).await?),
        _ => None,
    };
    if let Some(password) = &request.password {
        check_password(password)?;
    } else if request.auth.is_some() {
        return Err(ApiError::missing_param("password"));
    }
    let registration_token = parts.uiaa.admit(registration, address, request.auth.clone()).await?;
    let password = request.password.clone();
    let account = NewAccount { user_id, password, registration_token, ..NewAccount::default() };
    let user_id = match guest {
        Some(guest) => parts.upgrade(guest, account).await?,
        None => parts.users.register(account).await?,
    };
    if request.inhibit_login {
        return Ok(register::v3::Response::new(user_id));
    }
    parts.sign_in(user_id, request).await
}

/// What making an account takes.
pub struct Registration {
    users: Users,
    sessions: Sessions,
    uiaa: Uiaa,
}

impl FromRef<App> for Registration {
    fn from_ref(app: &App) -> Self {
        Self { users: app.users.clone(), sessions: app.sessions.clone(), uiaa: Uiaa::from_ref(app) }
    }
}

impl Registration {
    /// An account without name and password, good for this one device. Of the body only the
    /// device's display name counts.
    async fn guest(
        &self,
        request: register::v3::Request,
    ) -> Result<register::v3::Response, ApiError> {
        let display_name = request.initial_device_display_name;
        Sessions::check_names(None, display_name.as_deref())?;
        let account = NewAccount { guest: true, ..NewAccount::default() };
        let user_id = self.users.register(account).await?;
        let mut request = register::v3::Request::new();
        request.initial_device_display_name = display_name;
        self.sign_in(user_id, request).await
    }

    /// The guest who wants to become a user. They keep their name, and say it.
    async fn upgraded_guest(
        &self,
        token: &str,
        username: Option<&str>,
    ) -> Result<OwnedUserId, ApiError> {
        let guest = self.sessions.authenticate(token).await?;
        if !guest.guest || guest.locked || username != Some(guest.user_id.localpart()) {
            let message = "Not the access token of a guest with this user name";
            return Err(ApiError::forbidden(message));
        }
        Ok(guest.user_id)
    }

    async fn upgrade(
        &self,
        guest: OwnedUserId,
        account: NewAccount,
    ) -> Result<OwnedUserId, ApiError> {
        self.users.upgrade(&guest, account).await?;
        self.sessions.account_changed(&guest).await?;
        Ok(guest)
    }

    async fn sign_in(
        &self,
        user_id: OwnedUserId,
        request: register::v3::Request,
    ) -> Result<register::v3::Response, ApiError> {
        let session = SessionRequest {
            device_id: request.device_id,
            display_name: request.initial_device_display_name,
            refreshable: request.refresh_token,
        };
        let session = self.sessions.create(&user_id, session).await?;
        let mut response = register::v3::Response::new(user_id);
        response.access_token = Some(session.access_token);
        response.device_id = Some(session.device_id);
        response.refresh_token = session.refresh_token;
        response.expires_in = session.expires_in;
        Ok(response)
    }
}

/// `GET /_matrix/client/v3/register/available`
pub async fn get_username_availability(
    ClientAddress(address): ClientAddress,
    State(team): State<Team>,
    State(limits): State<RateLimiter>,
    State(users): State<Users>,
    Incoming { request, .. }: Incoming<get_username_availability::v3::Request>,
) -> Result<get_username_availability::v3::Response, ApiError> {
    limits.check(Action::Registration, address)?;
    // Whom it does not take, it does not tell either who is here.
    uiaa::registration_flows(&team.config().registration, address)?;
    users.free_user_id(&request.username).await?;
    Ok(get_username_availability::v3::Response::new(true))
}

/// `GET /_matrix/client/v1/register/m.login.registration_token/validity`
pub async fn check_registration_token_validity(
    ClientAddress(address): ClientAddress,
    State(team): State<Team>,
    State(limits): State<RateLimiter>,
    State(users): State<Users>,
    Incoming { request, .. }: Incoming<check_registration_token_validity::v1::Request>,
) -> Result<check_registration_token_validity::v1::Response, ApiError> {
    limits.check(Action::Registration, address)?;
    uiaa::registration_flows(&team.config().registration, address)?;
    let valid = users.is_valid_token(&request.token).await?;
    Ok(check_registration_token_validity::v1::Response::new(valid))
}

/// `GET /_matrix/client/v3/account/whoami`
pub async fn whoami(
    Incoming { requester, .. }: Incoming<whoami::v3::Request>,
) -> Result<whoami::v3::Response, ApiError> {
    let mut response = whoami::v3::Response::new(requester.user_id, requester.guest);
    response.device_id = Some(requester.device_id);
    Ok(response)
}

/// `GET /_matrix/client/v3/account/3pid`: nobody has an email address or a phone number here.
pub async fn get_3pids(
    _: Incoming<get_3pids::v3::Request>,
) -> Result<get_3pids::v3::Response, ApiError> {
    Ok(get_3pids::v3::Response::new(Vec::new()))
}

/// `POST /_matrix/client/v3/account/password`
///
/// Only for those who are signed in: this server sends no emails with which others could confirm.
pub async fn change_password(
    State(uiaa): State<Uiaa>,
    State(users): State<Users>,
    State(sessions): State<Sessions>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<change_password::v3::Request, NamedByUser>,
    >,
) -> Result<change_password::v3::Response, ApiError> {
    let requester = requester.ok_or_else(ApiError::missing_token)?;
    check_password(&request.new_password)?;
    let details = (&request.new_password, request.logout_devices);
    uiaa.confirm(&requester, "change_password", &details, request.auth).await?;
    users.set_password(&requester.user_id, request.new_password).await?;
    if request.logout_devices {
        sessions.delete_all_but(&requester.user_id, Some(&requester.device_id)).await?;
    }
    Ok(change_password::v3::Response::new())
}

/// `POST /_matrix/client/v3/account/deactivate`
///
/// The user leaves all rooms, nobody can sign in to the account again, and its name stays taken.
pub async fn deactivate(
    State(uiaa): State<Uiaa>,
    State(app): State<App>,
    Incoming { requester, request: Adapted(request, _) }: Incoming<
        Adapted<deactivate::v3::Request, NamedByUser>,
    >,
) -> Result<deactivate::v3::Response, ApiError> {
    let requester = requester.ok_or_else(ApiError::missing_token)?;
    uiaa.confirm(&requester, "deactivate", &request.erase, request.auth).await?;
    app.deactivate(&requester.user_id, request.erase).await?;
    Ok(deactivate::v3::Response::new(ThirdPartyIdRemovalStatus::Success))
}

pub(in crate::api) fn check_password(password: &str) -> Result<(), ApiError> {
    match password.len() {
        0 => Err(ApiError::weak_password("The password is empty")),
        1..=PASSWORD => Ok(()),
        _ => Err(ApiError::invalid_param(format!("A password has at most {PASSWORD} bytes"))),
    }
}

/// `POST /_matrix/client/v3/user/{userId}/openid/request_token`
pub async fn request_openid_token(
    State(team): State<Team>,
    State(tokens): State<OpenId>,
    Incoming { requester, request }: Incoming<request_openid_token::v3::Request>,
) -> Result<request_openid_token::v3::Response, ApiError> {
    if requester.user_id != request.user_id {
        return Err(ApiError::forbidden("You can ask for a token of your own alone"));
    }
    Ok(request_openid_token::v3::Response::new(
        tokens.token(&request.user_id),
        TokenType::Bearer,
        team.server_name().to_owned(),
        openid::LIFETIME,
    ))
}
