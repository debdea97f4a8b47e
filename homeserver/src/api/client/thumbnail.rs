//! Small pictures of files.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#thumbnails)

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, header};
use kith_media_store::picture::{Method, Size};
use serde::Deserialize;

use crate::{
    api::{
        ApiError,
        client::media::{WAIT, answer::keep_safe, legacy},
        incoming::{Authenticated, Path, Query, State},
    },
    media::Media,
    pictures::{Picture, Pictures},
};

/// Pixels of a side.
const LARGEST: u32 = 4_096;
/// Nobody waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The route whose answers are pictures.
pub fn add_streams(router: Router) -> Router {
    router.route("/_matrix/client/v1/media/thumbnail/{0}/{1}", get(get_content_thumbnail))
}

/// What is asked for.
#[derive(Deserialize)]
pub(in crate::api) struct Asked {
    width: u32,
    height: u32,
    method: Option<String>,
    #[serde(default)]
    animated: bool,
    timeout_ms: Option<u64>,
}

impl Asked {
    pub(in crate::api) fn size(&self) -> Result<Size, ApiError> {
        let method = match self.method.as_deref() {
            None | Some("scale") => Method::Scale,
            Some("crop") => Method::Crop,
            Some(_) => return Err(ApiError::invalid_param("A thumbnail is scaled or cropped")),
        };
        let (width, height) = (self.width, self.height);
        if !(1..=LARGEST).contains(&width) || !(1..=LARGEST).contains(&height) {
            return Err(ApiError::invalid_param("A thumbnail cannot have this size"));
        }
        Ok(Size { width, height, method, animated: self.animated })
    }

    /// For how long to wait for a file that is still uploaded.
    pub(in crate::api) fn wait(&self) -> Duration {
        self.timeout_ms.map_or(WAIT, Duration::from_millis).min(LONGEST_WAIT)
    }
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
async fn get_content_thumbnail(
    State(pictures): State<Pictures>,
    _: Authenticated,
    Path((server, id)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let size = asked.size()?;
    let mxc = Media::named(&server, &id).ok_or_else(not_found)?;
    let picture = pictures.thumbnail(&mxc, size, asked.wait(), true).await?;
    respond(picture.ok_or_else(not_found)?)
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`
///
/// For everybody, but only of files from before that was ended.
pub(super) async fn get_old_content_thumbnail(
    State(media): State<Media>,
    State(pictures): State<Pictures>,
    Path((server, id)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let size = asked.size()?;
    let (mxc, _) = legacy::find(&media, &server, &id).await?;
    let picture = pictures.thumbnail(&mxc, size, Duration::ZERO, false).await?;
    respond(picture.ok_or_else(not_found)?)
}

fn respond(picture: Picture) -> Result<Response, ApiError> {
    let headers = picture_headers(&picture)?;
    Ok((headers, Body::from_stream(picture.content)).into_response())
}

/// We made it, or know what it is: a browser may show it.
pub(in crate::api) fn picture_headers(picture: &Picture) -> Result<HeaderMap, ApiError> {
    let name = format!("inline; filename=\"thumbnail.{}\"", picture.format.extension());
    let name = HeaderValue::from_str(&name).map_err(ApiError::internal)?;
    let mut headers = HeaderMap::new();
    keep_safe(&mut headers);
    let content_type = HeaderValue::from_static(picture.format.mime());
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, picture.size.into());
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(headers)
}

fn not_found() -> ApiError {
    ApiError::not_found("There is no such file")
}
