//! [`livekit-client`](https://www.npmjs.com/package/livekit-client) in Debian's Chromium with fake devices.

use std::os::unix::fs::symlink;

use kith_voip::Rooms;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    server::Server,
    story::{assert_story, installed, run},
};

/// What people in a call must have seen.
const CALL: [&str; 9] = [
    "joined",
    "picture",
    "sound",
    "answer",
    "layers",
    "muted and not any more",
    "data",
    "resumed",
    "left",
];

async fn call(encryption: &str, rooms: Rooms) -> Vec<Value> {
    let server = Server::with(|config| config.through_pipeline = rooms).await;
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|identity| server.token(identity));
    // A script finds its modules beside itself.
    let folder = tempfile::tempdir().unwrap();
    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/js");
    std::fs::copy(format!("{clients}/call.mjs"), folder.path().join("call.mjs")).unwrap();
    symlink(installed("js/node_modules"), folder.path().join("node_modules")).unwrap();
    let mut node = Command::new("node");
    node.arg(folder.path().join("call.mjs")).arg(format!("{clients}/page.html"));
    node.args([&server.url, &ann, &bob, &eve, encryption]);
    run(node).await
}

#[tokio::test]
async fn people_who_use_a_browser_see_and_hear_each_other() {
    let seen = call("plain", Rooms::None).await;
    assert_story(&seen, &CALL);
    assert_story(&seen, &["data", "late joiner", "resumed"]);
}

/// Simulcast layers are switched between jitter buffers.
#[tokio::test]
async fn people_who_use_a_browser_see_and_hear_each_other_through_gstreamer() {
    let seen = call("plain", Rooms::All).await;
    assert_story(&seen, &CALL);
}

#[tokio::test]
async fn people_who_use_a_browser_see_each_other_encrypted_and_nobody_else_does() {
    let seen = call("encrypted", Rooms::None).await;
    assert_story(&seen, &CALL);
    assert_story(&seen, &["data", "nothing without the key", "resumed"]);
}
