//! Small pictures of files.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#thumbnails)

use image::{
    AnimationDecoder, Delay, Frame, ImageFormat, Rgba, RgbaImage,
    codecs::gif::{GifDecoder, GifEncoder},
};
use kith_spec_tests::{Answer, TestServer, TestUser};

use crate::picture::{dimensions, file, header, photo, upload};

fn path(server: &TestServer, id: &str, query: &str) -> String {
    format!("v1/media/thumbnail/{}/{id}?{query}", server.name())
}

async fn thumbnail(server: &TestServer, user: &TestUser, id: &str, query: &str) -> Answer {
    user.get(&path(server, id, query)).await
}

fn walking(side: u32, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
    for number in 0..frames {
        let frame = RgbaImage::from_fn(side, side, |x, _| {
            if x / 20 == number { Rgba([255, 0, 0, 255]) } else { Rgba([255, 255, 255, 255]) }
        });
        let delay = Delay::from_numer_denom_ms(50, 1);
        encoder.encode_frame(Frame::from_parts(frame, 0, 0, delay)).expect("a frame");
    }
    drop(encoder);
    bytes
}

#[tokio::test]
async fn thumbnails_have_at_least_the_size_that_is_asked_for() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let id = upload(&alice, "image/png", file(photo(1200, 900), ImageFormat::Png)).await;
    for (query, size) in [
        ("width=32&height=32&method=crop", (32, 32)),
        ("width=20&height=20&method=crop", (32, 32)),
        ("width=96&height=96&method=crop", (96, 96)),
        ("width=160&height=90&method=crop", (320, 180)),
        ("width=320&height=240&method=scale", (320, 240)),
        ("width=640&height=480&method=scale", (640, 480)),
        ("width=800&height=600", (800, 600)),
        ("width=10&height=700", (1200, 900)),
    ] {
        let answer = thumbnail(&server, &bob, &id, query).await;
        assert_eq!(dimensions(&answer), size, "{query}");
        let disposition = header(&answer, "content-disposition");
        assert!(disposition.starts_with("inline"), "{query}: {disposition}");
        assert!(disposition.contains("thumbnail"), "{query}: {disposition}");
        let content_type = header(&answer, "content-type");
        assert!(["image/jpeg", "image/png"].contains(&content_type), "{query}: {content_type}");
        assert!(header(&answer, "content-security-policy").contains("sandbox"), "{query}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{query}");
        assert_eq!(header(&answer, "cross-origin-resource-policy"), "cross-origin", "{query}");
    }
}

#[tokio::test]
async fn a_small_picture_is_its_own_thumbnail() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let source = file(photo(60, 40), ImageFormat::Png);
    // Its bytes say what it is.
    let id = upload(&alice, "text/html", source.clone()).await;
    let answer = thumbnail(&server, &alice, &id, "width=96&height=96&method=crop").await;
    assert_eq!(answer.bytes, source);
    assert_eq!(header(&answer, "content-type"), "image/png");
    assert!(header(&answer, "content-disposition").starts_with("inline"));
}

#[tokio::test]
async fn a_picture_moves_only_for_those_who_ask_for_it() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let id = upload(&alice, "image/gif", walking(200, 5)).await;
    let query = "width=96&height=96&method=crop";
    for still in ["", "&animated=false"] {
        let answer = thumbnail(&server, &alice, &id, &format!("{query}{still}")).await;
        assert_eq!(dimensions(&answer), (96, 96));
        assert_eq!(header(&answer, "content-type"), "image/jpeg", "{still}");
    }
    let answer = thumbnail(&server, &alice, &id, &format!("{query}&animated=true")).await;
    assert_eq!(header(&answer, "content-type"), "image/gif");
    let decoder = GifDecoder::new(std::io::Cursor::new(&answer.bytes)).expect("a GIF");
    let frames = decoder.into_frames().collect_frames().expect("frames");
    assert_eq!(frames.len(), 5);
    assert_eq!(frames[0].buffer().dimensions(), (96, 96));
    // Smaller than what is asked for, but it moves.
    let answer = thumbnail(&server, &alice, &id, "width=640&height=480").await;
    assert_eq!(dimensions(&answer), (200, 200));
    assert_eq!(header(&answer, "content-type"), "image/jpeg");
    // What cannot move is shown as it is.
    let id = upload(&alice, "image/png", file(photo(300, 300), ImageFormat::Png)).await;
    let answer = thumbnail(&server, &alice, &id, &format!("{query}&animated=true")).await;
    assert_eq!(header(&answer, "content-type"), "image/jpeg");
}

/// Also after a restart the same bytes are there; nothing is made twice.
#[tokio::test]
async fn a_thumbnail_is_made_once() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let id = upload(&alice, "image/png", file(photo(800, 600), ImageFormat::Png)).await;
    let path = path(&server, &id, "width=96&height=96&method=crop");
    let (first, second) = tokio::join!(alice.get(&path), alice.get(&path));
    assert_eq!(dimensions(&first), (96, 96));
    assert_eq!(first.bytes, second.bytes);
    server.restart().await;
    assert_eq!(alice.get(&path).await.bytes, first.bytes);
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let query = "width=96&height=96";
    for (content_type, file) in [
        ("text/plain", b"hello".to_vec()),
        ("image/png", b"hello".to_vec()),
        ("image/png", b"\x89PNG\r\n\x1a\n".to_vec()),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        // An encrypted attachment.
        ("application/octet-stream", (0..=255).cycle().take(9999).collect()),
        ("image/png", Vec::new()),
    ] {
        let id = upload(&alice, content_type, file).await;
        for _ in 0..2 {
            thumbnail(&server, &alice, &id, query).await.error(400, "M_UNKNOWN");
        }
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let id = upload(&alice, "image/png", file(photo(300, 300), ImageFormat::Png)).await;
    for query in [
        "",
        "width=96",
        "height=96",
        "width=0&height=96",
        "width=96&height=-1",
        "width=a&height=96",
        "width=1.5&height=96",
        "width=96&height=99999999999",
        "width=96&height=96&method=stretch",
        "width=96&height=96&animated=perhaps",
    ] {
        let answer = thumbnail(&server, &alice, &id, query).await;
        assert_eq!(answer.status, 400, "{query}: {answer}");
    }
    let query = "width=96&height=96";
    thumbnail(&server, &alice, "nothing", query).await.error(404, "M_NOT_FOUND");
    thumbnail(&server, &alice, "%2e%2e%2fetc", query).await.error(404, "M_NOT_FOUND");
    server.anonymous().get(&path(&server, &id, query)).await.error(401, "M_MISSING_TOKEN");
    // New files are not on the old paths.
    let old = format!("/_matrix/media/v3/thumbnail/{}/{id}?{query}", server.name());
    alice.get(&old).await.error(404, "M_NOT_FOUND");
}

/// A file that is reserved and not there yet.
#[tokio::test]
async fn a_file_that_is_still_to_come_is_waited_for() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let created = alice.post("/_matrix/media/v1/create", serde_json::json!({})).await;
    let uri = created.text_at("content_uri");
    let id = uri.rsplit('/').next().expect("a media ID");
    let query = "width=96&height=96&timeout_ms=10";
    thumbnail(&server, &alice, id, query).await.error(504, "M_NOT_YET_UPLOADED");
    let source = file(photo(300, 300), ImageFormat::Png);
    let upload = format!("/_matrix/media/v3/upload/{}/{id}", server.name());
    let headers = [("content-type", "image/png")];
    let query = "width=96&height=96&method=crop&timeout_ms=20000";
    let (answer, uploaded) = tokio::join!(
        thumbnail(&server, &alice, id, query),
        alice.request_with(reqwest::Method::PUT, &upload, Some(source), &headers),
    );
    assert_eq!(uploaded.status, 200, "{uploaded}");
    assert_eq!(dimensions(&answer), (96, 96));
}

/// The other server's file is fetched, and made small here.
#[tokio::test]
async fn files_of_other_servers_have_thumbnails() {
    let (here, there) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (here.register("alice").await, there.register("bob").await);
    let id = upload(&bob, "image/png", file(photo(800, 600), ImageFormat::Png)).await;
    let answer = alice.get(&path(&there, &id, "width=96&height=96&method=crop")).await;
    assert_eq!(dimensions(&answer), (96, 96));
    let text = upload(&bob, "text/plain", b"hello".to_vec()).await;
    let answer = alice.get(&path(&there, &text, "width=96&height=96")).await;
    answer.error(400, "M_UNKNOWN");
    let answer = alice.get(&path(&there, "nothing", "width=96&height=96")).await;
    answer.error(404, "M_NOT_FOUND");
}
