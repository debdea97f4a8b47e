//! How does another server send a file? In two parts, of which the second is the file or says where it is.
//!
//! Read by ourselves: a malformed answer of another server is an error and nothing worse.
//! [Spec](https://spec.matrix.org/latest/server-server-api/#content-repository)

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ruma::{
    api::{
        IncomingResponse, Metadata, OutgoingRequest,
        error::{DeserializationError, Error, IntoHttpError},
        federation::authenticated_media::{get_content, get_content_thumbnail},
    },
    http_headers::ContentDisposition,
};
use serde::de::Error as _;

/// The request `R`, whose answer is a [`Sent`].
#[derive(Debug, Clone)]
pub(super) struct Asking<R>(pub(super) R);

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    File {
        content_type: Option<String>,
        filename: Option<String>,
        content: Vec<u8>,
    },
    /// It is at this URL.
    Elsewhere(String),
}

macro_rules! asking {
    ($request:ty) => {
        impl Metadata for Asking<$request> {
            const METHOD: Method = <$request as Metadata>::METHOD;
            const RATE_LIMITED: bool = <$request as Metadata>::RATE_LIMITED;
            type Authentication = <$request as Metadata>::Authentication;
            type PathBuilder = <$request as Metadata>::PathBuilder;
            const PATH_BUILDER: Self::PathBuilder = <$request as Metadata>::PATH_BUILDER;
        }

        impl OutgoingRequest for Asking<$request> {
            type Body = <$request as OutgoingRequest>::Body;
            type EndpointError = Error;
            type IncomingResponse = Sent;

            fn try_into_http_request_inner(
                self,
                base_url: &str,
                input: (),
            ) -> Result<http::Request<Self::Body>, IntoHttpError> {
                self.0.try_into_http_request_inner(base_url, input)
            }
        }
    };
}
asking!(get_content::v1::Request);
asking!(get_content_thumbnail::v1::Request);

impl IncomingResponse for Sent {
    type EndpointError = Error;

    fn try_from_http_response_inner(
        response: http::Response<&[u8]>,
    ) -> Result<Self, DeserializationError> {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sent = boundary(content_type).and_then(|boundary| read(response.body(), &boundary));
        sent.ok_or_else(|| serde_json::Error::custom("no file in two parts").into())
    }
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

/// The second part; what is in the first has no meaning yet.
fn read(body: &[u8], boundary: &str) -> Option<Sent> {
    let separator = format!("\r\n--{boundary}");
    let separator = separator.as_bytes();
    // Without anything before it the first boundary need not begin a new line.
    let first = match body.strip_prefix(&separator[2..]) {
        Some(rest) => rest,
        None => split(body, separator)?.1,
    };
    let (_, second) = split(first, separator)?;
    let (second, _) = split(second, separator)?;
    let (headers, content) = head(second)?;
    let text =
        |name: HeaderName| -> Option<String> { Some(headers.get(name)?.to_str().ok()?.to_owned()) };
    if let Some(location) = text(header::LOCATION) {
        return Some(Sent::Elsewhere(location));
    }
    let disposition = headers.get(header::CONTENT_DISPOSITION);
    let disposition =
        disposition.and_then(|value| ContentDisposition::try_from(value.as_bytes()).ok());
    Some(Sent::File {
        content_type: text(header::CONTENT_TYPE),
        filename: disposition.and_then(|disposition| disposition.filename),
        content: content.to_vec(),
    })
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // The last byte of the boundary's first two lets most of a file be passed over quickly.
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == at[0]) {
        let start = from + found;
        if bytes[start..].starts_with(at) {
            return Some((&bytes[..start], &bytes[start + at.len()..]));
        }
        from = start + 1;
    }
    None
}

/// The headers of a part, and what follows them.
fn head(part: &[u8]) -> Option<(HeaderMap, &[u8])> {
    /// How many headers a part may have.
    const HEADERS: usize = 32;
    let mut headers = HeaderMap::new();
    // What is left of the boundary's line.
    let mut rest = line(part)?.1;
    for _ in 0..HEADERS {
        let (header, after) = line(rest)?;
        rest = after;
        if header.is_empty() {
            return Some((headers, rest));
        }
        let colon = header.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&header[..colon]).ok()?;
        let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?;
        headers.append(name, value);
    }
    None
}

/// A line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> Option<Sent> {
        read(body.as_bytes(), "b")
    }

    fn file(content_type: Option<&str>, filename: Option<&str>, content: &str) -> Sent {
        Sent::File {
            content_type: content_type.map(str::to_owned),
            filename: filename.map(str::to_owned),
            content: content.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_second_part_is_the_file() {
        let body = "\r\n--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\n\
            content-type: text/plain\r\ncontent-disposition: inline; filename=a.txt\r\n\r\n\
            some\r\ntext\r\n--b--";
        let expected = file(Some("text/plain"), Some("a.txt"), "some\r\ntext");
        assert_eq!(sent(body), Some(expected));
        assert_eq!(sent("--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b"), Some(file(None, None, "x")));
        assert_eq!(sent("--b\n\n{}\r\n--b\n\n\r\n--b--\r\n"), Some(file(None, None, "")));
    }

    #[test]
    fn the_second_part_may_say_where_the_file_is() {
        let body = "--b\r\n\r\n{}\r\n--b\r\nLocation: https://a.example/b\r\n\r\n\r\n--b--";
        assert_eq!(sent(body), Some(Sent::Elsewhere("https://a.example/b".to_owned())));
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        for body in [
            "",
            "--b",
            "--b\r\n--b\r\n--b",
            "--b\r\n--b\r\n--b\r\n--b",
            "--b\r\n\r\n{}\r\n--b--",
            "--b\r\n\r\n{}\r\n--b\r\n\r\ncut",
            "--b\r\n\r\n{}\r\n--b\r\nno header\r\n\r\nx\r\n--b--",
            "--b\r\n\r\n{}\r\n--b\r\nbad name: 1\r\n\r\nx\r\n--b--",
        ] {
            assert_eq!(sent(body), None, "{body:?}");
        }
        let many = "a: b\r\n".repeat(40);
        assert_eq!(sent(&format!("--b\r\n\r\n{{}}\r\n--b\r\n{many}\r\nx\r\n--b--")), None);
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
