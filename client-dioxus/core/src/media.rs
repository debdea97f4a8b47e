//! Pictures and files that are shown: where they are, and how they are fetched.

use std::sync::Arc;

use bytes::Bytes;
use matrix_sdk::{
    media::{MediaFormat, MediaRequestParameters, MediaThumbnailSettings},
    ruma::{OwnedMxcUri, UInt, events::room::MediaSource},
};

use crate::{
    Account, Error, ErrorKind,
    timeout::{TRANSFER, within},
};

mod cache;
pub(crate) use cache::Cache;

/// The largest file that is held in memory to be shown; 128 MiB.
pub const MAX_SHOWN: u64 = 128 * 1024 * 1024;

/// Where a file is, and how to decrypt it. Cheap to clone and to compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaHandle {
    /// `mxc://team.example/media-id`
    mxc: Arc<str>,
    /// Of an encrypted file: the JSON of `EncryptedFile`, with its key.
    encrypted: Option<Arc<str>>,
}

/// How large it is wanted, in pixels of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaSize {
    /// As it was sent.
    Full,
    /// The server makes it smaller, if it can: of an encrypted file it cannot, and gives all of it.
    Thumbnail { width: u32, height: u32 },
    /// As [`MediaSize::Thumbnail`], cut to fill the square: avatars.
    Square(u32),
}

impl MediaHandle {
    /// A file that is not encrypted.
    pub fn plain(mxc: &str) -> Self {
        Self { mxc: mxc.into(), encrypted: None }
    }

    pub fn mxc(&self) -> &str {
        &self.mxc
    }

    pub fn is_encrypted(&self) -> bool {
        self.encrypted.is_some()
    }

    pub(crate) fn of(source: &MediaSource) -> Self {
        match source {
            MediaSource::Plain(uri) => Self::plain(uri.as_str()),
            MediaSource::Encrypted(file) => Self {
                mxc: file.url.as_str().into(),
                encrypted: serde_json::to_string(file).ok().map(Into::into),
            },
        }
    }

    fn source(&self) -> Result<MediaSource, Error> {
        match &self.encrypted {
            Some(file) => Ok(MediaSource::Encrypted(serde_json::from_str(file)?)),
            None => Ok(MediaSource::Plain(OwnedMxcUri::from(&*self.mxc))),
        }
    }

    fn request(&self, size: MediaSize) -> Result<MediaRequestParameters, Error> {
        use matrix_sdk::ruma::media::Method;
        let thumbnail = |method, width: u32, height: u32| {
            let (width, height) = (UInt::from(width), UInt::from(height));
            MediaFormat::Thumbnail(MediaThumbnailSettings::with_method(method, width, height))
        };
        let format = match size {
            _ if self.is_encrypted() => MediaFormat::File,
            MediaSize::Full => MediaFormat::File,
            MediaSize::Thumbnail { width, height } => thumbnail(Method::Scale, width, height),
            MediaSize::Square(side) => thumbnail(Method::Crop, side, side),
        };
        Ok(MediaRequestParameters { source: self.source()?, format })
    }
}

impl Account {
    /// The bytes of a file, decrypted: from memory, else from this device's store, else from the server.
    ///
    /// Errors: [`ErrorKind::NotFound`], [`ErrorKind::TooLarge`] above [`MAX_SHOWN`], network.
    pub async fn media(&self, handle: &MediaHandle, size: MediaSize) -> Result<Bytes, Error> {
        let key = (handle.clone(), size);
        if let Some(bytes) = self.inner().media.lock().get(&key) {
            return Ok(bytes);
        }
        let request = handle.request(size)?;
        let media = self.client().media();
        let bytes = within(TRANSFER, media.get_media_content(&request, true)).await?;
        if bytes.len() as u64 > MAX_SHOWN {
            return Err(ErrorKind::TooLarge.into());
        }
        let bytes = Bytes::from(bytes);
        self.inner().media.lock().put(key, bytes.clone());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::events::room::MediaSource;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_encrypted_file_is_asked_for_whole_and_keeps_its_key() {
        let file = json!({
            "url": "mxc://team.example/abc", "v": "v2", "iv": "AAAAAAAAAAAAAAAAAAAAAA",
            "key": { "alg": "A256CTR", "ext": true, "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                     "key_ops": ["encrypt", "decrypt"], "kty": "oct" },
            "hashes": { "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
        });
        let source = MediaSource::Encrypted(serde_json::from_value(file).expect("a valid file"));
        let handle = MediaHandle::of(&source);
        assert!(handle.is_encrypted() && handle.mxc() == "mxc://team.example/abc");
        let request = handle.request(MediaSize::Square(48)).expect("a valid handle");
        assert!(matches!(request.format, MediaFormat::File));
        assert!(matches!(request.source, MediaSource::Encrypted(_)));
        let plain = MediaHandle::plain("mxc://team.example/abc");
        let request = plain.request(MediaSize::Square(48)).expect("a valid handle");
        assert!(matches!(request.format, MediaFormat::Thumbnail(_)));
    }
}
