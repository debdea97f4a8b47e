//! Of keys, their backup, and what devices send each other.

use http::StatusCode;
use ruma::api::client::keys::upload_signatures::v3::Failure;
use serde_json::json;

use super::ApiError;
use crate::{
    devices::DehydratedError,
    key_backup::BackupError,
    keys::{KeyError, OneTimeKeyError, SignatureError},
    to_device::ToDeviceError,
};

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let bad_request = |errcode| Self::new(StatusCode::BAD_REQUEST, errcode, error.to_string());
        match error {
            KeyError::Malformed(_) => Self::bad_json(error.to_string()),
            KeyError::TooLarge => Self::too_large(),
            KeyError::Signature => bad_request("M_INVALID_SIGNATURE"),
            KeyError::Changed => Self::invalid_param(error.to_string()),
            KeyError::InUse => Self::forbidden(error.to_string()),
            KeyError::NoMasterKey => Self::missing_param("master_key"),
            KeyError::NoDevice => Self::unknown_token(false),
            KeyError::OneTime(error) => error.into(),
            KeyError::Store(error) => error.into(),
        }
    }
}

impl From<OneTimeKeyError> for ApiError {
    fn from(error: OneTimeKeyError) -> Self {
        match error {
            OneTimeKeyError::Malformed(_) => Self::bad_json(error.to_string()),
            OneTimeKeyError::TooLarge => Self::too_large(),
            OneTimeKeyError::TooMany
            | OneTimeKeyError::TwoFallbackKeys
            | OneTimeKeyError::Exists { .. } => Self::invalid_param(error.to_string()),
            OneTimeKeyError::Store(error) => error.into(),
        }
    }
}

/// What is said of one signed object among others.
pub fn signature_failure(error: SignatureError) -> Failure {
    let errcode = match error {
        SignatureError::NotFound => "M_NOT_FOUND",
        SignatureError::OtherKey => "M_INVALID_PARAM",
        SignatureError::Invalid => "M_INVALID_SIGNATURE",
    };
    let failure = json!({ "errcode": errcode, "error": error.to_string() });
    serde_json::from_value(failure).expect("a failure is an errcode and an error")
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NotFound => Self::not_found(error.to_string()),
            BackupError::WrongVersion { current } => {
                let wrong = "M_WRONG_ROOM_KEYS_VERSION";
                Self::new(StatusCode::FORBIDDEN, wrong, error.to_string())
                    .with("current_version", current.to_string())
            }
            BackupError::Malformed(_) => Self::bad_json(error.to_string()),
            BackupError::Mismatch(_) => Self::invalid_param(error.to_string()),
            BackupError::TooLarge => Self::too_large(),
            BackupError::Store(error) => error.into(),
        }
    }
}

impl From<DehydratedError> for ApiError {
    fn from(error: DehydratedError) -> Self {
        match error {
            DehydratedError::NotFound => Self::not_found(error.to_string()),
            DehydratedError::OtherDevice | DehydratedError::InUse => {
                Self::forbidden(error.to_string())
            }
            DehydratedError::TooLarge => Self::too_large(),
            DehydratedError::Missing(_) => Self::bad_json(error.to_string()),
            DehydratedError::Keys(error) => error.into(),
            DehydratedError::Store(error) => error.into(),
        }
    }
}

impl From<ToDeviceError> for ApiError {
    fn from(error: ToDeviceError) -> Self {
        match error {
            ToDeviceError::NotAnObject => Self::bad_json(error.to_string()),
            ToDeviceError::TooLarge => Self::too_large(),
            ToDeviceError::EventType | ToDeviceError::TooMany => {
                Self::invalid_param(error.to_string())
            }
            ToDeviceError::Store(error) => error.into(),
        }
    }
}
