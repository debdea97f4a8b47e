//! Of requests that do not have the shape of their endpoint.

use axum::extract::rejection::{PathRejection, QueryRejection};
use ruma::api::error::{DeserializationError, FromHttpRequestError};

use super::ApiError;

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
