//! `policy/v1/sign`.

use kith_spec_tests::{RemoteServer, TestServer};
use serde_json::json;

#[tokio::test]
async fn a_server_that_is_no_policy_server_signs_nothing() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    let pdu = json!({ "type": "m.room.message", "room_id": "!a:b", "content": {} });
    let answer = remote.post(&server, "/_matrix/policy/v1/sign", pdu).await;
    answer.error(404, "M_NOT_FOUND");
}
