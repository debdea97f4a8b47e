//! What clients ask before they know anything.

use kith_spec_tests::TestServer;

/// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientversions)
#[tokio::test]
async fn versions_need_no_access_token() {
    let server = TestServer::start().await;
    let versions = server.anonymous().get("versions").await.ok();
    let listed = versions["versions"].as_array().expect("a list of versions");
    assert!(listed.iter().any(|version| version == "v1.11"), "{versions:#}");
}
