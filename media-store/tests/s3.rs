//! The same store in a real S3: `s3s-fs`, an S3 server over a folder, behind OpenDAL's client.

mod support;

use std::{net::SocketAddr, path::Path, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use kith_media_store::{chunks::Error, config::Place, fsck::Look, scrub::ScrubBudget};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use support::{Kept, assert_same, chunk, objects, put_used};

const LENGTHS: [usize; 5] = [5 << 20, 100_000, 65_536, 100, 0];
const BUCKET: &str = "media";

/// Serves the buckets below this folder until the runtime ends.
async fn serve(folder: &Path) -> SocketAddr {
    std::fs::create_dir_all(folder.join(BUCKET)).expect("made");
    let files = s3s_fs::FileSystem::new(folder).expect("a folder");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single("an-access-key", "a-secret-key"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that goes away is none of our business.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn uri(address: SocketAddr) -> String {
    format!(
        "s3://{BUCKET}/below?endpoint=http://{address}&region=garage&access_key_id=an-access-key\
         &secret_access_key=a-secret-key&disable_config_load=true"
    )
}

async fn in_s3() -> Kept {
    let servers = tempfile::tempdir().expect("a temporary folder").keep();
    let address = serve(&servers).await;
    let mut kept = Kept::configured(|_, config| {
        config.datastore = Place::Uri(uri(address));
        config.grace = Duration::ZERO;
    })
    .await;
    kept.served = Some(servers);
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_live_in_s3() {
    let mut kept = in_s3().await;
    let mut ids = Vec::new();
    for (n, len) in LENGTHS.into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
        let again = put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "b").await;
        assert_eq!(again, ids[n]);
    }
    for (n, len) in LENGTHS.into_iter().enumerate() {
        for range in [0..len, len / 3..len / 2] {
            let read = kept.chunks.read(&ids[n], range.start as u32..range.end as u32).await;
            assert_same(&read.expect("there"), &chunk(len, n as u64).slice(range));
        }
    }
    // Everything of the team is below its folder, and shows in listings.
    let quick = kept.chunks.fsck(Look::Quick, |_| {}).await.expect("looked");
    assert_eq!((quick.chunks, quick.lost.len(), quick.orphans), (5, 0, 0), "{quick:?}");

    let mut batch = kith_store::Batch::new();
    for owner in ["a", "b"] {
        kept.chunks.unused_by(&mut batch, &ids[1], owner);
    }
    kept.store.commit(batch).await.expect("committed");
    let report = kept.chunks.collect(u64::MAX).await.expect("collected");
    assert_eq!(report.removed, 1);
    assert!(matches!(kept.chunks.read(&ids[1], 0..1).await, Err(Error::Missing(_))));
    let before: Vec<_> = kept.chunks.scrub(&all()).await.expect("scrubbed").lost;
    assert_eq!(before, []);

    kept.lose_index().await;
    assert_eq!(kept.chunks.rebuild(|_| {}).await.expect("rebuilt").added, 4);
    for n in [0, 2, 3, 4] {
        let read = kept.chunks.read(&ids[n], 0..LENGTHS[n] as u32).await.expect("there");
        assert_same(&read, &chunk(LENGTHS[n], n as u64));
    }
    let folder = kept.served.clone().expect("served");
    for object in objects(folder.join(BUCKET)) {
        assert!(object.starts_with(folder.join(BUCKET).join("below/example.org/v1")), "{object:?}");
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_moves_to_s3() {
    let kept = Kept::new().await;
    let servers = kept.temporary.path().join("servers");
    let address = serve(&servers).await;
    let mut ids = Vec::new();
    for (n, len) in LENGTHS.into_iter().enumerate() {
        ids.push(put_used(&kept.chunks, &kept.store, chunk(len, n as u64), "a").await);
    }
    let report = kept.chunks.move_to(&uri(address), |_| {}).await.expect("moved");
    assert!(report.finished, "{report:?}");
    for (n, len) in LENGTHS.into_iter().enumerate() {
        let read = kept.chunks.read(&ids[n], 0..len as u32).await.expect("there");
        assert_same(&read, &chunk(len, n as u64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_in_s3_heals_a_folder() {
    let servers = tempfile::tempdir().expect("a temporary folder");
    let address = serve(servers.path()).await;
    let kept = Kept::configured(|_, config| config.mirror = Some(Place::Uri(uri(address)))).await;
    let id = put_used(&kept.chunks, &kept.store, chunk(300_000, 1), "a").await;
    std::fs::remove_file(kept.object_of(&id).await).expect("removed");
    let read = kept.chunks.read(&id, 5..200_000).await.expect("in the mirror");
    assert_same(&read, &chunk(300_000, 1).slice(5..200_000));
    kept.chunks.close().await;
    assert!(kept.object_of(&id).await.exists(), "healed by the reader");
    assert_eq!(kept.chunks.scrub(&all()).await.expect("scrubbed").healed, 0);
}

fn all() -> ScrubBudget {
    ScrubBudget { chunks: usize::MAX, older_than: Duration::ZERO, rate: None }
}
