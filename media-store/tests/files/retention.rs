use std::time::Duration;

use kith_media_store::{Error, references::Source};
use kith_store::Batch;

use crate::harness::{NEVER, content, fixture, fixture_with};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn what_nobody_goes_on_with_expires() {
    let here = fixture().await;
    let (unused, begun, going_on) =
        (here.reserve().await, here.reserve().await, here.reserve().await);
    here.append(&begun, 0, &content(1, 1500), false).await.expect("appended");
    here.append(&going_on, 0, &content(2, 1500), false).await.expect("appended");
    here.pass(DAY / 2);
    here.append(&going_on, 1500, &content(3, 10), false).await.expect("appended");
    here.pass(DAY / 2);
    assert!(matches!(here.append(&unused, 0, b"", true).await, Err(Error::NotFound)));
    assert_eq!(here.media.find(&unused, DAY).await.expect("readable"), None);
    assert_eq!(here.media.sweep().await.expect("swept").expired, 2);
    let usage = here.media.usage_of(&here.alice).await.expect("counted");
    assert_eq!((usage.bytes, usage.files, usage.pending), (1510, 0, 1));
    here.pass(DAY / 2);
    assert_eq!(here.media.sweep().await.expect("swept").expired, 1);
    assert_eq!(here.media.usage_of(&here.alice).await.expect("counted"), Default::default());
    assert_eq!(here.media.all(None, 10).await.expect("listed"), []);
}

#[tokio::test]
async fn a_deleted_file_can_be_brought_back_for_a_while() {
    let here = fixture().await;
    let file = content(1, 2500);
    let mxc = here.upload(&file).await.expect("uploaded").mxc;
    assert!(here.media.delete(&mxc, false).await.expect("deleted"));
    assert_eq!(here.content(&mxc).await, None);
    assert!(here.media.restore(&mxc).await.expect("restored"));
    assert_eq!(here.content(&mxc).await, Some(file));
    here.pass(DAY);
    assert_eq!(here.media.sweep().await.expect("swept").purged, 0);
    assert!(here.media.delete(&mxc, false).await.expect("deleted"));
    here.pass(DAY);
    assert_eq!(here.media.sweep().await.expect("swept").purged, 1);
    assert!(!here.media.restore(&mxc).await.expect("looked"));
    assert_eq!(here.media.all(None, 10).await.expect("listed"), []);
    assert_eq!(here.media.usage_of(&here.alice).await.expect("counted"), Default::default());
    assert_eq!(here.media.extents(&mxc, 0).await.expect("listed"), []);
}

#[tokio::test]
async fn a_file_goes_when_everything_that_named_it_is_gone() {
    let here = fixture().await;
    let named = here.upload(b"named").await.expect("uploaded").mxc;
    let twice = here.upload(b"named twice").await.expect("uploaded").mxc;
    let never = here.upload(b"never named").await.expect("uploaded").mxc;
    let source = |what: &str| Source::new("!room", what);
    let mut batch = Batch::new();
    here.media.refer(&mut batch, &source("$1"), &[named.clone(), twice.clone()]);
    here.media.refer(&mut batch, &source("$2"), std::slice::from_ref(&twice));
    here.store.commit(batch).await.expect("committed");
    assert_eq!(here.media.sources_of(&twice, 10).await.expect("listed").len(), 2);
    let mut batch = Batch::new();
    let was = here.media.unrefer(&mut batch, &source("$1")).await.expect("unreferred");
    here.store.commit(batch).await.expect("committed");
    assert_eq!(was.len(), 2);
    assert_eq!(here.media.sweep().await.expect("swept").unreferenced, 0);
    here.pass(DAY);
    assert_eq!(here.media.sweep().await.expect("swept").unreferenced, 1);
    assert_eq!(here.content(&named).await, None);
    here.media.unrefer_all("!room").await.expect("the room is gone");
    here.pass(DAY);
    let swept = here.media.sweep().await.expect("swept");
    assert_eq!((swept.unreferenced, swept.purged), (1, 1));
    assert_eq!(here.content(&twice).await, None);
    assert!(here.content(&never).await.is_some());
}

/// A reference that comes back in time saves the file; so does an admin's protection.
#[tokio::test]
async fn a_file_that_is_named_again_stays() {
    let here = fixture().await;
    let again = here.upload(b"again").await.expect("uploaded").mxc;
    let protected = here.upload(b"protected").await.expect("uploaded").mxc;
    here.media.protect(&protected, true).await.expect("protected");
    let source = Source::new("!room", "$1");
    for files in [[again.clone()], [protected.clone()]] {
        let mut batch = Batch::new();
        here.media.refer(&mut batch, &source, &files);
        here.store.commit(batch).await.expect("committed");
        let mut batch = Batch::new();
        here.media.unrefer(&mut batch, &source).await.expect("unreferred");
        here.store.commit(batch).await.expect("committed");
    }
    let mut batch = Batch::new();
    here.media.refer(&mut batch, &Source::new("profile", "@alice"), std::slice::from_ref(&again));
    here.store.commit(batch).await.expect("committed");
    here.pass(DAY);
    assert_eq!(here.media.sweep().await.expect("swept").unreferenced, 0);
    assert!(here.content(&again).await.is_some() && here.content(&protected).await.is_some());
}

#[tokio::test]
async fn files_of_other_servers_make_room_for_each_other() {
    let here = fixture_with(|policy| policy.remote = 5000).await;
    let first = here.remote("first", &content(1, 2000)).await;
    here.pass(Duration::from_secs(1));
    let second = here.remote("second", &content(2, 2000)).await;
    here.pass(Duration::from_secs(1));
    // In use again.
    assert!(here.content(&first).await.is_some());
    while here.media.record(&first).await.expect("read").expect("there").accessed < 1_000_002_000 {
        tokio::task::yield_now().await;
    }
    here.pass(Duration::from_secs(1));
    let third = here.remote("third", &content(3, 2000)).await;
    assert_eq!(here.content(&second).await, None);
    assert!(here.content(&first).await.is_some() && here.content(&third).await.is_some());
    let usage = here.media.usage_of_remote().await.expect("counted");
    assert_eq!((usage.bytes, usage.files), (4000, 2));
    assert_eq!(here.media.usage_of_team().await.expect("counted"), Default::default());
    // Larger than everything: all others go, and it is kept anyhow.
    let large = here.remote("large", &content(4, 6000)).await;
    assert_eq!(here.content(&large).await.map(|file| file.len()), Some(6000));
    assert_eq!(here.media.all(None, 10).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn files_of_other_servers_go_when_nobody_asks_for_them() {
    let here = fixture_with(|policy| policy.remote_age = Some(DAY)).await;
    let remote = here.remote("file", &content(1, 2000)).await;
    let own = here.upload(b"own").await.expect("uploaded").mxc;
    here.pass(DAY / 2);
    assert_eq!(here.media.sweep().await.expect("swept").remote, 0);
    here.pass(DAY);
    assert_eq!(here.media.sweep().await.expect("swept").remote, 1);
    assert_eq!(here.media.find(&remote, NEVER).await.expect("readable"), None);
    assert!(here.content(&own).await.is_some());
}

/// What was fetched in half before a crash is no file, and is fetched anew.
#[tokio::test]
async fn a_remote_file_is_replaced_whole() {
    let here = fixture().await;
    let mxc = here.remote("file", &content(1, 2500)).await;
    here.remote("file", &content(2, 1500)).await;
    assert_eq!(here.content(&mxc).await, Some(content(2, 1500)));
    assert_eq!(here.media.usage_of_remote().await.expect("counted").bytes, 1500);
}
