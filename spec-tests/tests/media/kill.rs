//! `kith` killed while files come in.

use std::time::Duration;

use kith_spec_tests::{KithProcess, ReachedServer};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{PARTIAL, UPLOAD, append, content, create, get, offset, send_part};

const ROUNDS: usize = 100;
/// Bytes of each file; a round adds a part of one.
const LENGTH: usize = 24_000_000;

/// No byte that was acknowledged is lost, whole files are what was sent, and the datastore is sound.
#[tokio::test]
async fn no_acknowledged_byte_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let file = content(7, LENGTH);
    let mut kith = KithProcess::start(folder.path(), &[]).await;
    let server = ReachedServer::at(kith.address);
    let alice = server.register("alice").await;
    let mut media = create(&alice).await;
    let (mut at, mut acknowledged) = (0, 0);
    for round in 0..ROUNDS {
        if file.len() - at < 4_000_000 {
            let last = append(&alice, &media, at, true, &file[at..]).await;
            assert_eq!(last.status, 200, "{last}");
            assert!(get(kith.address, &alice, &media).await == file, "round {round}");
            media = create(&alice).await;
            (at, acknowledged) = (0, 0);
        }
        // One part that is acknowledged, and one that is on its way when the end comes.
        let length = random.random_range(1..1_000_000).min(file.len() - at);
        let answer = append(&alice, &media, at, false, &file[at..at + length]).await;
        assert_eq!(answer.status, 204, "{answer}");
        at += length;
        acknowledged = acknowledged.max(at);
        let text = at.to_string();
        let headers = [
            ("content-type", PARTIAL),
            ("upload-offset", text.as_str()),
            ("upload-complete", "?0"),
        ];
        let rest = &file[at..];
        let sent = random.random_range(0..=rest.len().min(2_500_000));
        let request = format!("PATCH {UPLOAD}/{media}");
        send_part(kith.address, &alice, &request, &headers, rest.len(), &rest[..sent]).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        kith.kill().await;
        kith = KithProcess::start(folder.path(), &[]).await;
        server.moved_to(kith.address);
        let now = offset(&alice, &media).await;
        assert!(now >= acknowledged, "round {round}: {now} of {acknowledged} are left");
        assert!(now <= at + sent, "round {round}: {now} of {}", at + sent);
        at = now;
    }
    let last = append(&alice, &media, at, true, &file[at..]).await;
    assert_eq!(last.status, 200, "{last}");
    assert!(get(kith.address, &alice, &media).await == file);
    kith.kill().await;
    let report = KithProcess::run(folder.path(), &["media", "fsck", "--full"]).await;
    assert!(report.contains("lost: 0"), "{report}");
    // It fails if a file is not what its digest says.
    KithProcess::run(folder.path(), &["media", "verify"]).await;
}
