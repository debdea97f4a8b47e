//! Files that want to be more than files: lines 37 and 39.

use kith_spec_tests::{Answer, RemoteServer, TestServer, TestUser, encode};
use reqwest::Method;

/// Names that are paths, as they are and as URLs write them.
const PATHS: [&str; 13] = [
    "../../etc/passwd",
    "..",
    ".",
    "a/../../b",
    "/etc/passwd",
    "..\\..\\windows",
    "a\0b",
    "%2e%2e%2fetc",
    "..%252f..%252f",
    "abc.json",
    "~root",
    "é",
    "a b",
];

async fn upload(user: &TestUser, content_type: &str, file: &[u8]) -> String {
    let headers = [("content-type", content_type)];
    let path = "/_matrix/media/v3/upload";
    let answer = user.request_with(Method::POST, path, Some(file.to_vec()), &headers).await;
    answer.text_at("content_uri").strip_prefix("mxc://").expect("a URI").to_owned()
}

/// CVE-2021-41281: nothing in a URI of a file is ever a part of a path.
#[tokio::test]
async fn no_media_id_and_no_server_name_leads_out_of_the_store() {
    let year_2100 = Some(4_102_444_800_000);
    let server =
        TestServer::federating_with(|config| config.media.unauthenticated_before = year_2100).await;
    let (alice, remote) = (server.register("alice").await, RemoteServer::start().await);
    // Also as a gateway that finds no such server.
    let refused = |answer: &Answer| assert!((400..505).contains(&answer.status), "{answer}");
    let own = server.name().to_owned();
    let peer = remote.name().to_string();
    for path in PATHS {
        let id = encode(path);
        for (name, id) in [(&own, &id), (&peer, &id), (&id, &"abc".to_owned()), (&id, &id)] {
            for url in [
                format!("v1/media/download/{name}/{id}"),
                format!("v1/media/download/{name}/{id}/{id}"),
                format!("v1/media/thumbnail/{name}/{id}?width=32&height=32"),
                format!("/_matrix/media/v3/download/{name}/{id}"),
                format!("/_matrix/media/r0/download/{name}/{id}/{id}"),
                format!("/_matrix/media/v1/thumbnail/{name}/{id}?width=32&height=32"),
            ] {
                refused(&alice.get(&url).await);
            }
            let upload = format!("/_matrix/media/v3/upload/{name}/{id}");
            let tus = format!("/_matrix/client/unstable/dev.kith.tus/{name}/{id}");
            for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD] {
                for url in [&upload, &tus] {
                    let headers = [("tus-resumable", "1.0.0")];
                    let body = Some(b"x".to_vec());
                    refused(&alice.request_with(method.clone(), url, body, &headers).await);
                }
            }
        }
        refused(&remote.get(&server, &format!("v1/media/download/{id}")).await);
        let thumbnail = format!("v1/media/thumbnail/{id}?width=32&height=32");
        refused(&remote.get(&server, &thumbnail).await);
    }
    let asked = remote.asked();
    let media = asked.iter().find(|asked| asked.path.contains("/media/"));
    assert!(media.is_none(), "nobody asks another server for those: {media:?}");
}

/// A file's name is only ever a name.
#[tokio::test]
async fn a_file_name_adds_no_header() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let evil = encode("a\r\nset-cookie: x=1\r\n\r\n<script>\";filename=b/../../c");
    let path = format!("/_matrix/media/v3/upload?filename={evil}");
    let answer = alice.request_with(Method::POST, &path, Some(b"x".to_vec()), &[]).await;
    let media = answer.text_at("content_uri").strip_prefix("mxc://").unwrap().to_owned();
    for path in [format!("v1/media/download/{media}"), format!("v1/media/download/{media}/{evil}")]
    {
        let answer = alice.get(&path).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
        assert_eq!(answer.text, "x");
    }
}

/// Whatever way a browser gets a file, it runs nothing of it, and in no spelling of the type.
#[tokio::test]
async fn every_way_to_a_file_keeps_it_from_being_run() {
    let year_2100 = Some(4_102_444_800_000);
    let server = TestServer::with(|config| config.media.unauthenticated_before = year_2100).await;
    let alice = server.register("alice").await;
    for (content_type, inline) in [
        ("text/html", false),
        ("TEXT/HTML", false),
        ("Text/Html; charset=utf-8", false),
        (" text/html", false),
        ("text/html,text/plain", false),
        ("image/svg+xml", false),
        ("Image/SVG+XML", false),
        ("application/xhtml+xml", false),
        ("text/xml", false),
        ("application/javascript", false),
        ("text/plain", true),
        ("TEXT/PLAIN; charset=utf-8", true),
    ] {
        let media = upload(&alice, content_type, b"just some text").await;
        for path in [
            format!("v1/media/download/{media}"),
            format!("v1/media/download/{media}/page.html"),
            format!("/_matrix/media/v3/download/{media}"),
            format!("/_matrix/media/r0/download/{media}/page.html"),
        ] {
            for (method, range) in [
                (Method::GET, None),
                (Method::HEAD, None),
                (Method::GET, Some("bytes=0-1")),
                (Method::GET, Some("bytes=99-")),
            ] {
                let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
                let answer = alice.request_with(method, &path, None, &headers).await;
                let header =
                    |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
                let policy = header("content-security-policy").unwrap_or_default();
                assert!(
                    policy.contains("sandbox") && policy.contains("default-src 'none'"),
                    "{answer}"
                );
                assert!(policy.contains("script-src 'none'"), "{answer}");
                assert_eq!(header("x-content-type-options"), Some("nosniff"), "{answer}");
                assert_eq!(
                    header("cross-origin-resource-policy"),
                    Some("cross-origin"),
                    "{answer}"
                );
                let disposition = header("content-disposition").unwrap_or_default();
                let expected = if inline { "inline" } else { "attachment" };
                assert!(disposition.starts_with(expected), "{content_type:?}: {disposition}");
            }
        }
    }
}
