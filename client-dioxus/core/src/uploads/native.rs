//! Uploads by matrix-sdk, which tells how far they are.

use bytes::Bytes;
use matrix_sdk::ruma::OwnedMxcUri;
use mime::Mime;

use crate::{Account, Error};

pub(super) async fn put(
    account: &Account,
    bytes: Bytes,
    mime: &str,
    told: impl Fn(u64) + 'static,
) -> Result<OwnedMxcUri, Error> {
    let mime: Mime = mime.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM);
    let upload = account.client().media().upload(&mime, bytes.into(), None);
    let mut progress = upload.subscribe_to_send_progress();
    let mut answer = std::pin::pin!(upload.into_future());
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer?.content_uri),
            Some(progress) = progress.next() => told(progress.current as u64),
        }
    }
}
