use kith_media_store::{Error, Meta, Mxc, moderation::parse_sha256, references::Source};
use kith_store::Batch;

use crate::harness::{LARGEST, content, fixture, pieces};

#[tokio::test]
async fn a_quarantined_file_is_nowhere() {
    let here = fixture().await;
    let (one, other) = (here.upload(b"one").await.expect("uploaded").mxc, here.reserve().await);
    here.append(&other, 0, b"other", true).await.expect("uploaded");
    here.media.protect(&other, true).await.expect("protected");
    assert_eq!(here.media.quarantine_user(&here.alice, "@admin").await.expect("done"), 1);
    assert_eq!(here.content(&one).await, None);
    assert!(here.content(&other).await.is_some());
    assert!(here.media.release(&one).await.expect("released"));
    assert!(here.content(&one).await.is_some());
}

#[tokio::test]
async fn the_files_of_a_room_are_quarantined_before_they_are_fetched() {
    let here = fixture().await;
    let own = here.upload(b"own").await.expect("uploaded").mxc;
    let remote: Mxc = "mxc://other.test/file".parse().expect("a file");
    let mut batch = Batch::new();
    here.media.refer(&mut batch, &Source::new("!room", "$1"), &[own.clone(), remote.clone()]);
    here.store.commit(batch).await.expect("committed");
    assert_eq!(here.media.quarantine_scope("!room", "@admin").await.expect("done"), 2);
    assert_eq!(here.content(&own).await, None);
    let body = pieces(b"remote", 10);
    let fetched = here.media.keep_remote(remote, Meta::default(), None, LARGEST, body).await;
    assert!(matches!(fetched, Err(Error::NotFound)), "{fetched:?}");
}

#[tokio::test]
async fn blocked_content_is_not_accepted_and_not_shown() {
    let here = fixture().await;
    let file = content(1, 2500);
    let uploaded = here.upload(&file).await.expect("uploaded");
    let sha256 = parse_sha256(&uploaded.row.sha256.expect("digested")).expect("a digest");
    assert_eq!(here.media.block(sha256, "@admin", None).await.expect("blocked"), 1);
    assert_eq!(here.content(&uploaded.mxc).await, None);
    assert!(matches!(here.upload(&file).await, Err(Error::Blocked)));
    let mxc = here.reserve().await;
    assert!(matches!(here.append(&mxc, 0, &file, true).await, Err(Error::Blocked)));
    assert_eq!(here.media.blocked(None, 10).await.expect("listed").len(), 1);
    assert!(here.media.unblock(sha256).await.expect("unblocked"));
    here.upload(&file).await.expect("accepted again");
}
