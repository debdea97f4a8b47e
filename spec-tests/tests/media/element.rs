//! Element Web's own code in a browser: it sends a picture with its small picture, and shows both.

use std::{path::PathBuf, process::Stdio, time::Duration};

use kith_spec_tests::{TestServer, TestUser};
use serde_json::{Value, json};
use tokio::process::Command;

/// Where `spec-tests/setup-interop.sh` puts other people's programs.
fn installed() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.expect("there is a home").join("kith/interop/element");
    assert!(folder.is_dir(), "run spec-tests/setup-interop.sh (deploy/setup.sh --tests)");
    folder
}

/// A picture that Alice sends to Bob in a room with this initial state.
async fn picture(initial_state: Value) -> Value {
    let element = installed();
    let page = tempfile::tempdir().unwrap();
    let html = r#"<!doctype html><script type="module" src="/assets/element.js"></script>"#;
    std::fs::write(page.path().join("index.html"), html).unwrap();
    std::os::unix::fs::symlink(element.join("bundle"), page.path().join("assets")).unwrap();
    let server =
        TestServer::with(|config| config.web_client.directory = Some(page.path().to_owned())).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = json!({ "invite": [bob.user_id], "initial_state": initial_state });
    let room = alice.post("v3/createRoom", room).await.text_at("room_id");
    bob.post(&format!("v3/join/{room}"), json!({})).await.ok();

    let story = page.path().join("story.mjs");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/element/story.mjs"), &story)
        .unwrap();
    std::os::unix::fs::symlink(element.join("node_modules"), page.path().join("node_modules"))
        .unwrap();
    let mut node = Command::new("node");
    node.arg(&story).args([server.url(), room]);
    for user in [&alice, &bob] {
        node.args(who(user));
    }
    node.stdin(Stdio::null()).kill_on_drop(true);
    let told = tokio::time::timeout(Duration::from_mins(3), node.output()).await;
    let told = told.expect("it comes to an end").unwrap();
    let (text, errors) =
        (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{text}\n{errors}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn who(user: &TestUser) -> [String; 3] {
    let token = user.access_token.clone().expect("signed in");
    [user.user_id.clone(), user.device_id.clone(), token]
}

#[tokio::test]
async fn element_sends_and_shows_a_picture() {
    let told = picture(json!([])).await;
    let came = &told["came"];
    assert_eq!(came["digest"], told["sent"]["digest"], "{told}");
    assert_eq!((&came["type"], &came["encrypted"]), (&json!("image/png"), &json!(false)));
    assert_eq!(came["thumbnail"], json!([800, 600]), "the one that Element made");
    assert_eq!(came["scaled"], json!([320, 240]), "the one that Kith made");
}

#[tokio::test]
async fn element_sends_and_shows_an_encrypted_picture() {
    let algorithm = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let encrypted = json!({ "type": "m.room.encryption", "state_key": "", "content": algorithm });
    let told = picture(json!([encrypted])).await;
    let came = &told["came"];
    assert_eq!(came["digest"], told["sent"]["digest"], "{told}");
    assert_eq!((&came["type"], &came["encrypted"]), (&json!("image/png"), &json!(true)));
    assert_eq!(came["thumbnail"], json!([800, 600]));
}
