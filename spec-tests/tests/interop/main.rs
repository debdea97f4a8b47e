//! Clients that we did not write, at the versions that `setup-interop.sh` installs. Each scenario is
//! a script in the client's own language, which meets the server as its users would and checks by
//! itself what it sees.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test fails by panicking, and its helpers are not marked as tests"
)]

use std::{
    ffi::OsStr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use kith_spec_tests::TestServer;
use serde_json::Value;
use tokio::process::Command;

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

async fn nio(script: &str) -> Vec<String> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", installed("nio/packages")).arg(here(script)).arg(proxy.url());
    run(python).await
}

async fn js(script: &str) -> Vec<String> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    // A script finds its modules beside itself.
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let copy = folder.path().join("scenario.mjs");
    std::fs::copy(here(script), &copy).expect("the script can be copied");
    symlink(installed("js/node_modules"), folder.path().join("node_modules")).expect("a link");
    // The Node.js that came with it: the SDK is written for a newer one than Debian has.
    let mut node = Command::new(installed("js/node_modules/.bin/node"));
    node.arg(copy).arg(proxy.url());
    run(node).await
}

/// What the script says it saw. It must end well.
async fn run(mut command: Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("the interpreter is installed (deploy/setup.sh --tests)");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line["saw"].as_str()?.to_owned())).collect()
}

fn assert_story(seen: &[String], story: &[&str]) {
    let mut rest = seen.iter();
    for chapter in story {
        assert!(rest.any(|line| line == chapter), "`{chapter}` is not in its place: {seen:?}");
    }
    assert_eq!(seen.last().map(String::as_str), Some("end"));
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(path)
}

/// Where `setup-interop.sh` put it.
fn installed(path: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value: &_| value != OsStr::new(""));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    let path = cache.expect("HOME is set").join("kith/interop").join(path);
    assert!(path.exists(), "{} is missing: run spec-tests/setup-interop.sh", path.display());
    path
}
