//! Of accounts, devices, profiles, what is pushed and what is synced.

use http::StatusCode;

use super::ApiError;
use crate::{
    callers::Busy,
    devices::{AuthenticationError, DeviceError},
    invites::InviteError,
    push::{pushers::PusherError, rules::PushRuleError},
    rate_limit::LimitExceeded,
    reports::ReportError,
    sync::{FilterError, sliding::SlidingError},
    users::{AccountError, ProfileError, RegistrationError, UsernameError},
};

impl From<AuthenticationError> for ApiError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::UnknownToken { soft_logout } => Self::unknown_token(soft_logout),
            AuthenticationError::Locked => Self::user_locked(),
            AuthenticationError::Store(error) => error.into(),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::WrongPassword => Self::forbidden("Invalid user name or password"),
            AccountError::Deactivated => {
                Self::new(StatusCode::FORBIDDEN, "M_USER_DEACTIVATED", error.to_string())
            }
            AccountError::Locked => Self::user_locked(),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<RegistrationError> for ApiError {
    fn from(error: RegistrationError) -> Self {
        let status = StatusCode::BAD_REQUEST;
        match error {
            RegistrationError::Username(UsernameError::InUse) => {
                Self::new(status, "M_USER_IN_USE", error.to_string())
            }
            RegistrationError::Username(UsernameError::Invalid | UsernameError::TooLong) => {
                Self::new(status, "M_INVALID_USERNAME", error.to_string())
            }
            RegistrationError::Token => {
                Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", error.to_string())
            }
            RegistrationError::Store(error) => error.into(),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        let status = StatusCode::BAD_REQUEST;
        match error {
            ProfileError::KeyTooLarge => Self::new(status, "M_KEY_TOO_LARGE", error.to_string()),
            ProfileError::ProfileTooLarge => {
                Self::new(status, "M_PROFILE_TOO_LARGE", error.to_string())
            }
            ProfileError::InvalidKey(_) | ProfileError::InvalidValue(_) => {
                Self::invalid_param(error.to_string())
            }
            ProfileError::Store(error) => error.into(),
        }
    }
}

impl From<PushRuleError> for ApiError {
    fn from(error: PushRuleError) -> Self {
        match error {
            PushRuleError::NotFound => Self::not_found(error.to_string()),
            PushRuleError::Invalid(message) => Self::unknown_type(message),
            PushRuleError::TooMany => Self::too_large(),
            PushRuleError::Store(error) => error.into(),
        }
    }
}

impl From<PusherError> for ApiError {
    fn from(error: PusherError) -> Self {
        match error {
            PusherError::Invalid(_) | PusherError::TooMany => {
                Self::invalid_param(error.to_string())
            }
            PusherError::Store(error) => error.into(),
        }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::TooLarge => Self::too_large(),
            FilterError::Store(error) => error.into(),
        }
    }
}

impl From<SlidingError> for ApiError {
    fn from(error: SlidingError) -> Self {
        match error {
            SlidingError::UnknownPosition => {
                Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN_POS", error.to_string())
            }
            SlidingError::Invalid(_) => Self::invalid_param(error.to_string()),
            SlidingError::Room(error) => error.into(),
        }
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        Self::invalid_param(error.to_string())
    }
}

impl From<Busy> for ApiError {
    fn from(_: Busy) -> Self {
        Self::limit_exceeded(1_000)
    }
}

impl From<LimitExceeded> for ApiError {
    fn from(error: LimitExceeded) -> Self {
        // Rounded up: a client that waits this long finds the limit lifted.
        let nanoseconds = error.retry_after.as_nanos();
        Self::limit_exceeded(u64::try_from(nanoseconds.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl From<InviteError> for ApiError {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Blocked => {
                Self::new(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED", error.to_string())
            }
            InviteError::Store(error) => error.into(),
        }
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::TooLong => Self::too_large(),
            ReportError::Store(error) => error.into(),
        }
    }
}
