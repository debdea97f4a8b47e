//! Of rooms and what goes on in them.

use http::StatusCode;

use super::{ApiError, remote::is_of_users};
use crate::{
    calls::CallError,
    room::{
        RoomError, SendError, access::ReadError, alias::AliasError, create::CreateError,
        draft::DraftError, history, policy::PolicyError, space::SpaceError,
    },
    thread_subscriptions::SubscriptionError,
};

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::NoRelay => Self::not_found(text),
            CallError::Unauthorised => {
                let message = "The token, the user or the room is not right";
                Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", message)
            }
            CallError::TooLong(_) => Self::invalid_param(text),
            CallError::Full => Self::new(StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED", text),
            CallError::Room(error) => error.into(),
            CallError::Store(error) => error.into(),
        }
    }
}

impl From<DraftError> for ApiError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::NotCanonical(_) => Self::bad_json(error.to_string()),
            DraftError::TooLarge => Self::too_large(),
            DraftError::Signing(_) => Self::internal(error),
        }
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::MembersUnknown(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", error.to_string())
            }
            error => Self::internal(error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotMember | ReadError::Hidden => Self::forbidden(error.to_string()),
            ReadError::Room(error) => error.into(),
        }
    }
}

impl From<history::InvalidToken> for ApiError {
    fn from(error: history::InvalidToken) -> Self {
        Self::invalid_param(error.to_string())
    }
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        let bad_request = |errcode| Self::new(StatusCode::BAD_REQUEST, errcode, error.to_string());
        match error {
            SendError::Unauthorized(_) | SendError::BadState(_) => {
                Self::forbidden(error.to_string())
            }
            SendError::UnknownEvent | SendError::UnknownRoom => Self::not_found(error.to_string()),
            SendError::NotLeft | SendError::NoThreadRoot => bad_request("M_UNKNOWN"),
            SendError::DuplicateAnnotation => bad_request("M_DUPLICATE_ANNOTATION"),
            SendError::InvalidAlias(_) => bad_request("M_INVALID_PARAM"),
            SendError::BadAlias(_) => bad_request("M_BAD_ALIAS"),
            SendError::Remote(error) => error.into(),
            SendError::NotForGuests => Self::guest_access_forbidden(),
            SendError::Policy(PolicyError::Room(error)) => error.into(),
            SendError::Policy(PolicyError::Refused { status, errcode, message }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
                match errcode.filter(|errcode| is_of_users(errcode)) {
                    Some(errcode) if status != StatusCode::UNAUTHORIZED => {
                        Self::new(status, &errcode, message)
                    }
                    _ => Self::forbidden(message),
                }
            }
            SendError::Policy(error) => Self::forbidden(error.to_string()),
            SendError::Draft(error) => error.into(),
            SendError::Room(error) => error.into(),
        }
    }
}

impl From<SpaceError> for ApiError {
    fn from(error: SpaceError) -> Self {
        match error {
            SpaceError::Forbidden => Self::forbidden(error.to_string()),
            SpaceError::UnknownToken | SpaceError::Changed => {
                Self::invalid_param(error.to_string())
            }
            SpaceError::Room(error) => error.into(),
        }
    }
}

impl From<SubscriptionError> for ApiError {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::NotInThread => Self::new(
                StatusCode::BAD_REQUEST,
                "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD",
                error.to_string(),
            ),
            SubscriptionError::ConflictingUnsubscription => Self::new(
                StatusCode::CONFLICT,
                "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION",
                error.to_string(),
            ),
            SubscriptionError::TooMany => Self::too_large(),
            SubscriptionError::Store(error) => error.into(),
        }
    }
}

impl From<AliasError> for ApiError {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::Foreign(_) => Self::invalid_param(error.to_string()),
            AliasError::Taken(_) => Self::new(StatusCode::CONFLICT, "M_UNKNOWN", error.to_string()),
            AliasError::Unknown(_) => Self::not_found(error.to_string()),
            AliasError::Forbidden(reason) => Self::forbidden(reason),
            AliasError::Room(error) => error.into(),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let bad_request = |errcode| Self::new(StatusCode::BAD_REQUEST, errcode, error.to_string());
        match error {
            CreateError::UnsupportedVersion(_) => bad_request("M_UNSUPPORTED_ROOM_VERSION"),
            CreateError::AliasTaken => bad_request("M_ROOM_IN_USE"),
            CreateError::InvalidState(_) => bad_request("M_INVALID_ROOM_STATE"),
            CreateError::Send(error) => error.into(),
        }
    }
}
