//! `kith` killed while files come in.

use std::time::Duration;

use kith_spec_tests::{KithProcess, ReachedServer};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{PARTIAL, UPLOAD, append, content, create, get, offset, send_part};

const ROUNDS: usize = 6;

/// No byte that was acknowledged is lost, and the file is the same in the end.
#[tokio::test]
async fn no_acknowledged_byte_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let file = content(7, 40_000_000);
    let mut kith = KithProcess::start(folder.path(), &[]).await;
    let server = ReachedServer::at(kith.address);
    let alice = server.register("alice").await;
    let media = create(&alice).await;
    let (mut at, mut acknowledged) = (0, 0);
    for round in 0..ROUNDS {
        // One part that is acknowledged, and one that is on its way when the end comes.
        let length = random.random_range(1..2_000_000).min(file.len() - at);
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
        let sent = random.random_range(0..=rest.len().min(9_000_000));
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
}
