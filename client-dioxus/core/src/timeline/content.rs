//! What a message holds, out of the SDK's words.

use matrix_sdk::ruma::{
    UInt,
    events::{
        StateEventType,
        room::{
            MediaSource, ThumbnailInfo,
            message::{
                AudioMessageEventContent, FileMessageEventContent, FormattedBody,
                ImageMessageEventContent, MessageFormat, MessageType, VideoMessageEventContent,
            },
        },
    },
};
use matrix_sdk_base::crypto::types::events::UtdCause;
use matrix_sdk_ui::timeline::{
    EncryptedMessage, MsgLikeContent, MsgLikeKind, Sticker, TimelineItemContent,
};
use unicode_segmentation::UnicodeSegmentation;

use super::{Audio, Content, File, Picture, Reason, Text, Video};
use crate::{html, media::MediaHandle, rooms::PreviewKind};

/// Bars of a voice message's waveform.
const MAX_WAVEFORM: usize = 256;
/// Characters of a preview.
const MAX_PREVIEW: usize = 200;

/// A text of more emoji than this is drawn as any other.
const MAX_LARGE_EMOJI: usize = 5;

pub(super) fn content_of(content: &MsgLikeContent) -> Content {
    match &content.kind {
        MsgLikeKind::Message(message) => message_of(message.msgtype()),
        MsgLikeKind::Sticker(sticker) => Content::Sticker(sticker_of(sticker)),
        MsgLikeKind::Poll(poll) => Content::Poll { question: poll.results().question },
        MsgLikeKind::Redacted => Content::Redacted,
        MsgLikeKind::UnableToDecrypt(message) => Content::UnableToDecrypt(reason_of(message)),
        MsgLikeKind::Other(other) => Content::Unsupported(other.event_type().to_string()),
        MsgLikeKind::LiveLocation(location) => Content::Location {
            geo: location.latest_location().map(|it| it.geo_uri().to_owned()).unwrap_or_default(),
            text: location.description().unwrap_or_default().to_owned(),
        },
    }
}

pub(super) fn message_of(message: &MessageType) -> Content {
    match message {
        MessageType::Text(text) => Content::Text(Text {
            only_emoji: only_emoji(&text.body),
            ..text_of(&text.body, text.formatted.as_ref())
        }),
        MessageType::Notice(text) => Content::Notice(text_of(&text.body, text.formatted.as_ref())),
        MessageType::ServerNotice(text) => Content::Notice(text_of(&text.body, None)),
        MessageType::Emote(text) => Content::Emote(text_of(&text.body, text.formatted.as_ref())),
        MessageType::Image(image) => Content::Image(image_of(image)),
        MessageType::Video(video) => Content::Video(video_of(video)),
        MessageType::Audio(audio) => Content::Audio(audio_of(audio)),
        MessageType::File(file) => Content::File(file_of(file)),
        MessageType::Location(location) => Content::Location {
            geo: location.geo_uri().to_owned(),
            text: location.plain_text_representation().to_owned(),
        },
        other => Content::Unsupported(other.msgtype().to_owned()),
    }
}

fn only_emoji(body: &str) -> bool {
    let signs = || body.trim().graphemes(true);
    signs().nth(MAX_LARGE_EMOJI).is_none() && signs().all(|sign| emojis::get(sign).is_some())
}

fn text_of(body: &str, formatted: Option<&FormattedBody>) -> Text {
    let html = formatted.filter(|it| it.format == MessageFormat::Html);
    let nodes = match html {
        Some(formatted) => html::parse(&formatted.body),
        None => html::linkify(body),
    };
    Text { plain: body.to_owned(), nodes, only_emoji: false }
}

fn image_of(image: &ImageMessageEventContent) -> Picture {
    let info = image.info.as_deref();
    Picture {
        name: image.filename().to_owned(),
        media: MediaHandle::of(&image.source),
        thumbnail: thumbnail(info.and_then(|info| info.thumbnail_source.as_ref())),
        width: info.and_then(|info| pixels(info.width)),
        height: info.and_then(|info| pixels(info.height)),
        size: info.and_then(|info| info.size).map(Into::into),
        mime: info.and_then(|info| info.mimetype.clone()),
        blurhash: info.and_then(|info| info.blurhash.clone()),
        caption: image.caption().map(|it| text_of(it, image.formatted_caption())),
    }
}

fn sticker_of(sticker: &Sticker) -> Picture {
    let content = sticker.content();
    let info = &content.info;
    let source: MediaSource = content.source.clone().into();
    Picture {
        name: content.body.clone(),
        media: MediaHandle::of(&source),
        thumbnail: thumbnail(info.thumbnail_source.as_ref()),
        width: pixels(info.width),
        height: pixels(info.height),
        size: info.size.map(Into::into),
        mime: info.mimetype.clone(),
        blurhash: info.blurhash.clone(),
        caption: None,
    }
}

fn video_of(video: &VideoMessageEventContent) -> Video {
    let info = video.info.as_deref();
    let still = |info: &ThumbnailInfo| (pixels(info.width), pixels(info.height));
    let (width, height) = match info {
        Some(info) if info.width.is_some() => (pixels(info.width), pixels(info.height)),
        Some(info) => info.thumbnail_info.as_deref().map_or((None, None), still),
        None => (None, None),
    };
    let picture = Picture {
        name: video.filename().to_owned(),
        media: MediaHandle::of(&video.source),
        thumbnail: thumbnail(info.and_then(|info| info.thumbnail_source.as_ref())),
        width,
        height,
        size: info.and_then(|info| info.size).map(Into::into),
        mime: info.and_then(|info| info.mimetype.clone()),
        blurhash: info.and_then(|info| info.blurhash.clone()),
        caption: video.caption().map(|it| text_of(it, video.formatted_caption())),
    };
    let milliseconds = info.and_then(|info| info.duration).map(milliseconds);
    Video { picture, milliseconds }
}

fn audio_of(audio: &AudioMessageEventContent) -> Audio {
    let info = audio.info.as_deref();
    let details = audio.audio.as_ref();
    let waveform = details.map(|details| details.waveform.as_slice()).unwrap_or_default();
    let loudness = |amplitude: u64| (amplitude as f32 / 1024.0).min(1.0);
    Audio {
        file: File {
            name: audio.filename().to_owned(),
            media: MediaHandle::of(&audio.source),
            size: info.and_then(|info| info.size).map(Into::into),
            mime: info.and_then(|info| info.mimetype.clone()),
            caption: audio.caption().map(|it| text_of(it, audio.formatted_caption())),
        },
        milliseconds: details
            .map(|details| details.duration)
            .or_else(|| info.and_then(|info| info.duration))
            .map(milliseconds),
        voice: audio.voice.is_some(),
        waveform: waveform.iter().take(MAX_WAVEFORM).map(|it| loudness(it.get().into())).collect(),
    }
}

fn file_of(file: &FileMessageEventContent) -> File {
    let info = file.info.as_deref();
    File {
        name: file.filename().to_owned(),
        media: MediaHandle::of(&file.source),
        size: info.and_then(|info| info.size).map(Into::into),
        mime: info.and_then(|info| info.mimetype.clone()),
        caption: file.caption().map(|it| text_of(it, file.formatted_caption())),
    }
}

fn thumbnail(source: Option<&MediaSource>) -> Option<MediaHandle> {
    source.map(MediaHandle::of)
}

fn pixels(side: Option<UInt>) -> Option<u32> {
    side.and_then(|side| u32::try_from(side).ok())
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn reason_of(message: &EncryptedMessage) -> Reason {
    let EncryptedMessage::MegolmV1AesSha2 { cause, .. } = message else { return Reason::Unknown };
    match cause {
        UtdCause::SentBeforeWeJoined => Reason::BeforeJoining,
        UtdCause::HistoricalMessageAndBackupIsDisabled
        | UtdCause::HistoricalMessageAndDeviceIsUnverified => Reason::BeforeThisDevice,
        UtdCause::VerificationViolation | UtdCause::UnsignedDevice | UtdCause::UnknownDevice => {
            Reason::SenderNotTrusted
        }
        UtdCause::Unknown => Reason::WaitingForKey,
        _ => Reason::Unknown,
    }
}

/// One line about it.
pub(crate) fn preview_of(content: &TimelineItemContent) -> PreviewKind {
    let content = match content {
        TimelineItemContent::MsgLike(content) => content_of(content),
        TimelineItemContent::CallInvite | TimelineItemContent::RtcNotification { .. } => {
            return PreviewKind::Call;
        }
        TimelineItemContent::OtherState(state)
            if state.content().event_type() == StateEventType::CallMember =>
        {
            return PreviewKind::Call;
        }
        TimelineItemContent::MembershipChange(_)
        | TimelineItemContent::ProfileChange(_)
        | TimelineItemContent::OtherState(_) => return PreviewKind::Change,
        _ => return PreviewKind::Other,
    };
    match content {
        Content::Text(text) | Content::Notice(text) => PreviewKind::Text(line(&text)),
        Content::Emote(text) => PreviewKind::Emote(line(&text)),
        Content::Image(_) => PreviewKind::Image,
        Content::Sticker(picture) => PreviewKind::Sticker(picture.name),
        Content::Video(_) => PreviewKind::Video,
        Content::Audio(audio) if audio.voice => PreviewKind::Voice,
        Content::Audio(_) => PreviewKind::Audio,
        Content::File(file) => PreviewKind::File(file.name),
        Content::Location { .. } => PreviewKind::Location,
        Content::Poll { question } => PreviewKind::Poll(question),
        Content::Redacted => PreviewKind::Redacted,
        Content::UnableToDecrypt(_) => PreviewKind::Undecryptable,
        Content::Call => PreviewKind::Call,
        Content::Unsupported(_) => PreviewKind::Other,
    }
}

fn line(text: &Text) -> String {
    html::plain(&text.nodes).chars().take(MAX_PREVIEW).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_short_line_without_formatting() {
        let formatted = FormattedBody::html("<p>one</p><p><b>two</b></p>");
        let text = text_of("one\n\ntwo", Some(&formatted));
        assert_eq!(line(&text), "one two");
        let long = text_of(&"ü".repeat(1_000), None);
        assert_eq!(line(&long).chars().count(), MAX_PREVIEW);
    }

    #[test]
    fn a_few_emoji_alone_are_drawn_large() {
        assert!(only_emoji(" 👍🏽 "));
        assert!(only_emoji("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧"));
        assert!(!only_emoji("🎉🎉🎉🎉🎉🎉"));
        assert!(!only_emoji("fine 👍"));
        assert!(!only_emoji("7"));
    }

    #[test]
    fn html_of_another_format_is_not_read() {
        let mut formatted = FormattedBody::html("<b>x</b>");
        formatted.format = MessageFormat::from("org.example.other");
        let text = text_of("x", Some(&formatted));
        assert_eq!(text.nodes, [html::HtmlNode::Text("x".to_owned())]);
    }
}
