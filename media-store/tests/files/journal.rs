use std::sync::Arc;

use kith_media_store::{
    MediaStore,
    chunks::Chunks,
    config::{Config, MasterKey, Place},
};
use kith_store::{Database, engine::memory::Memory};

use crate::harness::{content, fixture_at};

/// Whoever loses the database has the files still.
#[tokio::test]
async fn the_index_is_made_anew_from_the_datastore() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(Place::folder(folder.path()), "1", MasterKey::Given([7; 32]));
    let before =
        fixture_at(&config, |policy| (policy.chunk, policy.largest) = (70_000, 1 << 20)).await;
    let (small, large) = (content(1, 500), content(2, 200_000));
    let first = before.upload(&small).await.expect("uploaded");
    let second = before.upload(&large).await.expect("uploaded");
    let deleted = before.upload(b"deleted").await.expect("uploaded").mxc;
    assert_eq!(before.media.write_journal().await.expect("written"), 3);
    before.media.delete(&deleted, true).await.expect("deleted");
    assert_eq!(before.media.write_journal().await.expect("written"), 1);
    assert_eq!(before.media.write_journal().await.expect("written"), 0);
    let withheld = before.upload(b"withheld").await.expect("uploaded").mxc;
    before.media.write_journal().await.expect("written");
    before.media.quarantine(&withheld, "@admin").await.expect("quarantined");
    assert_eq!(before.media.write_journal().await.expect("written"), 1);
    let usage = before.media.usage_of(&before.alice).await.expect("counted");
    before.media.chunks().close().await;

    let database = Database::open(Arc::new(Memory::default())).expect("memory opens");
    let store = database.team(1).await.expect("a team's rows");
    // The keys are in the database's rows and in the datastore.
    let chunks = Chunks::open(&config, store.clone()).await.expect("the same keys");
    chunks.rebuild(|_| {}).await.expect("found");
    let server = "kith.test".try_into().expect("a server name");
    let media = MediaStore::new(server, chunks, store.clone(), before.media.policy().clone());
    let rebuilt = media.rebuild().await.expect("rebuilt");
    assert_eq!((rebuilt.files, rebuilt.incomplete, rebuilt.unreadable), (3, 0, 0));
    let after = crate::harness::Fixture { media, store, ..before };
    assert_eq!(after.content(&first.mxc).await, Some(small));
    assert_eq!(after.content(&second.mxc).await, Some(large));
    assert_eq!(after.content(&deleted).await, None);
    assert_eq!(after.content(&withheld).await, None);
    assert_eq!(after.media.usage_of(&after.alice).await.expect("counted"), usage);
}
