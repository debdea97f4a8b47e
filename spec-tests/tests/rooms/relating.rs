//! Events that relate to others, as clients send them.

use kith_spec_tests::TestUser;
use serde_json::{Value, json};

/// Sends a message that relates to an event; its ID.
pub(super) async fn send_relating(
    user: &TestUser,
    room: &str,
    rel_type: &str,
    parent: &str,
    body: &str,
) -> String {
    let relation = json!({ "rel_type": rel_type, "event_id": parent });
    let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation });
    user.send(room, "m.room.message", content).await
}

pub(super) async fn reply(user: &TestUser, room: &str, root: &str, body: &str) -> String {
    send_relating(user, room, "m.thread", root, body).await
}

pub(super) async fn react(user: &TestUser, room: &str, event: &str, key: &str) -> String {
    let relation = json!({ "rel_type": "m.annotation", "event_id": event, "key": key });
    user.send(room, "m.reaction", json!({ "m.relates_to": relation })).await
}

/// Edits a message; the edit's ID.
pub(super) async fn edit(user: &TestUser, room: &str, event: &str, body: &str) -> String {
    user.send(room, "m.room.message", edit_of(event, body)).await
}

pub(super) fn edit_of(event: &str, body: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": format!("* {body}"),
        "m.new_content": { "msgtype": "m.text", "body": body },
        "m.relates_to": { "rel_type": "m.replace", "event_id": event },
    })
}

pub(super) async fn ignore(user: &TestUser, whom: &TestUser) {
    let path = kith_spec_tests::path!("v3/user/{}/account_data/m.ignored_user_list", user.user_id);
    let list = json!({ "ignored_users": { &whom.user_id: {} } });
    user.put(&path, list).await.ok();
}
