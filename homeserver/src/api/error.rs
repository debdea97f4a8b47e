//! Which status and errcode does each error become? Nowhere else are they chosen.

use axum::{
    Json,
    extract::rejection::{PathRejection, QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use kith_federation::{key_ring::VerifyError, remotes::FederationError};
use kith_media_store::preview::PreviewError;
use ruma::{
    ServerName,
    api::{
        client::keys::upload_signatures::v3::Failure,
        error::{DeserializationError, FromHttpRequestError},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    callers::Busy,
    calls::CallError,
    devices::{AuthenticationError, DehydratedError, DeviceError},
    identity::IdentityError,
    invites::InviteError,
    key_backup::BackupError,
    keys::{KeyError, OneTimeKeyError, SignatureError},
    media::{MediaError, remote::RemoteMediaError},
    pictures::PictureError,
    push::{pushers::PusherError, rules::PushRuleError},
    rate_limit::LimitExceeded,
    reports::ReportError,
    room::{
        RoomError, SendError, access::ReadError, alias::AliasError, create::CreateError,
        draft::DraftError, handshake::HandshakeError, history, policy::PolicyError,
        remote::RemoteError, server_view::ServerReadError, space::SpaceError,
    },
    sync::{FilterError, sliding::SlidingError},
    third_party_invites::ThirdPartyError,
    thread_subscriptions::SubscriptionError,
    to_device::ToDeviceError,
    users::{AccountError, ProfileError, RegistrationError, UsernameError},
};

/// An error response: `{"errcode": ..., "error": ...}` and what the errcode adds to it.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#standard-error-response)
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after_ms: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, errcode: &str, message: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("errcode".to_owned(), errcode.into());
        body.insert("error".to_owned(), message.into().into());
        Self { status, body, retry_after_ms: None }
    }

    /// Adds a field beside `errcode` and `error`.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.insert(field.to_owned(), value.into());
        self
    }

    /// A response of another shape than the standard error: what is still to do of a user-interactive
    /// authentication, with the errcode and the error of a stage that failed.
    pub fn uiaa(mut body: Map<String, Value>, failed: Option<Self>) -> Self {
        if let Some(failed) = failed {
            body.extend(failed.body);
        }
        Self { status: StatusCode::UNAUTHORIZED, body, retry_after_ms: None }
    }

    /// What stands in the place of an answer among others.
    pub fn into_body(self) -> Value {
        self.body.into()
    }

    pub fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Unrecognized request")
    }

    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "Wrong method for this path")
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message)
    }

    pub fn bad_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_BAD_JSON", message)
    }

    pub fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", message)
    }

    pub fn invalid_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", message)
    }

    pub fn missing_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", message)
    }

    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "Missing access token")
    }

    /// Another server's request is not signed as it must be.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", message)
    }

    /// The team's policy is not to speak with this server.
    pub fn not_federating(server: &ServerName) -> Self {
        Self::forbidden(format!("This server does not federate with {server}"))
    }

    pub fn user_locked() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_USER_LOCKED", "This account has been locked")
            .with("soft_logout", true)
    }

    pub fn user_suspended() -> Self {
        let message = "You cannot perform this action while suspended";
        Self::new(StatusCode::FORBIDDEN, "M_USER_SUSPENDED", message)
    }

    pub fn guest_access_forbidden() -> Self {
        let message = "Guests cannot do this";
        Self::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", message)
    }

    pub fn weak_password(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_WEAK_PASSWORD", message)
    }

    /// For requests with a type that this server does not know.
    pub fn unknown_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", message)
    }

    pub fn unknown_token(soft_logout: bool) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "Unknown access token")
            .with("soft_logout", soft_logout)
    }

    /// Third parties show it to ask who somebody is.
    pub fn unknown_openid_token() -> Self {
        let message = "Access token unknown or expired";
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message)
    }

    /// Account data that only this server may write.
    pub fn server_controlled() -> Self {
        let message = "This type is set by other endpoints";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", message)
    }

    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "The request is too large")
    }

    pub fn limit_exceeded(retry_after_ms: u64) -> Self {
        let mut error =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "Too many requests")
                .with("retry_after_ms", retry_after_ms);
        error.retry_after_ms = Some(retry_after_ms);
        error
    }

    /// What only other servers know.
    pub fn no_federation() -> Self {
        let reason = "This server does not speak with other servers yet";
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", reason)
    }

    /// Why another process did not give what was asked for.
    pub fn remote_failure(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", reason)
    }

    /// Logs the cause, which the client does not see.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed on our side");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "Internal server error")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Value::Object(self.body))).into_response();
        if let Some(ms) = self.retry_after_ms {
            // Whole seconds, rounded up: a client that waits this long finds the limit lifted.
            let seconds = HeaderValue::from(ms.div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

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

impl From<kith_store::Error> for ApiError {
    fn from(error: kith_store::Error) -> Self {
        Self::internal(error)
    }
}

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

impl From<Busy> for ApiError {
    fn from(_: Busy) -> Self {
        Self::limit_exceeded(1_000)
    }
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::NotAllowed(server) => Self::not_federating(&server),
            VerifyError::Store(_) => Self::internal(error),
            VerifyError::Malformed(_)
            | VerifyError::Unsigned(_)
            | VerifyError::BadSignature(_)
            | VerifyError::NoKey(_)
            | VerifyError::KeysUnavailable { .. }
            | VerifyError::OtherDestination => Self::unauthorized(error.to_string()),
        }
    }
}

/// What another server refuses to our user it may say itself; whatever else went wrong between servers is
/// nothing that the user could mend.
impl From<FederationError> for ApiError {
    fn from(error: FederationError) -> Self {
        match &error {
            FederationError::NotAllowed(server) => Self::not_federating(server),
            FederationError::Refused { status: 403, message, .. } => Self::forbidden(message),
            FederationError::Refused { status: 404, message, .. } => Self::not_found(message),
            _ => Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error.to_string()),
        }
    }
}

impl From<RemoteMediaError> for ApiError {
    fn from(error: RemoteMediaError) -> Self {
        match error {
            RemoteMediaError::Federation { error, .. } => error.into(),
            RemoteMediaError::Elsewhere { .. }
            | RemoteMediaError::Nowhere(_)
            | RemoteMediaError::CutOff(_)
            | RemoteMediaError::Malformed { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error.to_string())
            }
            RemoteMediaError::TooLarge(_) => {
                Self::new(StatusCode::BAD_GATEWAY, "M_TOO_LARGE", error.to_string())
            }
            RemoteMediaError::Media(error) => error.into(),
        }
    }
}

impl From<ServerReadError> for ApiError {
    fn from(error: ServerReadError) -> Self {
        match error {
            ServerReadError::NotInRoom | ServerReadError::Denied => {
                Self::forbidden(error.to_string())
            }
            ServerReadError::NoSuchEvent => Self::not_found(error.to_string()),
            ServerReadError::Room(error) => error.into(),
        }
    }
}

impl From<LimitExceeded> for ApiError {
    fn from(error: LimitExceeded) -> Self {
        // Rounded up: a client that waits this long finds the limit lifted.
        let nanoseconds = error.retry_after.as_nanos();
        Self::limit_exceeded(u64::try_from(nanoseconds.div_ceil(1_000_000)).unwrap_or(u64::MAX))
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

impl From<kith_media_store::Error> for ApiError {
    fn from(error: kith_media_store::Error) -> Self {
        use kith_media_store::{Error, chunks};
        let text = error.to_string();
        match error {
            Error::NotFound => Self::not_found(text),
            Error::NotYours | Error::Quota(_) | Error::Blocked => Self::forbidden(text),
            Error::Exists => Self::new(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA", text),
            Error::NotYetUploaded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", text)
            }
            Error::TooLarge { .. } => Self::too_large(),
            Error::WrongOffset { .. } | Error::Superseded => {
                Self::new(StatusCode::CONFLICT, "M_UNKNOWN", text)
            }
            Error::WrongLength { .. } | Error::WrongDigest => Self::invalid_param(text),
            Error::BrokenOff(_) => Self::not_json(text),
            // Whenever one of them is uploaded to or expires: nobody knows.
            Error::TooManyPending { .. } => Self::limit_exceeded(60_000),
            Error::Closed | Error::Chunks(chunks::Error::Closed) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", text)
            }
            Error::Chunks(chunks::Error::Full) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "M_UNKNOWN", text)
            }
            Error::Chunks(_) | Error::Store(_) | Error::Damaged(_) => Self::internal(text),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Store(error) => error.into(),
            MediaError::Remote(error) => error.into(),
        }
    }
}

impl From<PictureError> for ApiError {
    fn from(error: PictureError) -> Self {
        use kith_media_store::{picture::Refusal, thumbnail::ThumbnailError};
        let text = error.to_string();
        match error {
            PictureError::Media(error) => error.into(),
            PictureError::Thumbnail { local, error } => match error {
                ThumbnailError::Refused(Refusal::TooLarge) => {
                    let status =
                        if local { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_GATEWAY };
                    Self::new(status, "M_TOO_LARGE", text)
                }
                ThumbnailError::Refused(_) => Self::unknown_type(text),
                other => Self::internal(other),
            },
        }
    }
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Url => Self::invalid_param(error.to_string()),
            PreviewError::Blocked => Self::forbidden(error.to_string()),
            // Nobody learns from the difference what there is in this server's network.
            PreviewError::Unreachable(_)
            | PreviewError::Refused(_)
            | PreviewError::Redirects
            | PreviewError::TooLarge => {
                tracing::debug!(%error, "no preview");
                Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", "The page cannot be had")
            }
            PreviewError::Files(error) => error.into(),
            PreviewError::Store(error) => error.into(),
        }
    }
}

/// What ruma says of a request that does not have the endpoint's shape.
impl From<FromHttpRequestError> for ApiError {
    fn from(error: FromHttpRequestError) -> Self {
        match error {
            FromHttpRequestError::MethodMismatch { .. } => Self::wrong_method(),
            FromHttpRequestError::Deserialization(error) => error.into(),
            other => Self::invalid_param(other.to_string()),
        }
    }
}

impl From<DeserializationError> for ApiError {
    fn from(error: DeserializationError) -> Self {
        match error {
            DeserializationError::Utf8(error) => Self::not_json(error.to_string()),
            DeserializationError::Json(error) => error.into(),
            DeserializationError::Ident(error) => Self::invalid_param(error.to_string()),
            DeserializationError::Query(error) => match error.to_string() {
                // The only way in which the decoder says it.
                missing if missing.starts_with("missing field") => Self::missing_param(missing),
                invalid => Self::invalid_param(invalid),
            },
            other => Self::invalid_param(other.to_string()),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        Self::invalid_param(error.to_string())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(error: QueryRejection) -> Self {
        Self::invalid_param(error.to_string())
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            Self::bad_json(error.to_string())
        } else {
            Self::not_json(error.to_string())
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

/// What other servers say of a user's wish is told to the user. But nothing of how we asked is theirs to
/// mend, least of all by signing in again.
impl From<RemoteError> for ApiError {
    fn from(error: RemoteError) -> Self {
        let RemoteError::Federation { error: remote, .. } = &error else {
            return Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error.to_string());
        };
        match remote {
            FederationError::Refused { status, errcode: Some(errcode), .. }
                if (400..500).contains(status) && *status != 401 && is_of_users(errcode) =>
            {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self::new(status, errcode, error.to_string())
            }
            FederationError::NotAllowed(_) => Self::forbidden(error.to_string()),
            _ => Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error.to_string()),
        }
    }
}

/// Whether an errcode of another server is about the matter, not about the request.
fn is_of_users(errcode: &str) -> bool {
    !matches!(
        errcode,
        "M_MISSING_PARAM"
            | "M_INVALID_PARAM"
            | "M_BAD_JSON"
            | "M_NOT_JSON"
            | "M_UNRECOGNIZED"
            | "M_UNAUTHORIZED"
            | "M_MISSING_TOKEN"
            | "M_UNKNOWN_TOKEN"
            | "M_USER_DEACTIVATED"
            | "M_USER_LOCKED"
    )
}

impl From<ThirdPartyError> for ApiError {
    fn from(error: ThirdPartyError) -> Self {
        match error {
            ThirdPartyError::Invalid(reason) => Self::invalid_param(reason),
            ThirdPartyError::UnknownRoom | ThirdPartyError::UnknownUser => {
                Self::not_found(error.to_string())
            }
            ThirdPartyError::UnknownToken
            | ThirdPartyError::BadSignature
            | ThirdPartyError::RevokedKey
            | ThirdPartyError::Acl => Self::forbidden(error.to_string()),
            ThirdPartyError::Identity(error) => error.into(),
            ThirdPartyError::Invite(error) => error.into(),
            ThirdPartyError::Remote(error) => error.into(),
            ThirdPartyError::Send(error) => error.into(),
        }
    }
}

/// What an identity server says of a user's wish is told to the user, but for what would sign them out.
impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let text = error.to_string();
        match error {
            IdentityError::BadAddress(_) => Self::invalid_param(text),
            IdentityError::Refused { status, errcode: Some(errcode), .. }
                if status.is_client_error()
                    && status != StatusCode::UNAUTHORIZED
                    && is_of_users(&errcode) =>
            {
                Self::new(status, &errcode, text)
            }
            _ => Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", text),
        }
    }
}

impl From<HandshakeError> for ApiError {
    fn from(error: HandshakeError) -> Self {
        let message = error.to_string();
        let refusal = |status, errcode| Self::new(status, errcode, message.as_str());
        match error {
            HandshakeError::UnknownRoom | HandshakeError::NotFound(_) => Self::not_found(message),
            HandshakeError::Forbidden(reason) => Self::forbidden(reason),
            HandshakeError::Invalid(reason) => Self::invalid_param(reason),
            HandshakeError::IncompatibleVersion(version) => {
                refusal(StatusCode::BAD_REQUEST, "M_INCOMPATIBLE_ROOM_VERSION")
                    .with("room_version", version.as_str())
            }
            HandshakeError::UnableToAuthorise => {
                refusal(StatusCode::BAD_REQUEST, "M_UNABLE_TO_AUTHORISE_JOIN")
            }
            HandshakeError::UnableToGrant => {
                refusal(StatusCode::BAD_REQUEST, "M_UNABLE_TO_GRANT_JOIN")
            }
            HandshakeError::InviteBlocked => refusal(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED"),
            HandshakeError::Room(cause) => cause.into(),
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
