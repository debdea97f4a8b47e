use kith_spec_tests::TestServer;

use crate::support::{content, create, upload};

#[tokio::test]
async fn a_user_keeps_no_more_than_the_quota() {
    let server = TestServer::with(|config| {
        config.media.user_bytes = Some(10_000);
        config.media.user_files = Some(3);
        config.media.team_bytes = Some(15_000);
    })
    .await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let config = alice.get("v1/media/config").await.ok();
    assert_eq!(config["org.matrix.msc4034.storage.size"], 10_000);
    assert_eq!(config["org.matrix.msc4034.storage.max_files"], 3);
    assert_eq!(upload(&alice, "text/plain", &content(1, 6_000)).await.status, 200);
    upload(&alice, "text/plain", &content(2, 4_001)).await.error(403, "M_FORBIDDEN");
    let usage = alice.get("/_matrix/media/unstable/org.matrix.msc4034/usage").await.ok();
    assert_eq!(usage["org.matrix.msc4034.storage.used"], 6_000);
    assert_eq!(usage["org.matrix.msc4034.storage.free"], 4_000);
    assert_eq!(usage["org.matrix.msc4034.storage.files"], 1);
    // The team's quota is met first.
    assert_eq!(upload(&bob, "text/plain", &content(3, 8_000)).await.status, 200);
    upload(&alice, "text/plain", &content(4, 2_000)).await.error(403, "M_FORBIDDEN");
    for _ in 0..2 {
        assert_eq!(upload(&alice, "text/plain", b"x").await.status, 200);
    }
    upload(&alice, "text/plain", b"x").await.error(403, "M_FORBIDDEN");
    let refused = alice.request(reqwest::Method::POST, "/_matrix/media/v1/create", None).await;
    refused.error(403, "M_FORBIDDEN");
    create(&bob).await;
}
