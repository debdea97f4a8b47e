//! What hostile pictures, files and pages can do: SECURITY.md, lines 36 for previews, 38 and 39.

use std::{net::Ipv4Addr, time::Duration};

use kith_spec_tests::{Answer, PageServer, TestServer, TestUser, encode};
use reqwest::Method;

async fn upload(user: &TestUser, content_type: &str, file: Vec<u8>) -> String {
    let headers = [("content-type", content_type)];
    let path = "/_matrix/media/v3/upload";
    let answer = user.request_with(Method::POST, path, Some(file), &headers).await;
    answer.text_at("content_uri").rsplit('/').next().expect("a media ID").to_owned()
}

async fn preview(user: &TestUser, url: &str) -> Answer {
    user.get(&format!("v1/media/preview_url?url={}", encode(url))).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// One address of this machine is permitted; all others are as forbidden as anywhere.
async fn scene() -> (TestServer, TestUser, PageServer) {
    let server = TestServer::with(|config| {
        config.previews.allowed_ranges = vec!["127.0.0.1/32".parse().expect("a network")];
        // What federation may, previews may not.
        config.outgoing.allowed_ranges = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let alice = server.register("alice").await;
    (server, alice, PageServer::start().await)
}

/// Line 36: the inside of the server's network is not shown to its users, in whatever words they ask.
#[tokio::test]
async fn previews_do_not_reach_inside() {
    let (_server, alice, pages) = scene().await;
    let inside = PageServer::start_at(Ipv4Addr::new(127, 0, 0, 2).into()).await;
    inside.html("/", "<title>Inside</title>");
    let port = inside.address().port();
    for host in [
        "127.0.0.2",
        "127.2",
        "2130706434",
        "0x7f.0.0.2",
        "0177.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "[64:ff9b::7f00:2]",
        "[2002:7f00:2::]",
        "localhost",
        "ip6-localhost",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fc00::1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let direct = preview(&alice, &url).await;
        // Not told from a place where nothing is.
        direct.error(502, "M_UNKNOWN");
        let step = format!("/to/{}", encode(host));
        pages.redirect(&step, &url);
        preview(&alice, &pages.url(&step)).await.error(502, "M_UNKNOWN");
        assert!(pages.asked(&step) <= 1);
        let page = format!("/page/{}", encode(host));
        pages.html(
            &page,
            &format!(
                "<title>Outside</title><meta property='og:image' content='{url}'>
                <link rel='alternate' type='application/json+oembed' href='{url}'>"
            ),
        );
        let shown = preview(&alice, &pages.url(&page)).await.ok();
        assert_eq!((&shown["og:title"], shown.get("og:image")), (&"Outside".into(), None));
    }
    assert_eq!(inside.asked_at_all(), 0);
}

/// Line 38, CVE-2022-31052: nested without end, long without end, silent without end.
#[tokio::test]
async fn hostile_pages_cost_an_answer() {
    let (_server, alice, pages) = scene().await;
    let deep = format!("<title>Deep</title>{}", "<div><svg><p>".repeat(150_000));
    pages.html("/deep", &deep);
    assert_eq!(preview(&alice, &pages.url("/deep")).await.ok()["og:title"], "Deep");
    pages.endless("/endless");
    assert_eq!(preview(&alice, &pages.url("/endless")).await.status, 200);
    let large = "a".repeat(11 * 1024 * 1024);
    pages.html("/large", &large);
    preview(&alice, &pages.url("/large")).await.error(502, "M_UNKNOWN");
    let zipped = [("content-type", "text/html"), ("content-encoding", "gzip")];
    pages.put("/zipped", 200, &zipped, vec![0x1f, 0x8b, 8, 0]);
    preview(&alice, &pages.url("/zipped")).await.error(502, "M_UNKNOWN");
    pages.html("/oembed", "<link rel=alternate type=application/json+oembed href=/nested>");
    pages.put("/nested", 200, &[("content-type", "application/json")], "[".repeat(200_000));
    assert_eq!(preview(&alice, &pages.url("/oembed")).await.status, 200);
    // Others are served while a page keeps us waiting.
    pages.hang("/silent");
    let url = pages.url("/silent");
    let silent = preview(&alice, &url);
    let other = async {
        for _ in 0..20 {
            assert_eq!(alice.get("v3/account/whoami").await.status, 200);
        }
    };
    tokio::select! {
        answer = silent => panic!("{answer}"),
        () = other => {}
    }
}

/// A PNG file of these chunks.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        bytes.extend((data.len() as u32).to_be_bytes());
        let start = bytes.len();
        bytes.extend(*name);
        bytes.extend(*data);
        let sum = checksum(&bytes[start..]);
        bytes.extend(sum.to_be_bytes());
    }
    bytes
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
        })
    })
}

/// Line 38, CVE-2024-53863: a picture that would fill the memory, or is none of those that we decode.
#[tokio::test]
async fn picture_bombs_cost_an_answer() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let huge = [0u8, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 8, 6, 0, 0, 0];
    let zeros = [0x78, 0x9c, 3, 0, 0, 0, 0, 1];
    let bomb = png(&[(b"IHDR", &huge), (b"IDAT", &zeros), (b"IEND", b"")]);
    let empty = [0u8, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 0, 0];
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;";
    for (name, file, status) in [
        ("many pixels", bomb.clone(), 413),
        ("a large canvas", gif.to_vec(), 413),
        ("no pixels", png(&[(b"IHDR", &empty), (b"IEND", b"")]), 400),
        ("cut off", bomb[..20].to_vec(), 400),
        ("PDF", b"%PDF-1.7\n%\xff\xff\xff\xff\n".to_vec(), 400),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n".to_vec(), 400),
        (
            "SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>".to_vec(),
            400,
        ),
        ("TIFF", b"II*\0\x08\0\0\0\0\0".to_vec(), 400),
        ("PNM", b"P6 50000 50000 255\n".to_vec(), 400),
        ("video", b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2".to_vec(), 400),
    ] {
        let id = upload(&alice, "image/png", file).await;
        for size in ["width=96&height=96&method=crop", "width=4096&height=4096&animated=true"] {
            let path = format!("v1/media/thumbnail/{}/{id}?{size}", server.name());
            let answer = alice.get(&path).await;
            assert_eq!(answer.status, status, "{name}: {answer}");
            let errcode = if status == 413 { "M_TOO_LARGE" } else { "M_UNKNOWN" };
            assert_eq!(answer.errcode(), errcode, "{name}");
        }
    }
    let whoami = tokio::time::timeout(Duration::from_secs(10), alice.get("v3/account/whoami"));
    assert_eq!(whoami.await.expect("the server answers").status, 200);
}

/// Line 39: however the type is written, a browser runs nothing of what users upload.
#[tokio::test]
async fn no_spelling_of_a_type_lets_a_page_be_shown() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let script = b"<script>alert(1)</script>";
    for content_type in [
        "text/html",
        "TEXT/HTML",
        "Text/Html; charset=utf-8",
        "text/html;image/png",
        "image/png, text/html",
        "image/svg+xml",
        "IMAGE/SVG+XML",
        "application/xhtml+xml",
        "text/xml",
        "text/javascript",
        "application/pdf",
        "multipart/x-mixed-replace",
        // On the list of types that are shown, but not what the bytes are.
        "text/plain",
        "TEXT/PLAIN;charset=utf-7",
        "image/png",
        "Image/PNG ; x=y",
    ] {
        let id = upload(&alice, content_type, script.to_vec()).await;
        for path in ["", "/page.html"] {
            let path = format!("v1/media/download/{}/{id}{path}", server.name());
            let answer = alice.get(&path).await;
            assert_eq!(answer.status, 200, "{answer}");
            let disposition = header(&answer, "content-disposition");
            assert!(disposition.starts_with("attachment"), "{content_type}: {disposition}");
            let policy = header(&answer, "content-security-policy");
            assert!(policy.starts_with("sandbox; default-src 'none'"), "{content_type}: {policy}");
            assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{content_type}");
        }
    }
    let id = upload(&alice, "TEXT/Plain; charset=UTF-8", b"hello".to_vec()).await;
    let answer = alice.get(&format!("v1/media/download/{}/{id}", server.name())).await;
    assert!(header(&answer, "content-disposition").starts_with("inline"), "{:?}", answer.headers);
}
