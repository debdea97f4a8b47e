//! `media/download`, `media/thumbnail`.

use kith_spec_tests::{Answer, RemoteServer, TestServer, TestUser};
use reqwest::Method;

async fn upload(alice: &TestUser, content_type: &str, file: &[u8], name: &str) -> String {
    let path = format!("/_matrix/media/v3/upload?filename={name}");
    let headers = [("content-type", content_type)];
    let answer = alice.request_with(Method::POST, &path, Some(file.to_vec()), &headers).await;
    let uri = answer.text_at("content_uri");
    uri.rsplit('/').next().expect("an ID").to_owned()
}

/// The headers and the content of each part.
fn parts(answer: &Answer) -> Vec<(String, String)> {
    let content_type = answer.headers["content-type"].to_str().expect("text");
    let boundary = content_type.strip_prefix("multipart/mixed; boundary=").expect("multipart");
    let separator = format!("\r\n--{boundary}");
    let parts = answer.text.split(&separator).skip(1);
    let parts = parts.filter(|part| !part.starts_with("--"));
    let split = |part: &str| {
        let (head, body) = part.split_once("\r\n\r\n").expect("a head and a body");
        (head.trim().to_owned(), body.to_owned())
    };
    parts.map(split).collect()
}

#[tokio::test]
async fn a_file_comes_after_its_metadata() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let id = upload(&alice, "text/plain", b"some text", "a.txt").await;
    let remote = RemoteServer::start().await;
    let answer = remote.get(&server, &format!("v1/media/download/{id}")).await;
    assert_eq!(answer.status, 200, "{answer}");
    let parts = parts(&answer);
    assert_eq!(parts.len(), 2, "{answer}");
    assert_eq!(parts[0].0, "content-type: application/json");
    assert_eq!(parts[0].1, "{}");
    assert!(parts[1].0.contains("content-type: text/plain"), "{answer}");
    assert!(parts[1].0.contains("content-disposition: inline; filename=a.txt"), "{answer}");
    assert_eq!(parts[1].1, "some text");
}

#[tokio::test]
async fn nobody_adds_a_header_or_a_part_by_a_files_name() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let name = "a%0D%0Ax-evil:%201%0D%0A%0D%0A--b";
    let id = upload(&alice, "text/html", b"<script>", name).await;
    let remote = RemoteServer::start().await;
    let answer = remote.get(&server, &format!("v1/media/download/{id}")).await;
    let parts = parts(&answer);
    assert_eq!(parts.len(), 2, "{answer}");
    assert_eq!(parts[1].1, "<script>");
    assert!(parts[1].0.contains("content-disposition: attachment"), "{answer}");
    assert!(!parts[1].0.lines().any(|line| line.starts_with("x-evil")), "{answer}");
}

#[tokio::test]
async fn thumbnails_of_our_files_are_made_for_others() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let mut picture = std::io::Cursor::new(Vec::new());
    let grey =
        image::GrayImage::from_fn(300, 200, |x, y| image::Luma([((x * 7) ^ (y * 13)) as u8]));
    grey.write_to(&mut picture, image::ImageFormat::Png).expect("a picture");
    let image = upload(&alice, "image/png", picture.get_ref(), "a.png").await;
    let text = upload(&alice, "text/plain", b"text", "a.txt").await;
    let remote = RemoteServer::start().await;
    let thumbnail = async |id: &str, query: &str| {
        remote.get(&server, &format!("v1/media/thumbnail/{id}?{query}")).await
    };
    let answer = thumbnail(&image, "width=32&height=32&method=crop").await;
    let (head, _) = &parts(&answer)[1];
    assert!(head.contains("content-type: image/jpeg"), "{head}");
    assert!(head.contains("content-disposition: inline; filename=\"thumbnail.jpg\""), "{head}");
    let start = answer.bytes.windows(3).position(|three| three == [0xff, 0xd8, 0xff]);
    let made = image::load_from_memory(&answer.bytes[start.expect("a JPEG file")..]);
    let made = made.expect("a picture");
    assert_eq!((made.width(), made.height()), (32, 32));
    // One that is small enough goes as it is.
    let answer = thumbnail(&image, "width=400&height=400").await;
    let whole = answer.bytes.windows(picture.get_ref().len()).any(|part| part == picture.get_ref());
    assert!(whole, "{:?}", parts(&answer)[1].0);
    thumbnail(&text, "width=32&height=32").await.error(400, "M_UNKNOWN");
    thumbnail(&image, "width=0&height=32").await.error(400, "M_INVALID_PARAM");
    let missing = thumbnail(&image, "width=32").await;
    assert_eq!(missing.status, 400, "{missing}");
}

#[tokio::test]
async fn files_that_are_not_here_are_not_found() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    for id in ["nothing", "..%2F..%2Fkith.toml", "a%00b"] {
        let answer = remote.get(&server, &format!("v1/media/download/{id}")).await;
        answer.error(404, "M_NOT_FOUND");
    }
    let path = "/_matrix/federation/v1/media/download/nothing";
    server.anonymous().get(path).await.error(401, "M_UNAUTHORIZED");
}
