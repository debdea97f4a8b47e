//! Uploads that break off, by tus 1.0.

use std::process::Stdio;

use kith_spec_tests::{Answer, TestServer, TestUser};
use reqwest::Method;
use tokio::process::Command;

use crate::support::{content, get, header};

const TUS: &str = "/_matrix/client/unstable/dev.kith.tus";
const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");
const KIND: (&str, &str) = ("content-type", "application/offset+octet-stream");

async fn create(alice: &TestUser, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = [&[VERSION], headers].concat();
    alice.request_with(Method::POST, TUS, Some(body.to_vec()), &headers).await
}

async fn patch(alice: &TestUser, place: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = [&[VERSION, KIND], headers].concat();
    alice.request_with(Method::PATCH, place, Some(body.to_vec()), &headers).await
}

fn place(created: &Answer) -> String {
    assert_eq!(created.status, 201, "{created}");
    assert_eq!(header(&created.headers, "tus-resumable"), "1.0.0");
    header(&created.headers, "location").to_owned()
}

#[tokio::test]
async fn a_file_comes_in_parts() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let file = content(1, 5_000_000);
    let meta = ("upload-metadata", "filename w6QudHh0,filetype dGV4dC9wbGFpbg==,is_confidential");
    let place = place(&create(&alice, &[("upload-length", "5000000"), meta], b"").await);
    let first = patch(&alice, &place, &[("upload-offset", "0")], &file[..1_000_000]).await;
    assert_eq!(
        (first.status, header(&first.headers, "upload-offset")),
        (204, "1000000"),
        "{first}"
    );
    assert!(!header(&first.headers, "upload-expires").is_empty());
    let wrong = patch(&alice, &place, &[("upload-offset", "0")], &file[..1]).await;
    assert_eq!(wrong.status, 409, "{wrong}");
    let status = alice.request_with(Method::HEAD, &place, None, &[VERSION]).await;
    assert_eq!((status.status, header(&status.headers, "upload-offset")), (200, "1000000"));
    assert_eq!(header(&status.headers, "upload-length"), "5000000");
    assert_eq!(header(&status.headers, "cache-control"), "no-store");
    let last = patch(&alice, &place, &[("upload-offset", "1000000")], &file[1_000_000..]).await;
    assert_eq!((last.status, header(&last.headers, "upload-offset")), (204, "5000000"));
    let media = header(&last.headers, "matrix-content-uri").strip_prefix("mxc://").unwrap();
    assert!(get(server.address(), &alice, media).await == file);
    let answer = alice.get(&crate::support::download(media)).await;
    assert_eq!(answer.headers["content-type"], "text/plain");
    // No text, whatever its type says.
    assert!(answer.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
}

#[tokio::test]
async fn extensions_do_what_they_say() {
    let server = TestServer::with(|config| config.limits.upload = 1000).await;
    let alice = server.register("alice").await;
    let options = alice.request(Method::OPTIONS, TUS, None).await;
    assert_eq!(header(&options.headers, "tus-max-size"), "1000");
    assert_eq!(header(&options.headers, "tus-version"), "1.0.0");
    assert!(header(&options.headers, "tus-extension").contains("checksum"));
    // Creation with the first bytes; an empty file is whole at once.
    let created = create(&alice, &[("upload-length", "5"), KIND], b"hello").await;
    let media = header(&created.headers, "matrix-content-uri").strip_prefix("mxc://").unwrap();
    assert_eq!(get(server.address(), &alice, media).await, b"hello");
    let empty = create(&alice, &[("upload-length", "0")], b"").await;
    let media = header(&empty.headers, "matrix-content-uri").strip_prefix("mxc://").unwrap();
    assert_eq!(get(server.address(), &alice, media).await, b"");
    // The length comes later.
    let place = place(&create(&alice, &[("upload-defer-length", "1")], b"").await);
    let status = alice.request_with(Method::HEAD, &place, None, &[VERSION]).await;
    assert_eq!(header(&status.headers, "upload-defer-length"), "1");
    // A part whose checksum is wrong is not taken.
    let at = ("upload-offset", "0");
    let wrong = ("upload-checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(patch(&alice, &place, &[at, wrong], b"abc").await.status, 460);
    let right = ("upload-checksum", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    let taken = patch(&alice, &place, &[at, right, ("upload-length", "6")], b"abc").await;
    assert_eq!((taken.status, header(&taken.headers, "upload-offset")), (204, "3"), "{taken}");
    // Given up.
    let gone = alice.request_with(Method::DELETE, &place, None, &[VERSION]).await;
    assert_eq!(gone.status, 204);
    let gone = alice.request_with(Method::HEAD, &place, None, &[VERSION]).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn what_is_not_tus_is_refused() {
    let server = TestServer::with(|config| config.limits.upload = 1000).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let old = alice.request_with(Method::POST, TUS, None, &[("upload-length", "1")]).await;
    assert_eq!((old.status, header(&old.headers, "tus-resumable")), (412, "1.0.0"));
    create(&alice, &[], b"").await.error(400, "M_MISSING_PARAM");
    create(&alice, &[("upload-length", "1001")], b"").await.error(413, "M_TOO_LARGE");
    create(&alice, &[("upload-length", "-1")], b"").await.error(400, "M_INVALID_PARAM");
    create(&server.anonymous(), &[("upload-length", "1")], b"").await.error(401, "M_MISSING_TOKEN");
    let place = place(&create(&alice, &[("upload-length", "3")], b"").await);
    patch(&bob, &place, &[("upload-offset", "0")], b"abc").await.error(403, "M_FORBIDDEN");
    patch(&alice, &place, &[], b"abc").await.error(400, "M_MISSING_PARAM");
    patch(&alice, &place, &[("upload-offset", "0")], b"abcd").await.error(400, "M_INVALID_PARAM");
    let kind = [VERSION, ("content-type", "text/plain"), ("upload-offset", "0")];
    let other = alice.request_with(Method::PATCH, &place, Some(b"abc".to_vec()), &kind).await;
    other.error(415, "M_UNKNOWN");
}

/// [tus-js-client](https://github.com/tus/tus-js-client), cut off again and again.
#[tokio::test]
async fn tus_js_client_uploads_through_interruptions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let folder = tempfile::tempdir().unwrap();
    let file = content(9, 8_000_000);
    let path = folder.path().join("file");
    std::fs::write(&path, &file).unwrap();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let cache = cache
        .unwrap_or_else(|| std::path::Path::new(&std::env::var("HOME").unwrap()).join(".cache"));
    let modules = cache.join("kith/interop/tus/node_modules");
    assert!(modules.is_dir(), "run spec-tests/setup-interop.sh (deploy/setup.sh --tests)");
    let script = folder.path().join("upload.mjs");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/tus/upload.mjs"), &script)
        .unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let mut node = Command::new("node");
    node.arg(&script).arg(format!("{}{TUS}", server.url())).arg(&path);
    node.env("TOKEN", alice.access_token.as_deref().unwrap());
    let output = node.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    let said: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(said["interruptions"].as_u64().unwrap() >= 3, "{said}");
    let media = said["uri"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    assert!(get(server.address(), &alice, media).await == file);
}
