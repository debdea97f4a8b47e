//! How does another server send a file? In two parts, of which the second is the file or says where it is.
//!
//! Read by ourselves as it comes: a file is never held whole, and a malformed answer of another server is
//! an error and nothing worse. [Spec](https://spec.matrix.org/latest/server-server-api/#content-repository)

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kith_federation::{client::RequestError, stream::Stream};
use ruma::http_headers::ContentDisposition;

/// How much may come before the file, in bytes.
const ENVELOPE: usize = 64 * 1024;
/// How many headers a part may have.
const HEADERS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    #[error("no file in two parts")]
    Malformed,
    #[error("the file ends before its boundary")]
    CutOff,
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// What a server sends.
pub(super) enum Sent {
    File(File),
    /// It is at this URL.
    Elsewhere(String),
}

pub(super) struct File {
    pub(super) content_type: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) content: BoxStream<'static, Result<Bytes, MultipartError>>,
}

/// Reads up to where the file begins.
pub(super) async fn read(answer: http::Response<Stream>) -> Result<Sent, MultipartError> {
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = boundary(content_type).ok_or(MultipartError::Malformed)?;
    let separator = format!("\r\n--{boundary}").into_bytes();
    let mut body = answer.into_body();
    // Without anything before it the first boundary need not begin a new line: now it does.
    let mut begun = BytesMut::from("\r\n");
    let headers = loop {
        if let Some((headers, content)) = opening(&begun, &separator)? {
            let _ = begun.split_to(content);
            break headers;
        }
        let piece = body.next().await.ok_or(MultipartError::Malformed)??;
        if begun.len() + piece.len() > ENVELOPE + separator.len() {
            // What is too much may be the file's: only so much of it is looked at.
            let room = (ENVELOPE + separator.len()).saturating_sub(begun.len()).min(piece.len());
            begun.extend_from_slice(&piece[..room]);
            let opened = opening(&begun, &separator)?.ok_or(MultipartError::Malformed)?;
            let _ = begun.split_to(opened.1);
            begun.extend_from_slice(&piece[room..]);
            break opened.0;
        }
        begun.extend_from_slice(&piece);
    };
    let text =
        |name: HeaderName| -> Option<String> { Some(headers.get(name)?.to_str().ok()?.to_owned()) };
    if let Some(location) = text(header::LOCATION) {
        return Ok(Sent::Elsewhere(location));
    }
    let disposition = headers.get(header::CONTENT_DISPOSITION);
    let disposition =
        disposition.and_then(|value| ContentDisposition::try_from(value.as_bytes()).ok());
    Ok(Sent::File(File {
        content_type: text(header::CONTENT_TYPE),
        filename: disposition.and_then(|disposition| disposition.filename),
        content: content(begun, body, separator),
    }))
}

/// The boundary in `multipart/mixed; boundary=abc`.
fn boundary(content_type: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    // RFC 2046 allows no more.
    (1..=70).contains(&boundary.len()).then(|| boundary.to_owned())
}

/// The headers of the second part, and where its content begins; `None` if that has not come yet. What is
/// in the first part has no meaning yet.
fn opening(bytes: &[u8], separator: &[u8]) -> Result<Option<(HeaderMap, usize)>, MultipartError> {
    let Some(first) = find(bytes, separator, 0) else { return Ok(None) };
    let Some(second) = find(bytes, separator, first + separator.len()) else { return Ok(None) };
    let mut headers = HeaderMap::new();
    // What is left of the boundary's line comes first.
    let mut at = second + separator.len();
    for n in 0..=HEADERS {
        let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = &bytes[at..at + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length + 1;
        match (n, line) {
            (0, b"--") => return Err(MultipartError::Malformed),
            (0, _) => {}
            (_, b"") => return Ok(Some((headers, at))),
            (_, line) => {
                let (name, value) = header(line).ok_or(MultipartError::Malformed)?;
                headers.append(name, value);
            }
        }
    }
    Err(MultipartError::Malformed)
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// Everything up to the next boundary.
fn content(
    begun: BytesMut,
    body: Stream,
    separator: Vec<u8>,
) -> BoxStream<'static, Result<Bytes, MultipartError>> {
    let state = Some((begun, body));
    let pieces = stream::unfold(state, move |state| {
        let separator = separator.clone();
        async move {
            let (mut buffer, mut body) = state?;
            loop {
                if let Some(end) = find(&buffer, &separator, 0) {
                    buffer.truncate(end);
                    return (end > 0).then(|| (Ok(buffer.freeze()), None));
                }
                // The beginning of a boundary may be what came last.
                let certain = buffer.len().saturating_sub(separator.len() - 1);
                if certain > 0 {
                    let piece = buffer.split_to(certain).freeze();
                    return Some((Ok(piece), Some((buffer, body))));
                }
                match body.next().await {
                    Some(Ok(piece)) => buffer.extend_from_slice(&piece),
                    Some(Err(error)) => return Some((Err(error.into()), None)),
                    None => return Some((Err(MultipartError::CutOff), None)),
                }
            }
        }
    });
    pieces.boxed()
}

/// Where `wanted` is, from there on.
fn find(bytes: &[u8], wanted: &[u8], mut from: usize) -> Option<usize> {
    while let Some(found) = bytes.get(from..)?.iter().position(|byte| *byte == wanted[0]) {
        let start = from + found;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// Type, name and content; or the place.
    type Seen = Result<(Option<String>, Option<String>, String), String>;

    async fn sent_in(body: &str, length: usize) -> Option<Seen> {
        let pieces: Vec<_> =
            body.as_bytes().chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut answer = http::Response::new(stream::iter(pieces).boxed());
        let mixed = HeaderValue::from_static("multipart/mixed; boundary=b");
        answer.headers_mut().insert(header::CONTENT_TYPE, mixed);
        match read(answer).await.ok()? {
            Sent::Elsewhere(url) => Some(Err(url)),
            Sent::File(file) => {
                let content: Vec<Bytes> = file.content.try_collect().await.ok()?;
                let content = String::from_utf8(content.concat()).expect("text");
                Some(Ok((file.content_type, file.filename, content)))
            }
        }
    }

    /// However the body is cut in pieces.
    async fn sent(body: &str) -> Option<Seen> {
        let whole = sent_in(body, body.len().max(1)).await;
        for length in [1, 2, 3, 5, 7, 11] {
            assert_eq!(sent_in(body, length).await, whole, "{body:?} in pieces of {length}");
        }
        whole
    }

    fn file(content_type: Option<&str>, filename: Option<&str>, content: &str) -> Option<Seen> {
        let text = |text: &str| text.to_owned();
        Some(Ok((content_type.map(text), filename.map(text), content.to_owned())))
    }

    #[tokio::test]
    async fn the_second_part_is_the_file() {
        let body = "\r\n--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\n\
            content-type: text/plain\r\ncontent-disposition: inline; filename=a.txt\r\n\r\n\
            some\r\n-\r\n--text\r\n--b--";
        let expected = file(Some("text/plain"), Some("a.txt"), "some\r\n-\r\n--text");
        assert_eq!(sent(body).await, expected);
        assert_eq!(sent("--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b").await, file(None, None, "x"));
        assert_eq!(sent("--b\n\n{}\r\n--b\n\n\r\n--b--\r\n").await, file(None, None, ""));
        let long = "x".repeat(3 * ENVELOPE);
        let body = format!("--b\r\n\r\n{{}}\r\n--b\r\n\r\n{long}\r\n--b--");
        assert_eq!(sent(&body).await, file(None, None, &long));
    }

    #[tokio::test]
    async fn the_second_part_may_say_where_the_file_is() {
        let body = "--b\r\n\r\n{}\r\n--b\r\nLocation: https://a.example/b\r\n\r\n\r\n--b--";
        assert_eq!(sent(body).await, Some(Err("https://a.example/b".to_owned())));
    }

    #[tokio::test]
    async fn what_is_malformed_is_nothing() {
        let long = format!("--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b", "x".repeat(ENVELOPE));
        for body in [
            "",
            "--b",
            "--b\r\n--b\r\n--b",
            "--b\r\n--b\r\n--b\r\n--b",
            "--b\r\n\r\n{}\r\n--b--",
            "--b\r\n\r\n{}\r\n--b--\r\n\r\nx\r\n--b",
            "--b\r\n\r\n{}\r\n--b\r\n\r\ncut",
            "--b\r\n\r\n{}\r\n--b\r\nno header\r\n\r\nx\r\n--b--",
            "--b\r\n\r\n{}\r\n--b\r\nbad name: 1\r\n\r\nx\r\n--b--",
            &long,
        ] {
            assert_eq!(sent(body).await, None, "{body:?}");
        }
        let many = "a: b\r\n".repeat(40);
        let body = format!("--b\r\n\r\n{{}}\r\n--b\r\n{many}\r\nx\r\n--b--");
        assert_eq!(sent(&body).await, None);
    }

    #[test]
    fn boundaries_are_found_in_any_order_of_parameters() {
        for content_type in
            ["multipart/mixed; boundary=abc", "Multipart/Mixed;charset=utf-8; Boundary=\"abc\""]
        {
            assert_eq!(boundary(content_type).as_deref(), Some("abc"), "{content_type}");
        }
        for content_type in
            ["", "multipart/mixed", "text/plain; boundary=abc", "multipart/mixed; boundary="]
        {
            assert_eq!(boundary(content_type), None, "{content_type}");
        }
    }
}
