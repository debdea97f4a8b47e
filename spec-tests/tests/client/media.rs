//! Files.

use kith_spec_tests::{Answer, TestServer, TestUser, path};
use reqwest::Method;

async fn upload(user: &TestUser, content_type: &str, file: &[u8]) -> Answer {
    let path = "/_matrix/media/v3/upload?filename=a%20file.txt";
    let headers = [("content-type", content_type)];
    user.request_with(Method::POST, path, Some(file.to_vec()), &headers).await
}

/// The server name and media ID of an uploaded file.
fn parts(uploaded: &Answer) -> (String, String) {
    let uri = uploaded.text_at("content_uri");
    let rest = uri.strip_prefix("mxc://").expect("a content URI");
    let (server_name, media_id) = rest.split_once('/').expect("a server and an ID");
    (server_name.to_owned(), media_id.to_owned())
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#content-repository)
#[tokio::test]
async fn an_uploaded_file_is_downloaded_as_it_was() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (server_name, media_id) = parts(&upload(&alice, "text/plain", b"hello").await);
    assert_eq!(server_name, server.name());
    let path = path!("v1/media/download/{}/{}", server_name, media_id);
    let file = bob.get(&path).await;
    assert_eq!((file.status, file.text.as_str()), (200, "hello"));
    assert_eq!(header(&file, "content-type"), "text/plain");
    assert!(header(&file, "content-disposition").contains("a file.txt"), "{:?}", file.headers);
    let renamed = bob.get(&format!("{path}/other.txt")).await;
    assert!(header(&renamed, "content-disposition").contains("other.txt"), "{:?}", renamed.headers);
    server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
    let unknown = path!("v1/media/download/{}/{}", server_name, "nothing");
    bob.get(&unknown).await.error(404, "M_NOT_FOUND");
}

/// What a browser would run is not shown but saved.
#[tokio::test]
async fn a_web_page_is_never_served_as_one() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for content_type in ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "text/xml"] {
        let uploaded = upload(&alice, content_type, b"<script>alert(1)</script>").await;
        let (server_name, media_id) = parts(&uploaded);
        let file = alice.get(&path!("v1/media/download/{}/{}", server_name, media_id)).await;
        let disposition = header(&file, "content-disposition");
        assert!(disposition.starts_with("attachment"), "{content_type}: {disposition}");
        let policy = header(&file, "content-security-policy");
        assert!(policy.contains("sandbox"), "{content_type}: {policy}");
        assert!(policy.contains("default-src 'none'"), "{content_type}: {policy}");
    }
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused() {
    let server = TestServer::with(|config| config.limits.upload = 1000).await;
    let alice = server.register("alice").await;
    let config = alice.get("v1/media/config").await.ok();
    assert_eq!(config["m.upload.size"], 1000);
    assert_eq!(alice.get("/_matrix/media/v3/config").await.ok()["m.upload.size"], 1000);
    upload(&alice, "text/plain", &[b'a'; 1001]).await.error(413, "M_TOO_LARGE");
    assert_eq!(upload(&alice, "text/plain", &[b'a'; 1000]).await.status, 200);
    upload(&server.anonymous(), "text/plain", b"a").await.error(401, "M_MISSING_TOKEN");
}

/// An ID is not a way through the folders.
#[tokio::test]
async fn a_media_id_leads_nowhere_else() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for id in ["../../etc/passwd", "..", ".", "a\0b", "/etc/passwd", "..\\..\\x", "%2e%2e%2f"] {
        for server_name in [server.name(), "..", "../..", "kith.test/.."] {
            let answer = alice.get(&path!("v1/media/download/{}/{}", server_name, id)).await;
            assert!((400..500).contains(&answer.status), "{server_name} {id:?}: {answer}");
        }
    }
}
