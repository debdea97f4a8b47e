//! Files that nothing names any more.

use std::time::Duration;

use kith_homeserver::config::Config;
use kith_spec_tests::{TestServer, TestUser, path, until};
use serde_json::json;

use crate::support::{download, media, upload};

fn quick(config: &mut Config) {
    config.media.unreferenced = Duration::ZERO;
    config.media.trash = Duration::ZERO;
}

async fn redact(user: &TestUser, room: &str, event: &str) {
    let transaction = user.new_transaction();
    let path = path!("v3/rooms/{}/redact/{}/{}", room, event, transaction);
    user.put(&path, json!({})).await.ok();
}

#[tokio::test]
async fn a_file_goes_when_the_message_with_it_is_redacted() {
    let server = TestServer::with(quick).await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let files = ["redacted", "kept in another message", "an avatar too", "in no message"];
    let mut medias = Vec::new();
    for file in files {
        medias.push(media(&upload(&alice, "text/plain", file.as_bytes()).await));
    }
    let send = async |media: &str| {
        let content = json!({ "msgtype": "m.file", "body": "a", "url": format!("mxc://{media}") });
        alice.send(&room, "m.room.message", content).await
    };
    let mut events = Vec::new();
    for media in &medias[..3] {
        events.push(send(media).await);
    }
    send(&medias[1]).await;
    let avatar = json!({ "avatar_url": format!("mxc://{}", medias[2]) });
    alice.put(&path!("v3/profile/{}/avatar_url", alice.user_id), avatar).await.ok();
    for event in &events {
        redact(&alice, &room, event).await;
    }
    let store = server.app().media.store().clone();
    until("the file is gone", async || {
        store.sweep().await.expect("swept");
        (alice.get(&download(&medias[0])).await.status == 404).then_some(())
    })
    .await;
    for (media, file) in medias.iter().zip(files).skip(1) {
        let answer = alice.get(&download(media)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, file), "{answer}");
    }
}
