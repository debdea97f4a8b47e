//! What an upload costs a real process.

use kith_spec_tests::{KithProcess, ReachedServer};
use reqwest::Method;

use crate::support::{UPLOAD, create, download};

/// Bytes that the upload is long: many times what it may cost.
const LENGTH: u64 = 384 << 20;
/// Bytes that the process may grow by.
const GROWTH: u64 = 48 << 20;

/// Bytes of memory that a process holds, at its greatest so far.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// `length` bytes that come as they are wanted.
fn body(length: u64) -> reqwest::Body {
    let piece = crate::support::content(1, 1 << 16);
    let pieces = (0..length >> 16).map(move |n| {
        let mut piece = piece.clone();
        piece[..8].copy_from_slice(&n.to_be_bytes());
        Ok::<_, std::io::Error>(piece)
    });
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn a_large_upload_costs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let kith = KithProcess::start(folder.path(), &[("LIMITS__UPLOAD", "4 GiB")]).await;
    let server = ReachedServer::at(kith.address);
    let alice = server.register("alice").await;
    let client = reqwest::Client::new();
    let put = async |media: &str, length: u64| {
        let url = format!("http://{}{UPLOAD}/{media}", kith.address);
        let request =
            client.request(Method::PUT, url).bearer_auth(alice.access_token.as_deref().unwrap());
        let answer = request.body(body(length)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    // What every upload needs is there before it is measured.
    put(&create(&alice).await, 1 << 20).await;
    let before = peak(kith.id());
    let media = create(&alice).await;
    put(&media, LENGTH).await;
    let grown = peak(kith.id()) - before;
    assert!(grown <= GROWTH, "{} MiB", grown >> 20);
    let url = format!("http://{}{}", kith.address, download(&media));
    let mut answer =
        client.get(url).bearer_auth(alice.access_token.as_deref().unwrap()).send().await.unwrap();
    let mut length = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        length += piece.len() as u64;
    }
    assert_eq!(length, LENGTH);
    let grown = peak(kith.id()) - before;
    assert!(grown <= GROWTH, "and down: {} MiB", grown >> 20);
    kith.kill().await;
}
