//! [`livekit`](https://pypi.org/project/livekit/) for Python; its core is that of most LiveKit clients.

use crate::{
    server::Server,
    story::{assert_story, python},
};

/// What people in a call must have seen.
const CALL: [&str; 12] = [
    "joined",
    "second joined",
    "picture",
    "sound",
    "answer",
    "late joiner",
    "speakers",
    "muted and not any more",
    "data",
    "attributes",
    "unpublished",
    "left",
];

async fn call(codec: &str, encryption: &str) {
    let server = Server::start().await;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|identity| server.token(identity));
    let seen = python("call.py", &[&server.url, &ann, &bob, &cid, codec, encryption]).await;
    assert_story(&seen, &CALL);
}

#[tokio::test]
async fn people_who_use_python_see_and_hear_each_other() {
    call("VP8", "plain").await;
}

#[tokio::test]
async fn people_who_use_python_see_each_other_in_h264() {
    call("H264", "plain").await;
}

#[tokio::test]
async fn people_who_use_python_see_and_hear_each_other_encrypted() {
    call("VP8", "encrypted").await;
}
