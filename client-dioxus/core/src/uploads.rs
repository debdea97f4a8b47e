//! Sending pictures and files.
//!
//! The bytes go first, encrypted if the room is, and then the message that points to them. matrix-sdk
//! has no progress of uploads in the browser, so there the bytes go by a request of our own.

use std::{io::Read, sync::Arc};

use bytes::Bytes;
use matrix_sdk::ruma::{
    EventId, OwnedMxcUri, UInt,
    events::room::{
        EncryptedFile, ImageInfo, MediaSource, ThumbnailInfo,
        message::{
            AudioInfo, AudioMessageEventContent, FileInfo, FileMessageEventContent,
            ImageMessageEventContent, MessageType, RoomMessageEventContentWithoutRelation,
            VideoInfo, VideoMessageEventContent,
        },
    },
};
use matrix_sdk_base::crypto::AttachmentEncryptor;
use tokio::sync::watch;

use crate::{
    Error, ErrorKind, Stream, changes,
    timeline::Timeline,
    timeout::{TRANSFER, USUAL, within},
};

#[cfg_attr(target_family = "wasm", path = "uploads/web.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "uploads/native.rs")]
mod platform;

/// Bytes of a file that is held in memory while it is sent; 512 MiB.
pub const MAX_UPLOAD: usize = 512 * 1024 * 1024;

/// A file to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    pub name: String,
    /// `image/png`; decides how it is shown.
    pub mime: String,
    pub bytes: Bytes,
    /// Of a picture or a video: pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Of a sound or a video.
    pub milliseconds: Option<u64>,
    pub blurhash: Option<String>,
    /// A smaller picture, if the screen made one.
    pub thumbnail: Option<Thumbnail>,
    pub caption: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnail {
    pub mime: String,
    pub bytes: Bytes,
    pub width: u32,
    pub height: u32,
}

impl NewFile {
    pub fn new(name: &str, mime: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            name: name.to_owned(),
            mime: mime.to_owned(),
            bytes: bytes.into(),
            width: None,
            height: None,
            milliseconds: None,
            blurhash: None,
            thumbnail: None,
            caption: None,
        }
    }
}

/// Bytes on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub sent: u64,
    /// 0 as long as nothing has begun.
    pub total: u64,
}

/// A file that is being sent. Nothing happens until [`Upload::run`] is awaited; it may be awaited again
/// after a failure.
#[derive(Clone)]
pub struct Upload {
    timeline: Timeline,
    file: Arc<NewFile>,
    reply_to: Option<String>,
    progress: watch::Sender<Progress>,
    cancelled: watch::Sender<bool>,
}

impl PartialEq for Upload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

impl Timeline {
    /// Prepares to send a file, as an answer to an event if `reply_to` is one.
    pub fn upload(&self, file: NewFile, reply_to: Option<&str>) -> Upload {
        let (progress, _) = watch::channel(Progress::default());
        let (cancelled, _) = watch::channel(false);
        let (timeline, file) = (self.clone(), Arc::new(file));
        Upload { timeline, file, reply_to: reply_to.map(ToOwned::to_owned), progress, cancelled }
    }
}

impl Upload {
    pub fn file(&self) -> &NewFile {
        &self.file
    }

    /// Sends it; when this returns, the message is in the timeline, at least as a local echo.
    ///
    /// Errors: [`ErrorKind::Cancelled`], [`ErrorKind::TooLarge`], [`ErrorKind::QuotaExceeded`], network.
    pub async fn run(&self) -> Result<(), Error> {
        let mut cancelled = self.cancelled.subscribe();
        let work = std::pin::pin!(within(TRANSFER, self.send()));
        tokio::select! {
            done = work => done,
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(ErrorKind::Cancelled.into()),
        }
    }

    /// How far it is, now and as it goes on.
    pub fn progress(&self) -> Stream<Progress> {
        changes::follow(self.progress.subscribe())
    }

    /// Stops it; [`Upload::run`] ends with [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    async fn send(&self) -> Result<(), Error> {
        let file = &self.file;
        let account = self.timeline.account();
        let largest = match account.client().load_or_fetch_max_upload_size().await {
            Ok(largest) => u64::from(largest),
            Err(_) => u64::MAX,
        };
        if file.bytes.len() > MAX_UPLOAD || file.bytes.len() as u64 > largest {
            return Err(ErrorKind::TooLarge.into());
        }
        let encrypted = self.timeline.room().latest_encryption_state().await?.is_encrypted();
        let small = file.thumbnail.as_ref().map_or(0, |it| it.bytes.len());
        let total = (file.bytes.len() + small) as u64;
        self.progress.send_replace(Progress { sent: 0, total });
        let thumbnail = match &file.thumbnail {
            Some(small) => Some(self.store(&small.bytes, &small.mime, encrypted, 0, total).await?),
            None => None,
        };
        let source = self.store(&file.bytes, &file.mime, encrypted, small as u64, total).await?;
        let message = message(file, source, thumbnail);
        let content = RoomMessageEventContentWithoutRelation::new(message);
        match &self.reply_to {
            Some(to) => {
                let to = EventId::parse(to)?;
                within(USUAL, self.timeline.sdk().send_reply(content, to)).await
            }
            None => {
                let content = content.with_relation(None);
                within(USUAL, self.timeline.sdk().send(content.into())).await.map(drop)
            }
        }
    }

    /// Puts bytes into the media store, `before` of `total` having gone already.
    async fn store(
        &self,
        bytes: &Bytes,
        mime: &str,
        encrypted: bool,
        before: u64,
        total: u64,
    ) -> Result<MediaSource, Error> {
        let account = self.timeline.account();
        let progress = self.progress.clone();
        let told = move |sent: u64| {
            progress.send_replace(Progress { sent: (before + sent).min(total), total });
        };
        if !encrypted {
            let uri = platform::put(account, bytes.clone(), mime, told).await?;
            return Ok(MediaSource::Plain(uri));
        }
        let mut reader = bytes.as_ref();
        let mut encryptor = AttachmentEncryptor::new(&mut reader);
        let mut secret = Vec::with_capacity(bytes.len());
        encryptor.read_to_end(&mut secret).map_err(Error::other)?;
        let keys = encryptor.finish();
        let octets = "application/octet-stream";
        let uri = platform::put(account, Bytes::from(secret), octets, told).await?;
        Ok(MediaSource::Encrypted(Box::new(encrypted_file(uri, keys))))
    }
}

fn encrypted_file(
    uri: OwnedMxcUri,
    keys: matrix_sdk_base::crypto::MediaEncryptionInfo,
) -> EncryptedFile {
    EncryptedFile::new(uri, keys.encryption_info, keys.hashes)
}

fn message(file: &NewFile, source: MediaSource, thumbnail: Option<MediaSource>) -> MessageType {
    let size = UInt::try_from(file.bytes.len()).ok();
    let mimetype = Some(file.mime.clone());
    let (width, height) = (file.width.map(UInt::from), file.height.map(UInt::from));
    let duration = file.milliseconds.map(std::time::Duration::from_millis);
    let small = file.thumbnail.as_ref().map(|it| {
        let mut info = ThumbnailInfo::new();
        info.mimetype = Some(it.mime.clone());
        info.size = UInt::try_from(it.bytes.len()).ok();
        (info.width, info.height) = (Some(it.width.into()), Some(it.height.into()));
        Box::new(info)
    });
    let caption = file.caption.clone().filter(|caption| !caption.trim().is_empty());
    let (body, filename) = match caption {
        Some(caption) => (caption, Some(file.name.clone())),
        None => (file.name.clone(), None),
    };
    match file.mime.split('/').next() {
        Some("image") => {
            let mut info = ImageInfo::new();
            (info.width, info.height) = (width, height);
            (info.size, info.mimetype) = (size, mimetype);
            (info.thumbnail_source, info.thumbnail_info) = (thumbnail, small);
            info.blurhash.clone_from(&file.blurhash);
            let mut image = ImageMessageEventContent::new(body, source).info(Box::new(info));
            image.filename = filename;
            MessageType::Image(image)
        }
        Some("video") => {
            let mut info = VideoInfo::new();
            (info.width, info.height) = (width, height);
            (info.size, info.mimetype, info.duration) = (size, mimetype, duration);
            (info.thumbnail_source, info.thumbnail_info) = (thumbnail, small);
            info.blurhash.clone_from(&file.blurhash);
            let mut video = VideoMessageEventContent::new(body, source).info(Box::new(info));
            video.filename = filename;
            MessageType::Video(video)
        }
        Some("audio") => {
            let mut info = AudioInfo::new();
            (info.size, info.mimetype, info.duration) = (size, mimetype, duration);
            let mut audio = AudioMessageEventContent::new(body, source).info(Box::new(info));
            audio.filename = filename;
            MessageType::Audio(audio)
        }
        _ => {
            let mut info = FileInfo::new();
            (info.size, info.mimetype) = (size, mimetype);
            (info.thumbnail_source, info.thumbnail_info) = (thumbnail, small);
            let mut document = FileMessageEventContent::new(body, source).info(Box::new(info));
            document.filename = filename;
            MessageType::File(document)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shown_as_what_it_is() {
        let source = || MediaSource::Plain("mxc://team.example/a".into());
        let of = |mime: &str| message(&NewFile::new("a", mime, vec![0; 3]), source(), None);
        assert!(matches!(of("image/png"), MessageType::Image(_)));
        assert!(matches!(of("video/webm"), MessageType::Video(_)));
        assert!(matches!(of("audio/ogg"), MessageType::Audio(_)));
        assert!(matches!(of("application/pdf"), MessageType::File(_)));
        let MessageType::File(file) = of("") else { panic!("a file") };
        assert_eq!(file.info.expect("info").size, Some(3_u8.into()));
    }

    #[test]
    fn a_caption_is_not_taken_for_the_name() {
        let mut file = NewFile::new("cat.png", "image/png", vec![0]);
        file.caption = Some("my cat".to_owned());
        let source = MediaSource::Plain("mxc://team.example/a".into());
        let MessageType::Image(image) = message(&file, source, None) else { panic!("a picture") };
        assert_eq!((image.filename(), image.caption()), ("cat.png", Some("my cat")));
    }
}
