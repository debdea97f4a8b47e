//! What is behind a URL.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediapreview_url)

use image::ImageFormat;
use kith_homeserver::config::{Config, RateLimit};
use kith_spec_tests::{Answer, PageServer, TestServer, TestUser, encode};
use serde_json::{Value, json};

use crate::picture::{dimensions, file, photo};

/// Users of a server that looks at pages on this machine.
async fn scene() -> (TestServer, TestUser, PageServer) {
    scene_with(|_| ()).await
}

async fn scene_with(change: impl FnOnce(&mut Config)) -> (TestServer, TestUser, PageServer) {
    let server = TestServer::with(|config| {
        config.previews.allowed_ranges = vec!["127.0.0.1/32".parse().expect("a network")];
        change(config);
    })
    .await;
    let alice = server.register("alice").await;
    (server, alice, PageServer::start().await)
}

async fn preview(user: &TestUser, url: &str) -> Answer {
    user.get(&format!("v1/media/preview_url?url={}", encode(url))).await
}

#[tokio::test]
async fn a_page_is_shown_as_it_wants_to_be() {
    let (_server, alice, pages) = scene().await;
    let image = file(photo(300, 200), ImageFormat::Png);
    pages.image("/dir/picture.png", "image/png", image.clone());
    pages.html(
        "/dir/page",
        r#"<html><head><title>not this</title>
        <meta property="og:title" content="The &quot;title&quot;">
        <meta property="og:description" content="What it is about">
        <meta property="og:site_name" content="A site"><meta property="og:type" content="article">
        <meta property="og:image" content="picture.png"><meta property="og:image:alt" content="Hills">
        </head></html>"#,
    );
    let answer = preview(&alice, &pages.url("/dir/page#part")).await.ok();
    let uri = answer["og:image"].as_str().expect("a picture").to_owned();
    assert_eq!(
        answer,
        json!({
            "og:title": "The \"title\"",
            "og:description": "What it is about",
            "og:site_name": "A site",
            "og:type": "article",
            "og:url": pages.url("/dir/page"),
            "og:image": uri,
            "og:image:alt": "Hills",
            "og:image:type": "image/png",
            "og:image:width": 300,
            "og:image:height": 200,
            "matrix:image:size": image.len(),
        })
    );
    let name = uri.strip_prefix("mxc://").expect("a content URI");
    let file = alice.get(&format!("v1/media/download/{name}")).await;
    assert_eq!((file.status, file.bytes), (200, image));
    let small =
        alice.get(&format!("v1/media/thumbnail/{name}?width=96&height=96&method=crop")).await;
    assert_eq!(dimensions(&small), (96, 96));
}

#[tokio::test]
async fn other_pages_are_described_by_what_they_have() {
    let (_server, alice, pages) = scene().await;
    pages.html(
        "/card",
        "<title>no</title><meta name='twitter:title' content='Card'>
        <meta name='twitter:description' content='In short'>",
    );
    let answer = preview(&alice, &pages.url("/card")).await.ok();
    assert_eq!(answer["og:title"], "Card");
    assert_eq!(answer["og:description"], "In short");
    assert_eq!(answer.get("og:image"), None);
    pages.html(
        "/plain",
        "<title>Plain</title><p>Menu</p><p>The first sentence that is long enough to be one.</p>",
    );
    let answer = preview(&alice, &pages.url("/plain")).await.ok();
    assert_eq!(answer["og:title"], "Plain");
    assert_eq!(answer["og:description"], "The first sentence that is long enough to be one.");
    let headers = [("content-type", "text/html; charset=windows-1251")];
    pages.put("/russian", 200, &headers, &b"<title>\xcf\xf0\xe8\xe2\xe5\xf2</title>"[..]);
    assert_eq!(preview(&alice, &pages.url("/russian")).await.ok()["og:title"], "Привет");
    pages.html("/empty", "");
    let answer = preview(&alice, &pages.url("/empty")).await.ok();
    assert_eq!(answer, json!({ "og:url": pages.url("/empty") }));
    // A picture that is none is left out.
    pages.image("/broken.png", "image/png", b"broken".to_vec());
    pages.html("/broken", "<title>x</title><meta property='og:image' content='/broken.png'>");
    let answer = preview(&alice, &pages.url("/broken")).await.ok();
    assert_eq!((&answer["og:title"], answer.get("og:image")), (&json!("x"), None));
}

#[tokio::test]
async fn a_page_without_properties_may_offer_oembed() {
    let (_server, alice, pages) = scene().await;
    pages.image("/still.png", "image/png", file(photo(40, 30), ImageFormat::Png));
    pages.html(
        "/video",
        "<link rel='alternate' type='application/json+oembed' href='/oembed?video=1'>",
    );
    let offer = json!({
        "type": "video", "title": "A video", "author_name": "Somebody",
        "provider_name": "A site", "thumbnail_url": pages.url("/still.png"),
    });
    pages.put("/oembed?video=1", 200, &[("content-type", "application/json")], offer.to_string());
    let answer = preview(&alice, &pages.url("/video")).await.ok();
    assert_eq!(answer["og:title"], "A video");
    assert_eq!(answer["og:description"], "Somebody");
    assert_eq!(answer["og:site_name"], "A site");
    assert_eq!(answer["og:image:width"], 40);
}

#[tokio::test]
async fn what_is_no_page_is_shown_too() {
    let (_server, alice, pages) = scene().await;
    pages.image("/a/photo.jpg", "image/jpeg", file(photo(50, 40), ImageFormat::Jpeg));
    let answer = preview(&alice, &pages.url("/a/photo.jpg")).await.ok();
    assert_eq!(answer["og:title"], "photo.jpg");
    assert_eq!(answer["og:image:type"], "image/jpeg");
    assert_eq!((&answer["og:image:width"], &answer["og:image:height"]), (&json!(50), &json!(40)));
    assert!(answer["og:image"].as_str().expect("a picture").starts_with("mxc://"));
    pages.put("/film.mp4", 200, &[("content-type", "video/mp4")], "film");
    let answer = preview(&alice, &pages.url("/film.mp4")).await.ok();
    assert_eq!(answer["og:video"], pages.url("/film.mp4"));
    assert_eq!(answer["og:video:type"], "video/mp4");
    pages.put("/data", 200, &[("content-type", "application/zip")], "zip");
    assert_eq!(preview(&alice, &pages.url("/data")).await.ok(), json!({}));
}

/// However many ask for it.
#[tokio::test]
async fn a_page_is_fetched_once() {
    let (server, alice, pages) = scene().await;
    let bob = server.register("bob").await;
    pages.html("/page", "<title>First</title>");
    let url = pages.url("/page");
    let (first, second) = tokio::join!(preview(&alice, &url), preview(&bob, &url));
    assert_eq!(first.ok(), second.ok());
    pages.html("/page", "<title>Second</title>");
    assert_eq!(preview(&bob, &url).await.ok()["og:title"], "First");
    assert_eq!(preview(&bob, &format!("{url}#x")).await.ok()["og:title"], "First");
    assert_eq!(pages.asked("/page"), 1);
    // Nothing is known from before the first request, so that a newer version is shown.
    let old = format!("v1/media/preview_url?url={}&ts=1000", encode(&url));
    assert_eq!(alice.get(&old).await.ok()["og:title"], "Second");
    let now = format!("v1/media/preview_url?url={}&ts=9999999999999", encode(&url));
    assert_eq!(alice.get(&now).await.ok()["og:title"], "Second");
    // Nor is a page that is not there asked for again and again.
    for _ in 0..3 {
        preview(&alice, &pages.url("/missing")).await.error(502, "M_UNKNOWN");
    }
    assert_eq!(pages.asked("/missing"), 1);
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let (_server, alice, pages) = scene().await;
    pages.html("/end", "<title>End</title><meta property='og:url' content='javascript:x'>");
    for step in 1..=6 {
        let next = if step == 1 { "/end".to_owned() } else { format!("/step/{}", step - 1) };
        pages.redirect(&format!("/step/{step}"), &next);
    }
    let answer = preview(&alice, &pages.url("/step/5")).await.ok();
    assert_eq!(
        (&answer["og:title"], &answer["og:url"]),
        (&json!("End"), &json!(pages.url("/end")))
    );
    preview(&alice, &pages.url("/step/6")).await.error(502, "M_UNKNOWN");
    pages.redirect("/loop", "/loop");
    preview(&alice, &pages.url("/loop")).await.error(502, "M_UNKNOWN");
    pages.redirect("/file", "file:///etc/passwd");
    assert!(preview(&alice, &pages.url("/file")).await.status >= 400);
}

/// The other server learns nothing of who asks.
#[tokio::test]
async fn the_page_does_not_learn_who_asks() {
    let (_server, alice, pages) = scene().await;
    pages.html("/page", "<title>x</title>");
    preview(&alice, &pages.url("/page")).await.ok();
    let headers = pages.last_headers();
    for name in ["authorization", "cookie", "referer", "x-forwarded-for"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    let agent = headers["user-agent"].to_str().expect("text");
    assert!(agent.contains("Kith"), "{agent}");
}

#[tokio::test]
async fn previews_can_be_switched_off_and_places_blocked() {
    let (_server, alice, pages) = scene_with(|config| config.previews.enabled = false).await;
    pages.html("/page", "<title>x</title>");
    preview(&alice, &pages.url("/page")).await.error(404, "M_UNRECOGNIZED");
    let blocked = |config: &mut Config| {
        config.previews.blocked = vec!["blocked.example".to_owned(), "127.0.0.1/secret".to_owned()];
    };
    let (_other, bob, pages) = scene_with(blocked).await;
    preview(&bob, "https://blocked.example/").await.error(403, "M_FORBIDDEN");
    preview(&bob, "https://www.blocked.example./x").await.error(403, "M_FORBIDDEN");
    preview(&bob, &pages.url("/secret/page")).await.error(403, "M_FORBIDDEN");
    pages.redirect("/page", "/secret/page");
    preview(&bob, &pages.url("/page")).await.error(403, "M_FORBIDDEN");
    assert_eq!(pages.asked("/secret/page"), 0);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let (server, alice, _pages) = scene().await;
    for url in ["", "page", "ftp://a.example/", "data:text/html,x", "https://u:p@a.example/"] {
        let answer = preview(&alice, url).await;
        assert_eq!(answer.status, 400, "{url}: {answer}");
    }
    assert_eq!(alice.get("v1/media/preview_url").await.status, 400);
    preview(&server.anonymous(), "https://a.example/").await.error(401, "M_MISSING_TOKEN");
    let old = format!("/_matrix/media/v3/preview_url?url={}", encode("https://a.example/"));
    server.anonymous().get(&old).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn old_clients_find_previews_where_they_were() {
    let (_server, alice, pages) = scene().await;
    pages.html("/page", "<title>x</title>");
    let path = format!("/_matrix/media/v3/preview_url?url={}", encode(pages.url("/page")));
    assert_eq!(alice.get(&path).await.ok()["og:title"], "x");
}

#[tokio::test]
async fn nobody_asks_for_previews_without_end() {
    let (_server, alice, pages) = scene_with(|config| {
        config.rate_limits.enabled = true;
        config.rate_limits.preview = RateLimit::On { per_second: 0.001, burst: 2 };
    })
    .await;
    pages.html("/page", "<title>x</title>");
    for _ in 0..2 {
        preview(&alice, &pages.url("/page")).await.ok();
    }
    let refused: Value = preview(&alice, &pages.url("/page")).await.error(429, "M_LIMIT_EXCEEDED");
    assert!(refused["retry_after_ms"].is_u64());
}
