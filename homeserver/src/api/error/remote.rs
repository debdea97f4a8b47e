//! Of other servers: what they refuse us, and what we refuse them.

use http::StatusCode;
use kith_federation::{key_ring::VerifyError, remotes::FederationError};

use super::ApiError;
use crate::{
    identity::IdentityError,
    room::{handshake::HandshakeError, remote::RemoteError, server_view::ServerReadError},
    third_party_invites::ThirdPartyError,
};

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
pub(super) fn is_of_users(errcode: &str) -> bool {
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
