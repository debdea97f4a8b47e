//! Of rooms and what goes on in them.

use http::StatusCode;

use super::{ApiError, remote::is_of_users};
use crate::{
    calls::{CallError, RecordingError},
    delayed_events::{DelayedError, LONGEST},
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
            CallError::NotOurs => Self::forbidden(text),
            CallError::ShortDelay => Self::bad_json(text),
            CallError::NoDelayedEvent => Self::not_found(text),
            CallError::Room(error) => error.into(),
            CallError::Store(error) => error.into(),
        }
    }
}

impl From<RecordingError> for ApiError {
    fn from(error: RecordingError) -> Self {
        // For administrators: they are told what is missing on this machine.
        let text = error.to_string();
        match error {
            RecordingError::NoRelay | RecordingError::NoCall | RecordingError::NotRunning => {
                Self::not_found(text)
            }
            RecordingError::Running => Self::new(StatusCode::CONFLICT, "M_UNKNOWN", text),
            RecordingError::TooMany(_) => {
                Self::new(StatusCode::FORBIDDEN, "M_RESOURCE_LIMIT_EXCEEDED", text)
            }
            RecordingError::Folder(_) | RecordingError::Failed(_) => {
                tracing::warn!(%text, "a call cannot be recorded");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", text)
            }
        }
    }
}

impl From<DelayedError> for ApiError {
    fn from(error: DelayedError) -> Self {
        let text = error.to_string();
        match error {
            DelayedError::NoDelay => Self::invalid_param(text),
            // As clients read it that are in use.
            DelayedError::TooLong => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", text)
                .with("org.matrix.msc4140.errcode", "M_MAX_DELAY_EXCEEDED")
                .with("org.matrix.msc4140.max_delay", LONGEST.as_millis() as u64),
            DelayedError::TooLarge => Self::too_large(),
            DelayedError::TooMany => Self::limit_exceeded(60_000),
            DelayedError::NotFound => Self::not_found(text),
            DelayedError::WasSent | DelayedError::WasCancelled | DelayedError::HadFailed(_) => {
                Self::new(StatusCode::CONFLICT, "M_UNKNOWN", text)
            }
            DelayedError::Closed => Self::forbidden(text),
            DelayedError::Send(error) => error.into(),
            DelayedError::Invite(error) => error.into(),
            DelayedError::Store(error) => error.into(),
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
