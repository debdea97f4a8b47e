//! How long previews live, and their pictures.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use image::ImageFormat;
use kith_media_store::{
    MediaStore, Mxc, Policy,
    chunks::Chunks,
    config::Config,
    preview::{Answer, Blocked, Fetch, PreviewError, Previews},
};
use kith_store::{
    Database, Engine, Scan, Store,
    engine::memory::Memory,
    tables::{PREVIEWS, PREVIEWS_BY_AGE},
};
use parking_lot::Mutex;
use url::Url;

use crate::{decoder, make};

const HOUR: u64 = 3_600_000;

#[derive(Clone)]
struct Page {
    content_type: &'static str,
    cache_control: Option<&'static str>,
    body: Vec<u8>,
}

/// All pages that there are, and which were asked for.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<(HashMap<String, Page>, Vec<String>)>>);

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &Url, _accept: &str) -> Result<Answer, PreviewError> {
        let mut web = self.0.lock();
        web.1.push(url.path().to_owned());
        let page = web.0.get(url.path()).cloned();
        let page = page.ok_or_else(|| PreviewError::Unreachable("nothing there".to_owned()))?;
        Ok(Answer {
            status: 200,
            location: None,
            content_type: Some(page.content_type.to_owned()),
            cache_control: page.cache_control.map(str::to_owned),
            body: stream::iter([Ok(Bytes::from(page.body))]).boxed(),
        })
    }
}

struct Scene {
    files: MediaStore,
    previews: Previews,
    store: Store,
    web: Web,
    clock: Arc<AtomicU64>,
}

async fn scene() -> Scene {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let database = Database::open(engine).expect("memory opens");
    let store = database.team(1).await.expect("a team's rows");
    let chunks = Chunks::open(&Config::memory(), store.clone()).await.expect("chunks in memory");
    let clock = Arc::new(AtomicU64::new(1_000_000_000));
    let time = Arc::clone(&clock);
    let policy =
        Policy { clock: Arc::new(move || time.load(Ordering::Relaxed)), ..Policy::default() };
    let server = || "kith.test".try_into().expect("a server name");
    let files = MediaStore::new(server(), chunks, store.clone(), policy);
    let web = Web::default();
    let blocked = Blocked::default();
    let previews =
        Previews::new(files.clone(), store.clone(), decoder(), web.clone(), server(), blocked);
    Scene { files, previews, store, web, clock }
}

impl Scene {
    fn put(&self, path: &str, cache_control: Option<&'static str>, body: &str) {
        let page = Page { content_type: "text/html", cache_control, body: body.into() };
        self.web.0.lock().0.insert(path.to_owned(), page);
    }

    fn put_picture(&self, path: &str) {
        let body = make::file(make::corners(40, 30), ImageFormat::Png);
        let page = Page { content_type: "image/png", cache_control: None, body };
        self.web.0.lock().0.insert(path.to_owned(), page);
    }

    fn asked(&self, path: &str) -> usize {
        self.web.0.lock().1.iter().filter(|asked| *asked == path).count()
    }

    async fn title(&self, path: &str, at: Option<u64>) -> String {
        let found = self.previews.get(&format!("https://site.test{path}"), at).await;
        found.expect("a preview")["og:title"].as_str().expect("text").to_owned()
    }

    async fn image(&self, path: &str) -> Mxc {
        let found = self.previews.get(&format!("https://site.test{path}"), None).await;
        let uri = found.expect("a preview")["og:image"].as_str().expect("a picture").to_owned();
        uri.parse().expect("a file's name")
    }

    async fn is_here(&self, mxc: &Mxc) -> bool {
        self.files.find(mxc, Duration::ZERO).await.expect("readable").is_some()
    }

    fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_preview_is_made_again_when_its_time_is_over() {
    let scene = scene().await;
    let first = scene.clock.load(Ordering::Relaxed);
    scene.put("/short", Some("max-age=1"), "<title>one</title>");
    scene.put("/long", Some("public, max-age=7200"), "<title>one</title>");
    for path in ["/short", "/long"] {
        assert_eq!(scene.title(path, None).await, "one");
    }
    scene.put("/short", None, "<title>two</title>");
    scene.put("/long", None, "<title>two</title>");
    scene.pass(HOUR - 1);
    assert_eq!(scene.title("/short", None).await, "one");
    scene.pass(1);
    assert_eq!(scene.title("/short", None).await, "two");
    assert_eq!(scene.title("/long", None).await, "one");
    scene.pass(HOUR);
    assert_eq!(scene.title("/long", None).await, "two");
    assert_eq!((scene.asked("/short"), scene.asked("/long")), (2, 2));
    // As it was when the message was sent.
    assert_eq!(scene.title("/long", Some(first)).await, "one");
    assert_eq!(scene.title("/long", Some(first + 2 * HOUR)).await, "two");
    assert_eq!(scene.asked("/long"), 2);
}

#[tokio::test]
async fn a_page_that_is_not_there_is_looked_for_again_after_minutes() {
    let scene = scene().await;
    let url = "https://site.test/page";
    for _ in 0..2 {
        let failed = scene.previews.get(url, None).await;
        assert!(matches!(failed, Err(PreviewError::Unreachable(_))), "{failed:?}");
    }
    assert_eq!(scene.asked("/page"), 1);
    scene.put("/page", None, "<title>there</title>");
    scene.pass(HOUR / 12);
    assert_eq!(scene.title("/page", None).await, "there");
}

#[tokio::test]
async fn old_previews_go_with_their_pictures() {
    let scene = scene().await;
    scene.put("/page", None, "<title>x</title><meta property='og:image' content='/picture'>");
    scene.put_picture("/picture");
    let old = scene.image("/page").await;
    scene.pass(29 * 24 * HOUR);
    let new = scene.image("/page").await;
    assert_ne!(old, new);
    assert_eq!(scene.previews.sweep().await.expect("swept"), 0);
    scene.pass(2 * 24 * HOUR);
    assert_eq!(scene.previews.sweep().await.expect("swept"), 1);
    assert!(!scene.is_here(&old).await);
    assert!(scene.is_here(&new).await);
    let rows = scene.store.scan(&PREVIEWS, Scan::all()).await.expect("rows").len();
    let ages = scene.store.scan(&PREVIEWS_BY_AGE, Scan::all()).await.expect("rows").len();
    assert_eq!((rows, ages), (1, 1));
}

/// It is fetched again.
#[tokio::test]
async fn a_preview_whose_picture_is_gone_is_made_again() {
    let scene = scene().await;
    scene.put("/page", None, "<title>x</title><meta property='og:image' content='/picture'>");
    scene.put_picture("/picture");
    let first = scene.image("/page").await;
    assert!(scene.files.delete(&first, true).await.expect("deleted"));
    scene.pass(1);
    let second = scene.image("/page").await;
    assert_ne!(first, second);
    assert!(scene.is_here(&second).await);
}

/// One request at a time asks for a page; a user who goes away does not take it from the others.
#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let scene = scene().await;
    scene.put("/page", None, "<title>x</title>");
    let _ = scene.previews.get("https://site.test/page", None).now_or_never();
    assert_eq!(scene.title("/page", None).await, "x");
}
