//! Which thumbnails are kept, and when they go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use image::ImageFormat;
use kith_media_store::{
    MediaStore, Meta, Mxc, Policy,
    chunks::Chunks,
    config::{Config, Place},
    picture::{Method, Refusal, Size},
    thumbnail::{Thumbnail, ThumbnailError, Thumbnails},
};
use kith_store::{
    Database, Engine, Scan, Store,
    engine::memory::Memory,
    tables::{CHUNK_USES, THUMBNAILS},
};
use opendal::{Operator, services};

use crate::{decoder, make, size};

struct Scene {
    files: MediaStore,
    thumbnails: Thumbnails,
    store: Store,
    datastore: Operator,
    clock: Arc<AtomicU64>,
}

async fn scene() -> Scene {
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let database = Database::open(engine).expect("memory opens");
    let store = database.team(1).await.expect("a team's rows");
    let datastore = Operator::new(services::Memory::default()).expect("memory");
    let config = Config { datastore: Place::Operator(datastore.clone()), ..Config::memory() };
    let chunks = Chunks::open(&config, store.clone()).await.expect("chunks in memory");
    let clock = Arc::new(AtomicU64::new(1_000_000_000));
    let time = Arc::clone(&clock);
    let policy =
        Policy { clock: Arc::new(move || time.load(Ordering::Relaxed)), ..Policy::default() };
    let server = "kith.test".try_into().expect("a server name");
    let files = MediaStore::new(server, chunks, store.clone(), policy);
    let thumbnails = Thumbnails::new(files.clone(), store.clone(), decoder());
    Scene { files, thumbnails, store, datastore, clock }
}

impl Scene {
    async fn upload(&self, file: Vec<u8>) -> Mxc {
        let alice = ruma::user_id!("@alice:kith.test");
        let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(file))]);
        let uploaded = self.files.upload(alice, Meta::default(), None, body).await;
        uploaded.expect("it fits").mxc
    }

    async fn get(&self, mxc: &Mxc, size: Size) -> Result<Thumbnail, ThumbnailError> {
        let row = self.files.find(mxc, Duration::ZERO).await.expect("readable").expect("a file");
        self.thumbnails.get(mxc, &row, size).await
    }

    /// When each was made.
    async fn made(&self) -> Vec<u64> {
        let rows = self.store.scan(&THUMBNAILS, Scan::all()).await.expect("rows");
        rows.into_iter().map(|(_, row)| row.0.made).collect()
    }
}

#[tokio::test]
async fn a_thumbnail_is_made_once_and_again_when_it_is_lost() {
    let scene = scene().await;
    // Large enough to lie outside of the packs.
    let file = make::file(make::gradient(600, 400), ImageFormat::Png);
    assert!(file.len() > 64 * 1024);
    let mxc = scene.upload(file).await;
    let asked = size(Method::Crop, 90, 90);
    let (first, second) = tokio::join!(scene.get(&mxc, asked), scene.get(&mxc, asked));
    let bytes = first.expect("a picture").bytes.expect("a smaller one");
    assert_eq!(second.expect("a picture").bytes.as_ref(), Some(&bytes));
    assert_eq!(scene.made().await, [1_000_000_000]);
    scene.clock.fetch_add(1, Ordering::Relaxed);
    scene.get(&mxc, size(Method::Crop, 96, 96)).await.expect("the same");
    assert_eq!(scene.made().await, [1_000_000_000]);
    for entry in scene.datastore.list_with("v1/p/").recursive(true).await.expect("packs") {
        scene.datastore.delete(entry.path()).await.expect("gone");
    }
    let again = scene.get(&mxc, asked).await.expect("a picture");
    assert_eq!(again.bytes, Some(bytes));
    assert_eq!(scene.made().await, [1_000_000_001]);
}

#[tokio::test]
async fn what_is_no_picture_is_looked_at_once() {
    let scene = scene().await;
    let mxc = scene.upload(b"hello".to_vec()).await;
    for _ in 0..2 {
        let refused = scene.get(&mxc, size(Method::Scale, 320, 240)).await;
        assert!(matches!(refused, Err(ThumbnailError::Refused(Refusal::Unknown))), "{refused:?}");
        scene.clock.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(scene.made().await, [1_000_000_000]);
}

#[tokio::test]
async fn a_file_goes_with_its_thumbnails() {
    let scene = scene().await;
    let mxc = scene.upload(make::file(make::gradient(300, 300), ImageFormat::Png)).await;
    scene.get(&mxc, size(Method::Crop, 32, 32)).await.expect("a picture");
    scene.get(&mxc, size(Method::Crop, 96, 96)).await.expect("a picture");
    let uses = async || {
        let rows = scene.store.scan(&CHUNK_USES, Scan::all()).await.expect("rows");
        rows.into_iter().filter(|((_, user), ())| user.starts_with("thumbnail ")).count()
    };
    assert_eq!(uses().await, 2);
    assert!(scene.files.delete(&mxc, true).await.expect("deleted"));
    assert!(scene.made().await.is_empty());
    assert_eq!(uses().await, 0);
}

/// Whoever asks for all sizes does not fill the store.
#[tokio::test]
async fn few_thumbnails_of_a_file_are_kept() {
    let scene = scene().await;
    let mxc = scene.upload(make::file(make::gradient(200, 200), ImageFormat::Png)).await;
    for width in 30..60 {
        let made = scene.get(&mxc, size(Method::Crop, width, 29)).await.expect("a picture");
        assert!(made.facts.width >= width && made.facts.height >= 29, "{made:?}");
    }
    assert_eq!(scene.made().await.len(), 16);
}
