//! Who gets into a call: members of its room, of whichever server. MSC4143, MSC4195.

use std::net::{Ipv4Addr, SocketAddr};

use kith_homeserver::config::{Config, Secret};
use kith_spec_tests::{
    TestServer, TestUser, path,
    script::{assert_story, run_livekit},
    until,
};
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

async fn token_url(server: &TestServer, body: Value) -> (String, String) {
    let given = server.anonymous().post(&format!("{SERVICE}/get_token"), body).await.ok();
    // As this machine reaches it: the server's own name is for others.
    let url = format!("ws://{}/livekit/sfu", server.address());
    (url, given["jwt"].as_str().expect("a token").to_owned())
}

/// LiveKit's own client is in a call; the file is looked at by `voip`'s tests.
#[tokio::test]
async fn administrators_see_which_calls_go_on_and_record_them() {
    let server = TestServer::with(with_calls).await;
    let (root, alice) = (server.register("root").await, server.register("alice").await);
    let room = alice.create_public_room().await;
    let (calls, recording) = (
        "/_kith/admin/v1/calls",
        path!("/_kith/admin/v1/calls/{}/recording", room).replace("%2F", "/"),
    );
    alice.get(calls).await.error(403, "M_FORBIDDEN");
    alice.post(&recording, json!({})).await.error(403, "M_FORBIDDEN");
    let user_id = <&ruma::UserId>::try_from(root.user_id.as_str()).expect("a user ID");
    server.app().users.set_admin(user_id, true).await.expect("the account is there");
    let root = root.log_in_again().await;
    assert_eq!(root.get(calls).await.ok(), json!({ "calls": [] }));
    root.post(&recording, json!({})).await.error(404, "M_NOT_FOUND");
    root.delete(&recording, json!({})).await.error(404, "M_NOT_FOUND");

    let (url, jwt) = token_url(&server, body(&alice, &room).await).await;
    let arguments = [url.as_str(), &jwt, "12"];
    let watch = async {
        let call = |recorded: bool| json!({ "calls": [{ "room_id": room, "users": [alice.user_id], "recorded": recorded }] });
        until("the call", async || (root.get(calls).await.ok() == call(false)).then_some(())).await;
        let begun = root.post(&recording, json!({})).await.ok();
        assert_eq!(root.get(calls).await.ok(), call(true));
        root.post(&recording, json!({})).await.error(409, "M_UNKNOWN");
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        let ended = root.delete(&recording, json!({})).await.ok();
        assert_eq!(root.get(calls).await.ok(), call(false));
        (begun, ended)
    };
    let (seen, (begun, ended)) = tokio::join!(run_livekit("flash.py", &arguments), watch);
    assert_story(&seen, &["end"]);
    assert!(ended["packets"].as_u64() > Some(200), "{ended}");
    let files = ended["files"].as_array().expect("a list");
    assert_eq!(files.first(), Some(&begun["file"]));
    let file = std::path::Path::new(files[0].as_str().expect("a name"));
    assert!(file.starts_with(server.data_dir()), "{}", file.display());
    let written = std::fs::read(file).expect("the file is there");
    assert!(written.len() > 20_000 && written.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]), "Matroska");
}

/// MSC4195: the client is gone, and its delayed event is sent because the relay sees so.
#[tokio::test]
async fn a_delayed_leave_is_put_off_while_the_caller_is_there_and_sent_when_they_are_gone() {
    let server = TestServer::with(with_calls).await;
    let alice = server.register("alice").await;
    let room = alice.create_public_room().await;
    let member = format!(
        "v3/rooms/{}/state/org.matrix.msc3401.call.member/key",
        kith_spec_tests::encode(&room)
    );
    alice.put(&member, json!({ "application": "m.call" })).await.ok();
    let delayed = format!("{member}?org.matrix.msc4140.delay=6000");
    let delay_id = alice.put(&delayed, json!({})).await.ok()["delay_id"].clone();

    let mut asked = body(&alice, &room).await;
    asked["delay_id"] = delay_id;
    let nobody = server.anonymous();
    let path = format!("{SERVICE}/get_token");
    nobody.post(&path, asked.clone()).await.error(400, "M_BAD_JSON");
    asked["delay_timeout"] = json!(6_000);
    let mut made_up = asked.clone();
    made_up["delay_id"] = json!("made up");
    nobody.post(&path, made_up).await.error(404, "M_NOT_FOUND");
    let (url, jwt) = token_url(&server, asked.clone()).await;
    // A client that is there already hands it over at an endpoint of its own.
    let handed = nobody.post(&format!("{SERVICE}/delegate_delayed_leave"), asked).await.ok();
    assert_eq!(handed, json!({}));

    let arguments = [url.as_str(), &jwt, "10"];
    let call = run_livekit("flash.py", &arguments);
    let watch = async {
        tokio::time::sleep(std::time::Duration::from_secs(9)).await;
        let content = alice.get(&member).await.ok();
        assert_eq!(content, json!({ "application": "m.call" }), "it was put off");
    };
    let (seen, ()) = tokio::join!(call, watch);
    assert_story(&seen, &["end"]);
    until("the end of the membership", async || {
        (alice.get(&member).await.ok() == json!({})).then_some(())
    })
    .await;
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
