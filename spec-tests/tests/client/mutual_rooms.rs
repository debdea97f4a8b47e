//! Rooms that two users are in.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#mutual-rooms)

use kith_spec_tests::{TestServer, TestUser, encode};
use serde_json::{Value, json};

async fn mutual(user: &TestUser, other: &str) -> Value {
    user.get(&format!("v1/mutual_rooms?user_id={}", encode(other))).await.ok()
}

#[tokio::test]
async fn rooms_that_both_have_joined_are_mutual() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let versions = alice.get("versions").await.ok();
    let flag = "uk.half-shot.msc2666.query_mutual_rooms.stable";
    assert_eq!(versions["unstable_features"][flag], true);
    assert_eq!(mutual(&alice, &bob.user_id).await, json!({ "joined": [], "count": 0 }));
    let both = alice.create_room_with(&[&bob]).await;
    let left = alice.create_room_with(&[&bob]).await;
    bob.leave(&left).await;
    let invited = alice.create_room().await;
    alice.invite(&invited, &bob).await;
    alice.create_room().await;
    let also = bob.create_room_with(&[&alice]).await;
    for (user, other) in [(&alice, &bob), (&bob, &alice)] {
        let found = mutual(user, &other.user_id).await;
        assert_eq!(found, json!({ "joined": [both, also], "count": 2 }));
    }
    let old = "unstable/uk.half-shot.msc2666/user/mutual_rooms";
    let found = alice.get(&format!("{old}?user_id={}", encode(&bob.user_id))).await.ok();
    assert_eq!(found, json!({ "joined": [both, also] }));
    assert_eq!(mutual(&alice, "@nobody:kith.test").await["joined"], json!([]));
    assert_eq!(mutual(&alice, "@nobody:elsewhere.test").await["joined"], json!([]));
}

#[tokio::test]
async fn mutual_rooms_refuse_what_makes_no_sense() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let own = format!("v1/mutual_rooms?user_id={}", encode(&alice.user_id));
    for wrong in [
        own.as_str(),
        "v1/mutual_rooms?user_id=nonsense",
        "v1/mutual_rooms?user_id=%40With%20Space%3Akith.test",
        "v1/mutual_rooms?user_id=%40bob%3Akith.test&from=nonsense",
    ] {
        alice.get(wrong).await.error(400, "M_INVALID_PARAM");
    }
    alice.get("v1/mutual_rooms").await.error(400, "M_MISSING_PARAM");
    server.anonymous().get(&own).await.error(401, "M_MISSING_TOKEN");
}
