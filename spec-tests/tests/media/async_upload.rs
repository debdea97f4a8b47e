//! [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixmediav1create)

use std::time::{Duration, Instant};

use kith_spec_tests::TestServer;
use reqwest::Method;

use crate::support::{UPLOAD, create, download, get, upload};

#[tokio::test]
async fn a_file_is_uploaded_to_its_uri_later() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let created = alice.request(Method::POST, "/_matrix/media/v1/create", None).await;
    let expires = created["unused_expires_at"].as_u64().expect("milliseconds");
    assert!(expires > 1_700_000_000_000, "{created}");
    let media = crate::support::media(&created);
    let early = bob.get(&format!("{}?timeout_ms=0", download(&media))).await;
    early.error(504, "M_NOT_YET_UPLOADED");
    let waiting = {
        let (bob, path) = (bob.clone(), format!("{}?timeout_ms=60000", download(&media)));
        tokio::spawn(async move { bob.get(&path).await })
    };
    let path = format!("{UPLOAD}/{media}");
    let headers = [("content-type", "text/plain")];
    let put = async |user: &kith_spec_tests::TestUser, path: &str| {
        user.request_with(Method::PUT, path, Some(b"later".to_vec()), &headers).await
    };
    put(&bob, &path).await.error(403, "M_FORBIDDEN");
    put(&server.anonymous(), &path).await.error(401, "M_MISSING_TOKEN");
    let begun = Instant::now();
    put(&alice, &format!("{path}?filename=late.txt")).await.ok();
    let answer = waiting.await.expect("waited");
    assert_eq!((answer.status, answer.text.as_str()), (200, "later"));
    assert!(begun.elapsed() < Duration::from_secs(30), "it is told, not found out");
    assert!(answer.headers["content-disposition"].to_str().unwrap().contains("late.txt"));
    put(&alice, &path).await.error(409, "M_CANNOT_OVERWRITE_MEDIA");
    assert_eq!(get(server.address(), &bob, &media).await, b"later");
}

#[tokio::test]
async fn what_cannot_be_uploaded_to_is_refused() {
    let server = TestServer::with(|config| config.limits.upload = 1000).await;
    let alice = server.register("alice").await;
    let put = async |media: &str, length: usize| {
        let path = format!("{UPLOAD}/{media}");
        alice.request_with(Method::PUT, &path, Some(vec![b'x'; length]), &[]).await
    };
    for media in
        ["kith.test/unknown", "other.test/abc", "kith.test/..%2Fx", "..%2F../x", "kith.test/a%00b"]
    {
        put(media, 1).await.error(404, "M_NOT_FOUND");
    }
    let media = create(&alice).await;
    put(&media, 1001).await.error(413, "M_TOO_LARGE");
    put(&media, 1000).await.ok();
    let plain = crate::support::media(&upload(&alice, "text/plain", b"plain").await);
    put(&plain, 1).await.error(409, "M_CANNOT_OVERWRITE_MEDIA");
}

#[tokio::test]
async fn only_a_few_uris_are_given_out_unused() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for _ in 0..5 {
        create(&alice).await;
    }
    let refused = alice.request(Method::POST, "/_matrix/media/v1/create", None).await;
    refused.error(429, "M_LIMIT_EXCEEDED");
    create(&bob).await;
    let nobody = server.anonymous().request(Method::POST, "/_matrix/media/v1/create", None).await;
    nobody.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn an_unused_uri_expires() {
    let change = |config: &mut kith_homeserver::config::Config| {
        config.media.unused_upload = Duration::from_millis(1);
    };
    let server = TestServer::with(change).await;
    let alice = server.register("alice").await;
    let media = create(&alice).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let path = format!("{UPLOAD}/{media}");
    alice
        .request_with(Method::PUT, &path, Some(b"x".to_vec()), &[])
        .await
        .error(404, "M_NOT_FOUND");
    alice.get(&download(&media)).await.error(404, "M_NOT_FOUND");
}
