//! Requests whose bodies are bytes.

use std::net::SocketAddr;

use kith_spec_tests::{Answer, TestUser};
use reqwest::{Method, header::HeaderMap};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const UPLOAD: &str = "/_matrix/media/v3/upload";
pub(crate) const PARTIAL: &str = "application/partial-upload";

/// Bytes that are like no others of another seed.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) async fn upload(user: &TestUser, content_type: &str, file: &[u8]) -> Answer {
    user.request_with(Method::POST, UPLOAD, Some(file.to_vec()), &[("content-type", content_type)])
        .await
}

/// `SERVER/ID` of the URI in an answer.
pub(crate) fn media(answer: &Answer) -> String {
    let uri = answer.text_at("content_uri");
    uri.strip_prefix("mxc://").expect("a content URI").to_owned()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An answer that need not be text.
pub(crate) struct Bytes {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Bytes {
    pub(crate) fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }
}

pub(crate) async fn fetch(
    method: Method,
    address: SocketAddr,
    user: &TestUser,
    path: &str,
    headers: &[(&str, &str)],
) -> Bytes {
    let url = format!("http://{address}{path}");
    let mut request = reqwest::Client::new().request(method, url);
    if let Some(token) = &user.access_token {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("the server answers");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.expect("the whole body").to_vec();
    Bytes { status, headers, body }
}

pub(crate) fn download(media: &str) -> String {
    format!("/_matrix/client/v1/media/download/{media}")
}

/// The whole file.
pub(crate) async fn get(address: SocketAddr, user: &TestUser, media: &str) -> Vec<u8> {
    let answer = fetch(Method::GET, address, user, &download(media), &[]).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.body
}

/// Begins a request that says it has `length` bytes, sends these and hangs up.
pub(crate) async fn send_part(
    address: SocketAddr,
    user: &TestUser,
    request: &str,
    headers: &[(&str, &str)],
    length: usize,
    sent: &[u8],
) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let token = user.access_token.as_deref().unwrap_or_default();
    let mut head =
        format!("{request} HTTP/1.1\r\nHost: kith.test\r\nAuthorization: Bearer {token}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server may have hung up first.
    let _ = stream.write_all(sent).await;
    if sent.len() == length {
        let mut answer = [0; 1024];
        let _ = stream.read(&mut answer).await;
    }
}

/// How many bytes of an upload are here.
pub(crate) async fn offset(user: &TestUser, media: &str) -> usize {
    let answer = user.request(Method::HEAD, &format!("{UPLOAD}/{media}"), None).await;
    assert_eq!(answer.status, 204, "{answer}");
    header(&answer.headers, "upload-offset").parse().expect("a number")
}

pub(crate) async fn append(
    user: &TestUser,
    media: &str,
    offset: usize,
    complete: bool,
    body: &[u8],
) -> Answer {
    let offset = offset.to_string();
    let headers = [
        ("content-type", PARTIAL),
        ("upload-offset", offset.as_str()),
        ("upload-complete", if complete { "?1" } else { "?0" }),
    ];
    let path = format!("{UPLOAD}/{media}");
    user.request_with(Method::PATCH, &path, Some(body.to_vec()), &headers).await
}

pub(crate) async fn create(user: &TestUser) -> String {
    media(&user.request(Method::POST, "/_matrix/media/v1/create", None).await)
}
