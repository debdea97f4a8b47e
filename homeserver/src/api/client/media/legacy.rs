//! The paths of before v1.11, where nobody signs in: frozen, so that only files are found there which were
//! uploaded before the operator's date.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#content-repository)

use std::time::Duration;

use axum::{Router, response::Response, routing::get};
use http::HeaderMap;
use kith_media_store::{Mxc, Row};

use super::{answer::send, no_file};
use crate::{
    api::{
        ApiError,
        client::thumbnail,
        incoming::{Path, State},
    },
    media::Media,
};

pub(super) fn add(router: Router) -> Router {
    ["v3", "r0", "v1"].into_iter().fold(router, |router, version| {
        let path =
            |kind: &str, rest: &str| format!("/_matrix/media/{version}/{kind}/{{0}}/{{1}}{rest}");
        router
            .route(&path("download", ""), get(get_content))
            .route(&path("download", "/{2}"), get(get_content_as_filename))
            .route(&path("thumbnail", ""), get(thumbnail::get_old_content_thumbnail))
    })
}

async fn get_content(
    State(media): State<Media>,
    Path((server, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    download(&media, &server, &id, None, &headers).await
}

async fn get_content_as_filename(
    State(media): State<Media>,
    Path((server, id, filename)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    download(&media, &server, &id, Some(filename), &headers).await
}

async fn download(
    media: &Media,
    server: &str,
    id: &str,
    filename: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (mxc, row) = find(media, server, id).await?;
    send(media, &mxc, &row, filename, headers)
}

/// A file from before the operator's date. Nothing is fetched and nothing waited for: what is meant is old.
pub(in crate::api) async fn find(
    media: &Media,
    server: &str,
    id: &str,
) -> Result<(Mxc, Row), ApiError> {
    let before = media.shown_to_all_before();
    if before == 0 {
        return Err(no_file());
    }
    let mxc = Media::named(server, id).ok_or_else(no_file)?;
    let found = match media.find_here(&mxc, Duration::ZERO).await {
        Ok(found) => found,
        // It is newer than any freeze.
        Err(crate::media::MediaError::Store(kith_media_store::Error::NotYetUploaded)) => None,
        Err(error) => return Err(error.into()),
    };
    let row = found.filter(|row| row.created < before).ok_or_else(no_file)?;
    Ok((mxc, row))
}
