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

/// [Spec](https://spec.matrix.org/latest/client-server-api/#capabilities-negotiation)
#[tokio::test]
async fn capabilities_name_the_room_versions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let capabilities = alice.get("v3/capabilities").await.ok()["capabilities"].clone();
    let versions = &capabilities["m.room_versions"];
    assert_eq!(versions["default"], "12");
    for version in 6..=12 {
        assert_eq!(versions["available"][version.to_string()], "stable");
    }
    assert_eq!(capabilities["m.3pid_changes"]["enabled"], false);
    assert_eq!(capabilities["m.get_login_token"]["enabled"], true);
    assert_eq!(capabilities["m.profile_fields"]["enabled"], true);
    server.anonymous().get("v3/capabilities").await.error(401, "M_MISSING_TOKEN");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#server-discovery)
#[tokio::test]
async fn well_known_names_the_public_address() {
    let server = TestServer::with(|config| {
        config.public_base_url = Some("https://matrix.kith.test".parse().expect("a URL"));
    })
    .await;
    let nobody = server.anonymous();
    let client = nobody.get("/.well-known/matrix/client").await.ok();
    assert_eq!(client["m.homeserver"]["base_url"], "https://matrix.kith.test");
    let federation = nobody.get("/.well-known/matrix/server").await.ok();
    assert_eq!(federation["m.server"], "matrix.kith.test:443");
    nobody.get("/.well-known/matrix/support").await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn well_known_names_whom_to_ask() {
    use kith_homeserver::config::{Contact, ContactRole};
    let server = TestServer::with(|config| {
        config.support.page = Some("https://kith.test/help".parse().expect("a URL"));
        config.support.contacts = vec![Contact {
            role: ContactRole::Admin,
            matrix_id: Some("@root:kith.test".try_into().expect("a user ID")),
            email: Some("root@kith.test".to_owned()),
        }];
    })
    .await;
    let support = server.anonymous().get("/.well-known/matrix/support").await.ok();
    let expected = serde_json::json!({
        "contacts": [{
            "role": "m.role.admin",
            "matrix_id": "@root:kith.test",
            "email_address": "root@kith.test",
        }],
        "support_page": "https://kith.test/help",
    });
    assert_eq!(support, expected);
}

/// [Spec](https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys)
#[tokio::test]
async fn the_servers_key_is_published_and_signed() {
    let server = TestServer::start().await;
    let keys = server.anonymous().get("/_matrix/key/v2/server").await.ok();
    assert_eq!(keys["server_name"], "kith.test");
    let (id, _) = keys["verify_keys"].as_object().and_then(|keys| keys.iter().next()).expect("one");
    assert!(id.starts_with("ed25519:"));
    assert!(keys["signatures"]["kith.test"][id].is_string(), "{keys:#}");
    assert!(keys["valid_until_ts"].is_u64());
}
