//! One behaviour for every place in which files can lie.

use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use kith_media_store::old::{Error, MediaStore, Metadata};

const LIMIT: u64 = 10;

fn pieces(pieces: &[&'static str]) -> impl Stream<Item = Result<Bytes, &'static str>> {
    stream::iter(
        pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect::<Vec<_>>(),
    )
}

async fn put(store: &MediaStore, id: &str, content: &[&'static str]) -> Result<u64, Error> {
    let (content_type, filename) = (Some("text/plain".to_owned()), Some("ä ../b.txt".to_owned()));
    store.put(id, content_type, filename, LIMIT, pieces(content)).await
}

async fn get(store: &MediaStore, id: &str) -> Option<(Metadata, Vec<u8>)> {
    let (metadata, content) = store.get(id).await.expect("readable")?;
    let content: Vec<Bytes> = content.try_collect().await.expect("bytes");
    Some((metadata, content.concat()))
}

/// A folder's store and one in memory; the folder lives as long as the first value.
fn stores() -> (tempfile::TempDir, [MediaStore; 2]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stores = [
        MediaStore::folder(folder.path()).expect("a writable folder"),
        MediaStore::memory().expect("memory"),
    ];
    (folder, stores)
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_put() {
    let (_folder, stores) = stores();
    for store in stores {
        assert_eq!(put(&store, "abc-DEF_1", &["hello", " ", "you"]).await.expect("kept"), 9);
        let (metadata, content) = get(&store, "abc-DEF_1").await.expect("there");
        assert_eq!(content, b"hello you");
        let expected = Metadata {
            content_type: Some("text/plain".to_owned()),
            filename: Some("ä ../b.txt".to_owned()),
            size: 9,
        };
        assert_eq!(metadata, expected);
        assert!(get(&store, "abc-DEF_2").await.is_none());
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (_folder, stores) = stores();
    for store in stores {
        assert_eq!(put(&store, "a", &[]).await.expect("kept"), 0);
        assert_eq!(get(&store, "a").await.expect("there").1, b"");
    }
}

#[tokio::test]
async fn nothing_is_kept_of_a_file_over_the_limit() {
    let (folder, stores) = stores();
    for store in stores {
        assert_eq!(put(&store, "exact", &["0123456789"]).await.expect("kept"), 10);
        let error = put(&store, "large", &["0123456789", "0"]).await;
        assert!(matches!(error, Err(Error::TooLarge { limit: LIMIT })), "{error:?}");
        assert!(get(&store, "large").await.is_none());
    }
    assert_eq!(files(folder.path()), ["ex/exact", "ex/exact.json"]);
}

#[tokio::test]
async fn nothing_is_kept_of_an_upload_that_breaks_off() {
    let (folder, stores) = stores();
    for store in stores {
        let content = stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
        let error = store.put("id", None, None, LIMIT, content).await;
        assert!(matches!(error, Err(Error::BrokenOff(_))), "{error:?}");
        assert!(get(&store, "id").await.is_none());
        assert_eq!(put(&store, "id", &["whole"]).await.expect("again"), 5);
    }
    assert_eq!(files(folder.path()), ["id/id", "id/id.json"]);
}

#[tokio::test]
async fn a_file_is_never_overwritten() {
    let (_folder, stores) = stores();
    for store in stores {
        put(&store, "id", &["first"]).await.expect("kept");
        assert!(matches!(put(&store, "id", &["second"]).await, Err(Error::Exists)));
        assert_eq!(get(&store, "id").await.expect("there").1, b"first");
    }
}

#[tokio::test]
async fn no_id_names_another_path() {
    let (_folder, stores) = stores();
    let long = "x".repeat(256);
    for store in stores {
        for id in ["", ".", "..", "../a", "a/b", "a\\b", "a\0", "a.json", "%2e%2e", "ä", &long] {
            let error = put(&store, id, &["x"]).await;
            assert!(matches!(error, Err(Error::InvalidId)), "{id:?}");
            assert!(matches!(store.get(id).await, Err(Error::InvalidId)), "{id:?}");
        }
    }
}

#[tokio::test]
async fn a_folder_keeps_its_files_and_drops_what_was_unfinished() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = MediaStore::folder(folder.path()).expect("a writable folder");
    put(&store, "id", &["kept"]).await.expect("kept");
    std::fs::write(folder.path().join("unfinished/half"), "ha").expect("written");

    let store = MediaStore::folder(folder.path()).expect("again");
    assert_eq!(get(&store, "id").await.expect("there").1, b"kept");
    assert_eq!(files(folder.path()), ["id/id", "id/id.json"]);
}

/// A crash between the two objects leaves bytes without metadata: no file, and no obstacle.
#[tokio::test]
async fn bytes_without_metadata_are_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = MediaStore::folder(folder.path()).expect("a writable folder");
    std::fs::create_dir(folder.path().join("id")).expect("made");
    std::fs::write(folder.path().join("id/id"), "half").expect("written");
    assert!(get(&store, "id").await.is_none());
    put(&store, "id", &["whole"]).await.expect("kept");
    assert_eq!(get(&store, "id").await.expect("there").1, b"whole");
}

/// All files below the folder, by relative path, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("below");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
