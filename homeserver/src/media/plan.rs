//! What is a media node told instead of being sent a file?

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::HeaderName;
use kith_media_store::{Error, Mxc, plan::Part};
use serde::{Deserialize, Serialize};

use super::Media;

/// Has the shared secret, in requests of media nodes.
pub const SECRET: HeaderName = HeaderName::from_static("x-kith-media-node");
/// Says that the body of an answer is a [`Plan`] of the real one. Everything else about the answer holds
/// but for its length.
pub const PLANNED: HeaderName = HeaderName::from_static("x-kith-planned");
/// The `Content-Length` of the real answer.
pub const LENGTH: HeaderName = HeaderName::from_static("x-kith-content-length");

/// How the body of an answer is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The team's folder in the datastore.
    pub folder: String,
    pub parts: Vec<Part>,
}

/// The body of an answer, before it is known who reads the file. An extension of the answer.
#[derive(Clone)]
pub struct Planned {
    media: Media,
    mxc: Mxc,
    range: Range<u64>,
}

impl Planned {
    /// These bytes of a file that was found.
    pub fn new(media: &Media, mxc: &Mxc, range: Range<u64>) -> Self {
        Self { media: media.clone(), mxc: mxc.clone(), range }
    }

    /// The body itself.
    pub fn read(&self) -> BoxStream<'static, Result<Bytes, Error>> {
        self.media.read(&self.mxc, self.range.clone())
    }

    /// How others make it.
    pub async fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan {
            folder: self.media.folder().to_owned(),
            parts: self.media.store().plan(&self.mxc, self.range.clone()).await?,
        })
    }
}
