//! Of files, pictures and previews.

use http::StatusCode;
use kith_media_store::preview::PreviewError;

use super::ApiError;
use crate::{
    media::{MediaError, remote::RemoteMediaError},
    pictures::PictureError,
};

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
