//! Filters that clients store to name them later.

use kith_spec_tests::{TestServer, path};
use serde_json::json;

#[tokio::test]
async fn a_stored_filter_is_what_was_sent() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let filters = path!("v3/user/{}/filter", alice.user_id);
    let filter = json!({
        "room": {
            "timeline": { "limit": 10, "types": ["m.room.message"] },
            "state": { "lazy_load_members": true },
        },
        "event_fields": ["type", "content.body"],
    });
    let id = alice.post(&filters, filter.clone()).await.text_at("filter_id");
    assert!(!id.starts_with('{'));
    let path = path!("v3/user/{}/filter/{}", alice.user_id, id);
    assert_eq!(alice.get(&path).await.ok(), filter);
    let again = alice.post(&filters, filter).await.text_at("filter_id");
    assert_eq!(again, id, "the same filter is stored once");
    let other = alice.post(&filters, json!({})).await.text_at("filter_id");
    assert_ne!(other, id);
}

#[tokio::test]
async fn filters_are_their_users_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let hers = path!("v3/user/{}/filter", alice.user_id);
    let id = alice.post(&hers, json!({})).await.text_at("filter_id");
    bob.post(&hers, json!({})).await.error(403, "M_FORBIDDEN");
    bob.get(&path!("v3/user/{}/filter/{}", alice.user_id, id)).await.error(403, "M_FORBIDDEN");
    bob.get(&path!("v3/user/{}/filter/{}", bob.user_id, id)).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn malformed_filters_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let filters = path!("v3/user/{}/filter", alice.user_id);
    let malformed = [
        json!([]),
        json!({ "room": 7 }),
        json!({ "room": { "timeline": { "limit": "many" } } }),
        json!({ "room": { "rooms": ["not a room"] } }),
        json!({ "presence": { "senders": ["not a user"] } }),
    ];
    for filter in malformed {
        alice.post(&filters, filter).await.error(400, "M_BAD_JSON");
    }
    let large = json!({ "event_fields": ["x".repeat(64 * 1024)] });
    alice.post(&filters, large).await.error(413, "M_TOO_LARGE");
}
