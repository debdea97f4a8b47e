//! What can go wrong, as far as a person can do something about it.

use std::time::Duration;

use matrix_sdk::{
    ClientBuildError, HttpError, IdParseError,
    encryption::{
        backups::futures::SteadyStateError, identities::RequestVerificationError,
        recovery::RecoveryError, secret_storage::SecretStorageError,
    },
    event_cache::EventCacheError,
    media::MediaError,
    ruma::api::error::{Error as ApiError, ErrorBody, FromHttpResponseError, RetryAfter},
};
use matrix_sdk_ui::{room_list_service, sync_service, timeline};

/// What failed. [`Error::kind`] is what to say to a person; the `Display` text is for the log.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("no answer in time")]
    Timeout,
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server said no.
    #[error("{errcode}: {message}")]
    Refused {
        status: u16,
        /// `M_FORBIDDEN`; empty if the answer was none of Matrix.
        errcode: String,
        message: String,
        /// With `M_LIMIT_EXCEEDED`, if the server says so.
        retry_after: Option<Duration>,
    },
    #[error("{0:?}")]
    Kind(ErrorKind),
    #[error("the store of this device: {0}")]
    Store(String),
    #[error("{0}")]
    Other(String),
}

/// What to tell a person, in their language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No network, or the server is away. Worth another try.
    Offline,
    /// The server took too long. Worth another try.
    Timeout,
    /// What was typed is no server, or the server speaks no Matrix.
    NotAHomeserver,
    /// The server is too old: it has no sliding sync.
    ServerTooOld,
    /// User name or password is wrong.
    WrongPassword,
    /// The account exists but is closed.
    AccountClosed,
    UserNameTaken,
    InvalidUserName,
    WeakPassword,
    RegistrationClosed,
    /// The server lets in who has a registration token.
    TokenNeeded,
    WrongToken,
    /// The server wants something that this client cannot show (a captcha, for example).
    RegistrationElsewhere,
    /// The access token is no longer valid: sign in again.
    SessionLost,
    /// Too many requests: wait a while.
    SlowDown,
    /// One may not do that.
    Forbidden,
    NotFound,
    /// A file is larger than the server takes, or a text larger than an event may be.
    TooLarge,
    /// The server's store is full, or the user's share of it.
    QuotaExceeded,
    WrongRecoveryKey,
    /// No recovery has been set up, so that there is nothing to recover from.
    NoRecovery,
    /// What was typed is no user ID, room address or link.
    InvalidAddress,
    /// The other one has no end-to-end encryption identity: they have not signed in yet.
    NoIdentity,
    /// This device's store cannot be opened or written; a private window, for example.
    Storage,
    /// A person stopped it.
    Cancelled,
    /// Not in this program, or not on this platform.
    NotSupported,
    /// Anything else; [`Error`]'s text has the details.
    Other,
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout => ErrorKind::Timeout,
            Self::Unreachable(_) => ErrorKind::Offline,
            Self::Refused { status, errcode, .. } => refusal(*status, errcode),
            Self::Kind(kind) => *kind,
            Self::Store(_) => ErrorKind::Storage,
            Self::Other(_) => ErrorKind::Other,
        }
    }

    /// Might the same call succeed later?
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::SlowDown)
    }

    /// `M_FORBIDDEN` means something more precise here.
    pub(crate) fn where_forbidden_means(self, kind: ErrorKind) -> Self {
        match &self {
            Self::Refused { errcode, .. } if errcode == "M_FORBIDDEN" => Self::Kind(kind),
            _ => self,
        }
    }

    pub(crate) fn store(error: impl std::fmt::Display) -> Self {
        Self::Store(error.to_string())
    }

    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

fn refusal(status: u16, errcode: &str) -> ErrorKind {
    match errcode {
        "M_USER_IN_USE" | "M_EXCLUSIVE" => ErrorKind::UserNameTaken,
        "M_INVALID_USERNAME" => ErrorKind::InvalidUserName,
        "M_WEAK_PASSWORD" => ErrorKind::WeakPassword,
        "M_USER_DEACTIVATED" | "M_USER_SUSPENDED" | "M_USER_LOCKED" => ErrorKind::AccountClosed,
        "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => ErrorKind::SessionLost,
        "M_LIMIT_EXCEEDED" => ErrorKind::SlowDown,
        "M_FORBIDDEN" | "M_UNAUTHORIZED" | "M_GUEST_ACCESS_FORBIDDEN" => ErrorKind::Forbidden,
        "M_NOT_FOUND" => ErrorKind::NotFound,
        "M_TOO_LARGE" => ErrorKind::TooLarge,
        "M_RESOURCE_LIMIT_EXCEEDED" | "M_USER_LIMIT_EXCEEDED" => ErrorKind::QuotaExceeded,
        _ => match status {
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::SlowDown,
            502..=504 => ErrorKind::Offline,
            _ => ErrorKind::Other,
        },
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<&ApiError> for Error {
    fn from(error: &ApiError) -> Self {
        let (mut errcode, mut message, mut retry_after) = Default::default();
        if let ErrorBody::Standard(body) = &error.body {
            errcode = body.kind.errcode().to_string();
            message = body.message.clone();
            if let matrix_sdk::ruma::api::error::ErrorKind::LimitExceeded(limit) = &body.kind
                && let Some(RetryAfter::Delay(delay)) = &limit.retry_after
            {
                retry_after = Some(*delay);
            }
        }
        Self::Refused { status: error.status_code.as_u16(), errcode, message, retry_after }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        (&error).into()
    }
}

impl From<&HttpError> for Error {
    fn from(error: &HttpError) -> Self {
        if let Some(refusal) = error.as_client_api_error() {
            return refusal.into();
        }
        match error {
            HttpError::Reqwest(error) => Self::Unreachable(error.to_string()),
            HttpError::Cached(error) => (&**error).into(),
            // Whatever answers, it is not a Matrix server that is well.
            HttpError::Api(error) => match &**error {
                FromHttpResponseError::Deserialization(error) => Self::other(error),
                error => Self::other(error),
            },
            error => Self::other(error),
        }
    }
}

impl From<matrix_sdk::Error> for Error {
    fn from(error: matrix_sdk::Error) -> Self {
        (&error).into()
    }
}

impl From<&matrix_sdk::Error> for Error {
    fn from(error: &matrix_sdk::Error) -> Self {
        use matrix_sdk::Error as Sdk;
        match error {
            Sdk::Http(error) => (&**error).into(),
            Sdk::Timeout => Self::Timeout,
            Sdk::Identifier(_) | Sdk::Url(_) => ErrorKind::InvalidAddress.into(),
            Sdk::Media(MediaError::MediaTooLargeToUpload { .. }) => ErrorKind::TooLarge.into(),
            Sdk::StateStore(_)
            | Sdk::CryptoStoreError(_)
            | Sdk::EventCacheStore(_)
            | Sdk::MediaStore(_) => Self::Store(error.to_string()),
            error => Self::other(error),
        }
    }
}

impl From<ClientBuildError> for Error {
    fn from(error: ClientBuildError) -> Self {
        match error {
            ClientBuildError::Http(error) => error.into(),
            ClientBuildError::MissingHomeserver
            | ClientBuildError::InvalidServerName
            | ClientBuildError::AutoDiscovery(_)
            | ClientBuildError::Url(_) => ErrorKind::NotAHomeserver.into(),
            ClientBuildError::SlidingSyncVersion(_) => ErrorKind::ServerTooOld.into(),
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<IdParseError> for Error {
    fn from(_: IdParseError) -> Self {
        ErrorKind::InvalidAddress.into()
    }
}

impl From<timeline::Error> for Error {
    fn from(error: timeline::Error) -> Self {
        match error {
            timeline::Error::EventNotInTimeline(_) => ErrorKind::NotFound.into(),
            timeline::Error::RedactError(timeline::RedactError::HttpError(error)) => error.into(),
            timeline::Error::EventCacheError(error) => error.into(),
            error => Self::other(error),
        }
    }
}

impl From<EventCacheError> for Error {
    fn from(error: EventCacheError) -> Self {
        match error {
            EventCacheError::PaginationError(error) => (&*error).into(),
            error => Self::other(error),
        }
    }
}

impl From<RecoveryError> for Error {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Sdk(error) => error.into(),
            RecoveryError::SecretStorage(error) => error.into(),
            error => Self::other(error),
        }
    }
}

impl From<SecretStorageError> for Error {
    fn from(error: SecretStorageError) -> Self {
        match error {
            SecretStorageError::Sdk(error) => error.into(),
            SecretStorageError::SecretStorageKey(_) => ErrorKind::WrongRecoveryKey.into(),
            SecretStorageError::MissingKeyInfo { .. } => ErrorKind::NoRecovery.into(),
            error => Self::other(error),
        }
    }
}

macro_rules! others {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::other(error)
            }
        }
    )*};
}

others!(
    RequestVerificationError,
    SteadyStateError,
    room_list_service::Error,
    sync_service::Error,
    serde_json::Error,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, errcode: &str) -> Error {
        let (errcode, message) = (errcode.to_owned(), String::new());
        Error::Refused { status, errcode, message, retry_after: None }
    }

    #[test]
    fn a_refusal_is_told_by_its_code_and_else_by_its_status() {
        assert_eq!(refused(429, "M_LIMIT_EXCEEDED").kind(), ErrorKind::SlowDown);
        assert_eq!(refused(413, "").kind(), ErrorKind::TooLarge);
        assert_eq!(refused(502, "").kind(), ErrorKind::Offline);
        assert_eq!(refused(400, "M_USER_IN_USE").kind(), ErrorKind::UserNameTaken);
        assert_eq!(refused(418, "ORG.EXAMPLE.TEAPOT").kind(), ErrorKind::Other);
    }

    #[test]
    fn forbidden_means_a_wrong_password_where_one_signs_in() {
        let error = refused(403, "M_FORBIDDEN");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        let error = error.where_forbidden_means(ErrorKind::WrongPassword);
        assert_eq!(error.kind(), ErrorKind::WrongPassword);
        assert!(!error.is_retryable());
        let error =
            refused(429, "M_LIMIT_EXCEEDED").where_forbidden_means(ErrorKind::WrongPassword);
        assert!(error.is_retryable());
    }
}
