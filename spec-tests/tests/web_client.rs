//! Kith's own client, in Debian's Chromium, as two people use it. The folder is made by `client-dioxus/build.sh
//! quick`, which `make test` runs; the scripts are in `client-dioxus/e2e`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use kith_spec_tests::{
    Synapse, TestServer, encode, free_port,
    script::{assert_story, run_browser},
    until,
};
use serde_json::json;

/// What two people do with it on one evening.
const EVENING: [&str; 19] = [
    "registered",
    "friends",
    "encrypted chat",
    "changes in one line",
    "verified by emoji",
    "reaction",
    "reply",
    "edit",
    "redaction",
    "typing",
    "picture and file",
    "read again after a reload",
    "back to the beginning",
    "pages closed in the middle",
    "one tab at a time",
    "language and theme",
    "recovered on a new device",
    "a new identity",
    "end",
];

/// A call, and the ways out of it.
const CALL: [&str; 10] = [
    "friends",
    "in a call",
    "picture and sound",
    "recorded",
    "muted",
    "left",
    "page closed",
    "vanished",
    "signed out",
    "end",
];

/// A server with the client at `/`, which relays calls. What it tells of itself is where the browser finds it.
async fn serving() -> TestServer {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    TestServer::with(|config| {
        config.listeners[0].address = address;
        config.public_base_url = Some(format!("http://{address}").parse().unwrap());
        config.web_client.directory = Some(folder());
        config.calls.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    })
    .await
}

/// Where `build.sh quick` put it: beside the programs of this build.
fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("web-client");
    let made = folder.join("index.html").is_file();
    assert!(made, "{} is missing: run client-dioxus/build.sh quick", folder.display());
    folder
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-dioxus/e2e").join(name)
}

#[tokio::test]
async fn two_people_find_each_other_verify_and_chat_in_the_web_client() {
    let server = serving().await;
    let seen = run_browser(&script("chat.mjs"), &[server.url()]).await;
    assert_story(&seen, &EVENING);
}

#[tokio::test]
async fn two_people_see_and_hear_each_other_encrypted_in_the_web_client() {
    let server = serving().await;
    let (script, arguments) = (script("call.mjs"), [server.url()]);
    let (seen, ()) = tokio::join!(run_browser(&script, &arguments), record_the_call(&server));
    assert_story(&seen, &CALL);
}

/// As an administrator, as soon as two are in it.
async fn record_the_call(server: &TestServer) {
    let root = server.register("root").await;
    server.app().users.set_admin(root.user_id.as_str().try_into().unwrap(), true).await.unwrap();
    let root = root.log_in_again().await;
    let room = until("a call of two", async || {
        let calls = root.get("/_kith/admin/v1/calls").await.ok();
        let two = calls["calls"][0]["users"].as_array()?.len() == 2;
        two.then(|| calls["calls"][0]["room_id"].as_str().unwrap().to_owned())
    })
    .await;
    root.post(&format!("/_kith/admin/v1/calls/{}/recording", encode(&room)), json!({})).await.ok();
}

/// The page is ours, the accounts are elsewhere.
#[tokio::test]
async fn people_of_another_homeserver_chat_in_the_web_client() {
    let (server, synapse) = tokio::join!(serving(), Box::pin(Synapse::start()));
    let (alice, bob) = (synapse.register("alice").await, synapse.register("bob").await);
    let arguments = [server.url(), synapse.url(), alice.password, bob.password];
    let seen = run_browser(&script("synapse.mjs"), &arguments).await;
    assert_story(&seen, &["signed in", "encrypted chat", "end"]);
}
