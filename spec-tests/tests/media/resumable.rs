//! Uploads that break off, by the IETF's draft.

use kith_spec_tests::TestServer;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use tokio::process::Command;

use crate::support::{
    PARTIAL, UPLOAD, append, content, create, get, header, media, offset, send_part,
};

#[tokio::test]
async fn an_upload_is_created_appended_to_and_finished() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let file = content(1, 9_000_000);
    let headers =
        [("content-type", "image/png"), ("upload-complete", "?0"), ("upload-length", "9000000")];
    let first = file[..3_000_000].to_vec();
    let path = format!("{UPLOAD}?filename=a.png");
    let created = alice.request_with(Method::POST, &path, Some(first), &headers).await;
    assert_eq!(created.status, 201, "{created}");
    assert_eq!(header(&created.headers, "upload-offset"), "3000000");
    assert_eq!(header(&created.headers, "upload-complete"), "?0");
    assert!(header(&created.headers, "upload-limit").contains("max-size="));
    let media = media(&created);
    assert_eq!(header(&created.headers, "location"), format!("{UPLOAD}/{media}"));

    let status = alice.request(Method::HEAD, &format!("{UPLOAD}/{media}"), None).await;
    assert_eq!(status.status, 204);
    for (name, value) in [
        ("upload-offset", "3000000"),
        ("upload-complete", "?0"),
        ("upload-length", "9000000"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&status.headers, name), value);
    }
    let next = append(&alice, &media, 3_000_000, false, &file[3_000_000..5_000_000]).await;
    assert_eq!((next.status, header(&next.headers, "upload-offset")), (204, "5000000"), "{next}");
    let wrong = append(&alice, &media, 3_000_000, false, &file[3_000_000..]).await;
    assert_eq!(wrong.status, 409);
    assert_eq!(header(&wrong.headers, "content-type"), "application/problem+json");
    assert_eq!(
        wrong["type"],
        "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    );
    assert_eq!(
        (&wrong["expected-offset"], &wrong["provided-offset"]),
        (&5_000_000.into(), &3_000_000.into())
    );
    let short = append(&alice, &media, 5_000_000, true, &file[5_000_000..8_999_999]).await;
    assert_eq!(short.status, 400, "{short}");
    assert_eq!(offset(&alice, &media).await, 8_999_999.min(offset(&alice, &media).await));
    let at = offset(&alice, &media).await;
    let last = append(&alice, &media, at, true, &file[at..]).await;
    assert_eq!((last.status, header(&last.headers, "upload-complete")), (200, "?1"), "{last}");
    assert_eq!(last["content_uri"], format!("mxc://{media}"));
    assert!(get(server.address(), &alice, &media).await == file);
    let again = append(&alice, &media, 9_000_000, true, b"").await;
    assert_eq!(again.status, 409);
    assert_eq!(again["type"], "https://iana.org/assignments/http-problem-types#completed-upload");
}

#[tokio::test]
async fn an_upload_in_one_request_may_say_that_it_is_whole() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let headers = [("upload-complete", "?1"), ("content-type", "text/plain")];
    let answer = alice.request_with(Method::POST, UPLOAD, Some(b"hi".to_vec()), &headers).await;
    assert_eq!((answer.status, header(&answer.headers, "upload-complete")), (200, "?1"));
    assert_eq!(get(server.address(), &alice, &media(&answer)).await, b"hi");
}

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let server = TestServer::with(|config| config.limits.upload = 1000).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let media = create(&alice).await;
    let patch = async |headers: &[(&str, &str)]| {
        let path = format!("{UPLOAD}/{media}");
        alice.request_with(Method::PATCH, &path, Some(b"x".to_vec()), headers).await
    };
    let kind = ("content-type", PARTIAL);
    let (at, whole) = (("upload-offset", "0"), ("upload-complete", "?0"));
    patch(&[("content-type", "text/plain"), at, whole]).await.error(415, "M_UNKNOWN");
    patch(&[kind, whole]).await.error(400, "M_MISSING_PARAM");
    patch(&[kind, at]).await.error(400, "M_MISSING_PARAM");
    patch(&[kind, ("upload-offset", "-1"), whole]).await.error(400, "M_INVALID_PARAM");
    patch(&[kind, at, ("upload-complete", "yes")]).await.error(400, "M_INVALID_PARAM");
    patch(&[kind, at, whole, ("repr-digest", "sha-256=abc")]).await.error(400, "M_INVALID_PARAM");
    append(&bob, &media, 0, false, b"x").await.error(403, "M_FORBIDDEN");
    append(&server.anonymous(), &media, 0, false, b"x").await.error(401, "M_MISSING_TOKEN");
    append(&alice, "kith.test/unknown", 0, false, b"x").await.error(404, "M_NOT_FOUND");
    append(&alice, &media, 0, false, &[b'x'; 1001]).await.error(413, "M_TOO_LARGE");
    let large = [("upload-complete", "?0"), ("upload-length", "1001")];
    let large = alice.request_with(Method::POST, UPLOAD, Some(Vec::new()), &large).await;
    large.error(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn an_upload_can_be_given_up() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let media = create(&alice).await;
    append(&alice, &media, 0, false, &content(1, 100_000)).await;
    let path = format!("{UPLOAD}/{media}");
    bob.request(Method::DELETE, &path, None).await.error(403, "M_FORBIDDEN");
    assert_eq!(alice.request(Method::DELETE, &path, None).await.status, 204);
    alice.request(Method::DELETE, &path, None).await.error(404, "M_NOT_FOUND");
    assert_eq!(alice.request(Method::HEAD, &path, None).await.status, 404);
}

/// A digest of the whole file is checked before it is one.
#[tokio::test]
async fn a_wrong_digest_is_found_out() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let post = async |digest: &str| {
        let headers = [("upload-complete", "?1"), ("repr-digest", digest)];
        alice.request_with(Method::POST, UPLOAD, Some(b"abc".to_vec()), &headers).await
    };
    let right = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    assert_eq!(post(right).await.status, 200);
    let wrong = "sha-256=:AAAWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    post(wrong).await.error(400, "M_INVALID_PARAM");
}

/// At any byte, as often as it likes.
#[tokio::test]
async fn an_upload_that_breaks_off_anywhere_is_resumed() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut random = StdRng::seed_from_u64(5);
    let file = content(5, 13_000_000);
    let media = create(&alice).await;
    let request = format!("PATCH {UPLOAD}/{media}");
    let mut at = 0;
    for _ in 0..12 {
        let rest = &file[at..];
        let sent = random.random_range(0..=rest.len().min(3_000_000));
        let text = at.to_string();
        let headers = [
            ("content-type", PARTIAL),
            ("upload-offset", text.as_str()),
            ("upload-complete", "?1"),
        ];
        send_part(server.address(), &alice, &request, &headers, rest.len(), &rest[..sent]).await;
        // Everything that was sent may be there, but never more; and nothing that was there is lost.
        let now = offset(&alice, &media).await;
        assert!((at..=at + sent).contains(&now), "{at} + {sent}: {now}");
        at = now;
    }
    let last = append(&alice, &media, at, true, &file[at..]).await;
    assert_eq!(last.status, 200, "{last}");
    assert!(get(server.address(), &alice, &media).await == file);
}

/// With nothing but curl.
#[tokio::test]
async fn curl_goes_on_with_an_upload() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let folder = tempfile::tempdir().unwrap();
    let (whole, rest) = (folder.path().join("whole"), folder.path().join("rest"));
    let file = content(6, 6_000_000);
    std::fs::write(&whole, &file).unwrap();
    let media = create(&alice).await;
    let url = format!("{}{UPLOAD}/{media}", server.url());
    let curl = async |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        let token = alice.access_token.as_deref().unwrap();
        curl.args(["--silent", "--show-error", "-H", &format!("Authorization: Bearer {token}")]);
        let output = curl.args(arguments).arg(&url).kill_on_drop(true).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let patch = [
        "-X",
        "PATCH",
        "-H",
        "Content-Type: application/partial-upload",
        "-H",
        "Upload-Complete: ?1",
    ];
    // As slow as this it does not come to its end in a second.
    let data = format!("@{}", whole.display());
    let slow = [
        "--limit-rate",
        "1M",
        "--max-time",
        "1",
        "-H",
        "Upload-Offset: 0",
        "-H",
        "Expect:",
        "--data-binary",
        &data,
    ];
    curl(&[&patch[..], &slow].concat()).await;
    let head = curl(&["--head"]).await;
    let said = head.lines().find_map(|line| line.strip_prefix("upload-offset: "));
    let at: usize = said.expect("an offset").trim().parse().unwrap();
    assert!(at < file.len(), "{at}");
    std::fs::write(&rest, &file[at..]).unwrap();
    let data = format!("@{}", rest.display());
    let going_on = ["-H", &format!("Upload-Offset: {at}"), "--data-binary", &data];
    let answer = curl(&[&patch[..], &going_on].concat()).await;
    assert!(answer.contains(&media), "{answer}");
    assert!(get(server.address(), &alice, &media).await == file);
}

#[tokio::test]
async fn a_client_learns_beforehand_what_it_may_do() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let options = alice.request(Method::OPTIONS, UPLOAD, None).await;
    assert!(header(&options.headers, "upload-limit").starts_with("max-size=104857600"));
    let versions = alice.get("versions").await.ok();
    assert_eq!(versions["unstable_features"]["dev.kith.resumable_upload"], true);
}
