use kith_spec_tests::TestServer;
use reqwest::Method;

use crate::support::{content, download, fetch, media, upload};

#[tokio::test]
async fn a_part_of_a_file_is_answered_with_206() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let file = content(1, 300_000);
    let path = download(&media(&upload(&alice, "video/mp4", &file).await));
    let get = async |range: &str| {
        fetch(Method::GET, server.address(), &alice, &path, &[("range", range)]).await
    };
    for (range, expected) in [
        ("bytes=0-", 0..300_000),
        ("bytes=0-0", 0..1),
        ("bytes=65530-65545", 65_530..65_546),
        ("bytes=299999-400000", 299_999..300_000),
        ("bytes=-10", 299_990..300_000),
    ] {
        let answer = get(range).await;
        assert_eq!(answer.status, 206, "{range}");
        let said = format!("bytes {}-{}/300000", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), said);
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        assert!(answer.body == file[expected], "{range}");
    }
    let beyond = get("bytes=300000-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */300000"));
    for whole in ["bytes=0-1,5-6", "bytes=5-4", "pages=1-2", "bytes=x"] {
        let answer = get(whole).await;
        assert_eq!((answer.status, answer.body.len()), (200, 300_000), "{whole}");
        assert_eq!(answer.header("accept-ranges"), "bytes");
    }
}

#[tokio::test]
async fn a_tag_says_which_bytes_they_are() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = download(&media(&upload(&alice, "text/plain", b"0123456789").await));
    let get = async |headers: &[(&str, &str)]| {
        fetch(Method::GET, server.address(), &alice, &path, headers).await
    };
    let tag = get(&[]).await.header("etag").to_owned();
    assert_eq!(tag, "\"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882\"");
    let known = get(&[("if-none-match", &tag)]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(get(&[("if-none-match", "\"other\"")]).await.status, 200);
    assert_eq!(get(&[("range", "bytes=2-3"), ("if-range", &tag)]).await.body, b"23");
    let other = get(&[("range", "bytes=2-3"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (200, 10));
}

#[tokio::test]
async fn head_says_what_get_would() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let path = download(&media(&upload(&alice, "image/png", &content(1, 12_345)).await));
    let get = fetch(Method::GET, server.address(), &alice, &path, &[]).await;
    let head = fetch(Method::HEAD, server.address(), &alice, &path, &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in [
        "content-length",
        "content-type",
        "content-disposition",
        "content-security-policy",
        "cross-origin-resource-policy",
        "x-content-type-options",
        "accept-ranges",
        "etag",
    ] {
        assert!(!head.header(name).is_empty(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let part =
        fetch(Method::HEAD, server.address(), &alice, &path, &[("range", "bytes=5-9")]).await;
    assert_eq!((part.status, part.header("content-length")), (206, "5"));
    let nobody = server.anonymous();
    assert_eq!(fetch(Method::HEAD, server.address(), &nobody, &path, &[]).await.status, 401);
}

/// A page that says it is a picture is not shown.
#[tokio::test]
async fn a_file_that_is_not_what_it_says_is_saved() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let pdf = b"%PDF-1.7 and so on";
    let answer = upload(&alice, "image/png", pdf).await;
    let answer =
        fetch(Method::GET, server.address(), &alice, &download(&media(&answer)), &[]).await;
    assert!(answer.header("content-disposition").starts_with("attachment"));
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    let answer = upload(&alice, "image/png", png).await;
    let answer =
        fetch(Method::GET, server.address(), &alice, &download(&media(&answer)), &[]).await;
    assert!(answer.header("content-disposition").starts_with("inline"));
}
