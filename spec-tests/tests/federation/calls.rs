//! Who gets into a call: members of its room, of whichever server. MSC4143, MSC4195.

use std::net::{Ipv4Addr, SocketAddr};

use kith_homeserver::config::{Config, Secret};
use kith_spec_tests::{TestServer, TestUser, path};
use ruma::serde::{Base64, base64::UrlSafe};
use serde_json::{Value, json};

const SERVICE: &str = "/livekit/jwt";

fn with_calls(config: &mut Config) {
    config.calls.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
}

/// The OpenID token of a user, as their server gave it.
async fn openid(user: &TestUser) -> Value {
    let path = path!("v3/user/{}/openid/request_token", user.user_id);
    user.post(&path, json!({})).await.ok()
}

async fn body(user: &TestUser, room: &str) -> Value {
    json!({
        "room_id": room,
        "slot_id": "m.call#ROOM",
        "openid_token": openid(user).await,
        "member": {
            "id": "member",
            "claimed_user_id": user.user_id,
            "claimed_device_id": user.device_id,
        },
    })
}

/// What a token says; whether it is right is the relay's to say.
fn claims(jwt: &str) -> Value {
    let claims = jwt.split('.').nth(1).expect("three parts");
    let claims: Base64<UrlSafe> = Base64::parse(claims).expect("base64");
    serde_json::from_slice(claims.as_bytes()).expect("JSON")
}

#[tokio::test]
async fn clients_find_where_calls_are_relayed() {
    let server = TestServer::with(with_calls).await;
    let alice = server.register("alice").await;
    let known = server.anonymous().get("/.well-known/matrix/client").await.ok();
    let base = known["m.homeserver"]["base_url"].as_str().expect("a URL");
    let transport =
        json!({ "type": "livekit", "livekit_service_url": format!("{base}/livekit/jwt") });
    assert_eq!(known["org.matrix.msc4143.rtc_foci"], json!([transport]));
    for path in ["unstable/org.matrix.msc4143/rtc/transports", "v1/rtc/transports"] {
        assert_eq!(alice.get(path).await.ok(), json!({ "rtc_transports": [transport] }));
        server.anonymous().get(path).await.error(401, "M_MISSING_TOKEN");
    }

    let without = TestServer::start().await;
    let bob = without.register("bob").await;
    assert_eq!(bob.get("v1/rtc/transports").await.ok(), json!({ "rtc_transports": [] }));
    let known = without.anonymous().get("/.well-known/matrix/client").await.ok();
    assert_eq!(known.get("org.matrix.msc4143.rtc_foci"), None);
    let room = bob.create_public_room().await;
    let asked = bob.post(&format!("{SERVICE}/get_token"), body(&bob, &room).await).await;
    asked.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_member_gets_a_token_that_the_relay_takes() {
    let server = TestServer::with(with_calls).await;
    let alice = server.register("alice").await;
    let room = alice.create_public_room().await;
    let nobody = server.anonymous();
    let path = format!("{SERVICE}/get_token");
    let given = nobody.post(&path, body(&alice, &room).await).await.ok();
    let claims_of = claims(given["jwt"].as_str().expect("a token"));
    let video = &claims_of["video"];
    assert_eq!((&video["roomJoin"], &video["roomCreate"]), (&json!(true), &json!(true)));
    assert_eq!(claims_of["sub"].as_str().map(str::len), Some(43), "SHA-256 in base64");
    let url = given["url"].as_str().expect("a URL");
    assert!(url.ends_with("/livekit/sfu") && url.starts_with("ws"), "{url}");

    let validate = |token: &str| format!("/livekit/sfu/rtc/validate?access_token={token}");
    let jwt = given["jwt"].as_str().expect("a token");
    assert_eq!(nobody.get(&validate(jwt)).await.status, 200);
    assert_eq!(nobody.get(&validate(&jwt[..jwt.len() - 2])).await.status, 401);
    assert_eq!(nobody.get("/livekit/sfu/rtc/v1/validate").await.status, 404);

    let legacy = json!({
        "room": room, "openid_token": openid(&alice).await, "device_id": alice.device_id,
    });
    let legacy = nobody.post(&format!("{SERVICE}/sfu/get"), legacy).await.ok();
    let legacy = claims(legacy["jwt"].as_str().expect("a token"));
    assert_eq!(legacy["sub"], format!("{}:{}", alice.user_id, alice.device_id));
    assert_eq!(legacy["video"]["room"], video["room"], "it is the same call");
}

#[tokio::test]
async fn nobody_else_gets_one() {
    let server = TestServer::with(with_calls).await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room = alice.create_public_room().await;
    let path = format!("{SERVICE}/get_token");
    let nobody = server.anonymous();
    let refused = async |body: Value| {
        nobody.post(&path, body).await.error(401, "M_UNAUTHORIZED");
    };
    refused(body(&eve, &room).await).await;
    refused(body(&alice, "!unknown:kith.test").await).await;
    let mut impostor = body(&alice, &room).await;
    impostor["openid_token"] = openid(&eve).await;
    refused(impostor).await;
    for (field, value) in [("access_token", "made up"), ("matrix_server_name", "gone.invalid")] {
        let mut made_up = body(&alice, &room).await;
        made_up["openid_token"][field] = json!(value);
        refused(made_up).await;
    }
    let mut long = body(&alice, &room).await;
    long["member"]["id"] = json!("x".repeat(256));
    nobody.post(&path, long).await.error(400, "M_INVALID_PARAM");
    nobody.post(&path, json!({ "room_id": room })).await.error(400, "M_BAD_JSON");
    alice.post(&path!("v3/rooms/{}/leave", room), json!({})).await.ok();
    refused(body(&alice, &room).await).await;
}

#[tokio::test]
async fn members_of_other_servers_join_calls_and_begin_none() {
    let one = TestServer::federating_with(with_calls).await;
    let two = TestServer::federating().await;
    let (alice, bob) = (one.register("alice").await, two.register("bob").await);
    let room = alice.create_public_room().await;
    let path = format!("{SERVICE}/get_token");
    one.anonymous().post(&path, body(&bob, &room).await).await.error(401, "M_UNAUTHORIZED");
    bob.post(&format!("v3/join/{room}?via={}", one.name()), json!({})).await.ok();
    let given = one.anonymous().post(&path, body(&bob, &room).await).await.ok();
    let claims = claims(given["jwt"].as_str().expect("a token"));
    assert_eq!(claims["video"]["roomJoin"], true);
    assert_ne!(claims["video"]["roomCreate"], true);
}

#[tokio::test]
async fn a_team_has_so_many_people_in_calls_and_no_more() {
    let server = TestServer::with(|config| {
        with_calls(config);
        config.calls.people_per_team = 1;
    })
    .await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    bob.post(&path!("v3/join/{}", room), json!({})).await.ok();
    let path = format!("{SERVICE}/get_token");
    for _ in 0..2 {
        alice.post(&path, body(&alice, &room).await).await.ok();
    }
    bob.post(&path, body(&bob, &room).await).await.error(403, "M_USER_LIMIT_EXCEEDED");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3voipturnserver)
#[tokio::test]
async fn the_turn_server_is_named_to_users() {
    let uris = ["turn:turn.kith.test:3478?transport=udp"];
    let server = TestServer::with(|config| {
        config.calls.turn.secret = Some(Secret::new("north"));
        config.calls.turn.uris = uris.map(str::to_owned).to_vec();
    })
    .await;
    let alice = server.register("alice").await;
    server.anonymous().get("v3/voip/turnServer").await.error(401, "M_MISSING_TOKEN");
    let turn = alice.get("v3/voip/turnServer").await.ok();
    assert_eq!((&turn["uris"], &turn["ttl"]), (&json!(uris), &json!(86_400)));
    let name = turn["username"].as_str().expect("a name");
    let (expiry, user) = name.split_once(':').expect("two parts");
    assert_eq!(user, alice.user_id);
    let expiry: u64 = expiry.parse().expect("seconds since the epoch");
    assert!(expiry > 1_700_000_000);
    // That it is what coturn computes is tested where it is made.
    assert_eq!(turn["password"].as_str().map(str::len), Some(28), "SHA-1 in base64");
    let without = TestServer::start().await;
    let bob = without.register("bob").await;
    assert_eq!(bob.get("v3/voip/turnServer").await.ok(), json!({}));
}
