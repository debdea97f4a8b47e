//! Clients that we did not write, at the versions that `setup-interop.sh` installs. Each scenario is
//! a script in the client's own language, which meets the server as its users would and checks by
//! itself what it sees.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

use std::path::{Path, PathBuf};

use kith_spec_tests::{
    TestServer,
    script::{assert_story, run_js, run_nio},
};

/// What people who chat must have seen, in this order; a scenario may see more.
const CHAT: [&str; 16] = [
    "registered",
    "second device",
    "profile",
    "direct chat",
    "user directory",
    "formatted text",
    "transaction id",
    "reply",
    "edit",
    "reaction",
    "redaction",
    "typing",
    "receipt",
    "tag",
    "history",
    "left",
];

/// What people who share secrets must have seen.
const SECRETS: [&str; 4] = ["registered", "secret room", "decrypted", "answered"];

/// [matrix-nio](https://github.com/matrix-nio/matrix-nio), the Python library of many bots.
#[tokio::test]
async fn people_who_use_matrix_nio_meet_and_chat() {
    let seen = nio("nio/scenario.py").await;
    assert_story(&seen, &CHAT);
}

#[tokio::test]
async fn people_who_use_matrix_nio_share_secrets() {
    let seen = nio("nio/encryption.py").await;
    assert_story(&seen, &SECRETS);
    assert_story(&seen, &["answered", "verified by emoji"]);
    let then = ["second device", "device list", "both devices", "without the device that left"];
    assert_story(&seen, &then);
}

/// [matrix-js-sdk](https://github.com/matrix-org/matrix-js-sdk), which Element is built on.
#[tokio::test]
async fn people_who_use_matrix_js_sdk_meet_and_chat() {
    let seen = js("js/scenario.mjs").await;
    assert_story(&seen, &CHAT);
    assert!(seen.contains(&"unread counts".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn people_who_use_matrix_js_sdk_share_secrets_and_restore_them_from_the_backup() {
    let seen = js("js/encryption.mjs").await;
    assert_story(&seen, &SECRETS);
    let backup = ["cross-signing", "secret storage", "backed up", "verified by emoji"];
    assert_story(&seen, &backup);
    assert_story(&seen, &["second device", "history restored", "both devices"]);
}

#[tokio::test]
async fn people_who_use_matrix_js_sdk_exchange_files() {
    let seen = js("js/media.mjs").await;
    assert_story(&seen, &["registered", "media config", "picture", "thumbnail"]);
    assert_story(&seen, &["encrypted attachment", "avatar"]);
}

async fn nio(script: &str) -> Vec<String> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    run_nio(&here(script), &[proxy.url()]).await
}

async fn js(script: &str) -> Vec<String> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    run_js(&here(script), &[proxy.url()]).await
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(path)
}
