//! Which keys does the server publish, and to whom does it answer?

use kith_spec_tests::{RemoteServer, TestServer};
use serde_json::json;

#[tokio::test]
async fn a_peer_and_a_server_that_federates_reach_each_other() {
    let server = TestServer::federating().await;
    let remote = RemoteServer::start().await;
    let keys = remote.get(&server, "/_matrix/key/v2/server").await.ok();
    assert_eq!(keys["server_name"], server.name());
    let signed = remote.sign(json!({ "a": 1 }));
    assert!(signed["signatures"][remote.name().as_str()].is_object());
}
