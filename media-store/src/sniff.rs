//! What is a file by its first bytes, and may a browser show it in place?
//!
//! What an uploader declares is only a claim. It is served inline only where the specification lists the
//! type and the bytes are of its kind. [Spec](https://spec.matrix.org/latest/client-server-api/#serving-inline-content)

/// How many bytes of a file's start are looked at.
pub const HEAD: usize = 8 * 1024;

/// The kind of a file, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Image,
    /// Containers do not tell by their first bytes whether there are pictures beside the sound.
    AudioVideo,
    /// Readable, and no markup.
    Text,
    /// HTML, XML and their like: a browser might run it.
    Markup,
    /// Everything else, encrypted attachments among it.
    Other,
}

impl Class {
    /// For a table's row.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::AudioVideo => "audio_video",
            Self::Text => "text",
            Self::Markup => "markup",
            Self::Other => "other",
        }
    }

    /// What is no class is trusted as little as anything.
    pub fn of_word(word: &str) -> Self {
        let all = [Self::Image, Self::AudioVideo, Self::Text, Self::Markup];
        all.into_iter().find(|class| class.word() == word).unwrap_or(Self::Other)
    }
}

/// Types that a browser may show in place, and the kind of their bytes.
const INLINE: [(&str, Class); 26] = [
    ("text/css", Class::Text),
    ("text/plain", Class::Text),
    ("text/csv", Class::Text),
    ("application/json", Class::Text),
    ("application/ld+json", Class::Text),
    ("image/jpeg", Class::Image),
    ("image/gif", Class::Image),
    ("image/png", Class::Image),
    ("image/apng", Class::Image),
    ("image/webp", Class::Image),
    ("image/avif", Class::Image),
    ("video/mp4", Class::AudioVideo),
    ("video/webm", Class::AudioVideo),
    ("video/ogg", Class::AudioVideo),
    ("video/quicktime", Class::AudioVideo),
    ("audio/mp4", Class::AudioVideo),
    ("audio/webm", Class::AudioVideo),
    ("audio/aac", Class::AudioVideo),
    ("audio/mpeg", Class::AudioVideo),
    ("audio/ogg", Class::AudioVideo),
    ("audio/wave", Class::AudioVideo),
    ("audio/wav", Class::AudioVideo),
    ("audio/x-wav", Class::AudioVideo),
    ("audio/x-pn-wav", Class::AudioVideo),
    ("audio/flac", Class::AudioVideo),
    ("audio/x-flac", Class::AudioVideo),
];

/// What markup begins with, in lower case.
const MARKUP: [&[u8]; 22] = [
    b"<!doctype",
    b"<!--",
    b"<?xml",
    b"<html",
    b"<head",
    b"<body",
    b"<script",
    b"<style",
    b"<iframe",
    b"<svg",
    b"<math",
    b"<title",
    b"<table",
    b"<div",
    b"<p",
    b"<a",
    b"<b",
    b"<h1",
    b"<font",
    b"<br",
    b"<link",
    b"<meta",
];

/// The kind of a file that begins with these bytes, of which the first [`HEAD`] count.
pub fn classify(head: &[u8]) -> Class {
    let head = &head[..head.len().min(HEAD)];
    if is_text(head) {
        return if is_markup(head) { Class::Markup } else { Class::Text };
    }
    match infer::get(head).map(|kind| kind.matcher_type()) {
        Some(infer::MatcherType::Image) => Class::Image,
        Some(infer::MatcherType::Audio | infer::MatcherType::Video) => Class::AudioVideo,
        _ => Class::Other,
    }
}

/// Whether a file may be served inline with the type that its uploader declared.
pub fn is_inline(declared: Option<&str>, class: Class) -> bool {
    let essence = declared.map(essence).unwrap_or_default();
    INLINE.contains(&(essence.as_str(), class))
}

/// `text/plain` in `Text/Plain; charset=utf-8`. What has no such form is on no list.
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// No byte that no text has; [MIME Sniffing](https://mimesniff.spec.whatwg.org/#binary-data-byte).
fn is_text(head: &[u8]) -> bool {
    let binary = |byte: &u8| matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    let utf16 = head.starts_with(&[0xfe, 0xff]) || head.starts_with(&[0xff, 0xfe]);
    // A sound without a container may begin with what is a byte order mark too.
    if utf16 {
        return char::decode_utf16(head.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if head[0] == 0xfe { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        }))
        .all(|c| c.is_ok_and(|c| !c.is_control() || c.is_whitespace()));
    }
    !head.iter().any(binary)
}

fn is_markup(head: &[u8]) -> bool {
    // Of UTF-16 only the letters that ASCII has.
    let text: Vec<u8> = head.iter().copied().filter(|byte| (1..0xfe).contains(byte)).collect();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).trim_ascii_start();
    MARKUP.iter().any(|start| {
        text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
            && text.get(start.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01";
    const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00";
    const WEBP: &[u8] = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00";
    const AVIF: &[u8] = b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1miafMA1B";
    const MP4: &[u8] = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2";
    const OGG: &[u8] = b"OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00";
    const WAV: &[u8] = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00";
    const FLAC: &[u8] = b"fLaC\x00\x00\x00\x22";
    const MP3: &[u8] = b"ID3\x04\x00\x00\x00\x00\x00\x00";
    /// With the padding that its writers leave.
    const WEBM: &[u8; 300] = &{
        let start = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm";
        let mut head = [0; 300];
        let mut index = 0;
        while index < start.len() {
            head[index] = start[index];
            index += 1;
        }
        head
    };

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (head, class) in [
            (PNG, Class::Image),
            (JPEG, Class::Image),
            (GIF, Class::Image),
            (WEBP, Class::Image),
            (AVIF, Class::Image),
            (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00", Class::Image),
            (MP4, Class::AudioVideo),
            (OGG, Class::AudioVideo),
            (WAV, Class::AudioVideo),
            (FLAC, Class::AudioVideo),
            (MP3, Class::AudioVideo),
            (WEBM, Class::AudioVideo),
            (b"", Class::Text),
            (b"hello\r\n\tworld", Class::Text),
            ("äöü €".as_bytes(), Class::Text),
            (b"caf\xe9", Class::Text),
            (b"\xff\xfeh\x00i\x00", Class::Text),
            (b"BMW builds cars", Class::Text),
            (b"GIF89a=1;alert(1)", Class::Text),
            (b"<p", Class::Markup),
            (b"<pre-release> is what it says", Class::Text),
            (b"a < b", Class::Text),
            (b"{\"a\": 1}", Class::Text),
            (b" \n<!DOCTYPE html>", Class::Markup),
            (b"<HTML><script>", Class::Markup),
            (b"\xef\xbb\xbf<svg xmlns='x'>", Class::Markup),
            (b"\xff\xfe<\x00s\x00v\x00g\x00>\x00", Class::Markup),
            (b"<?xml version='1.0'?><svg/>", Class::Markup),
            (b"%PDF-1.7\n%\xe2\xe3\x01", Class::Other),
            (b"PK\x03\x04\x14\x00", Class::Other),
            (b"\x00\x01\x02\x03", Class::Other),
            (&[0xff, 0xfb, 0x90, 0x64, 0x00, 0x00], Class::AudioVideo),
        ] {
            assert_eq!(classify(head), class, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn only_the_start_counts() {
        let mut long = vec![b'a'; HEAD];
        long.push(0);
        assert_eq!(classify(&long), Class::Text);
        long[HEAD - 1] = 0;
        assert_eq!(classify(&long), Class::Other);
    }

    #[test]
    fn a_type_is_shown_only_if_the_bytes_agree() {
        for (declared, head, inline) in [
            ("image/png", PNG, true),
            ("image/apng", PNG, true),
            ("IMAGE/PNG", PNG, true),
            (" Image/Png ; charset=x", PNG, true),
            // A browser takes the type as it is declared, and finds a broken picture.
            ("image/png", JPEG, true),
            ("image/jpeg", b"<script>alert(1)</script>", false),
            ("image/gif", b"GIF89a=1;alert(1)", false),
            ("image/svg+xml", b"<svg onload=alert(1)>", false),
            ("image/png, text/html", PNG, false),
            ("image/png/", PNG, false),
            ("image /png", PNG, false),
            ("text/html", b"hello", false),
            ("TEXT/HTML; charset=utf-8", b"hello", false),
            ("text/html;image/png", PNG, false),
            ("text/xml", b"<?xml?>", false),
            ("application/xhtml+xml", b"<html>", false),
            ("text/plain", b"hello", true),
            ("Text/Plain;charset=UTF-8", b"hello", true),
            ("text/plain", b"<script>alert(1)</script>", false),
            ("text/plain", PNG, false),
            ("text/css", b"a { color: red }", true),
            ("text/javascript", b"alert(1)", false),
            ("application/json", b"[1]", true),
            ("video/mp4", MP4, true),
            ("audio/mp4", MP4, true),
            ("video/ogg", OGG, true),
            ("video/webm", WEBM, true),
            ("audio/wave", WAV, true),
            ("audio/x-flac", FLAC, true),
            ("video/mp4", b"\x00\x01\x02 ciphertext", false),
            ("application/pdf", b"%PDF-1.7\x00", false),
            ("application/octet-stream", PNG, false),
            ("", PNG, false),
        ] {
            assert_eq!(is_inline(Some(declared), classify(head)), inline, "{declared:?}");
        }
        assert!(!is_inline(None, Class::Image));
    }
}
