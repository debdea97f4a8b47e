//! Two teams in one process, on one port: nothing crosses.

use kith_homeserver::config::{FederationPolicy, Team};
use kith_spec_tests::{TestServer, TestUser, path};
use reqwest::Method;
use ruma::server_name;
use serde_json::json;

const FIRST: &str = "kith.test";
const SECOND: &str = "other.test";

async fn two_teams() -> TestServer {
    TestServer::with(|config| {
        // These names lead nowhere: nobody is to look for them.
        config.federation.policy = FederationPolicy::Closed;
        let server_name = server_name!("other.test").to_owned();
        config.additional_teams.push(Team {
            server_name,
            public_base_url: None,
            federation_policy: None,
        });
    })
    .await
}

/// The first team's user in the second team's house, with the first team's token.
fn sent_to(server: &TestServer, host: &str, user: &TestUser) -> TestUser {
    server.anonymous_at(host).with_token(user.access_token.clone().expect("the user is signed in"))
}

#[tokio::test]
async fn the_host_name_chooses_the_team() {
    let server = two_teams().await;
    let first = server.register_at(FIRST, "alice").await;
    let second = server.register_at(SECOND, "alice").await;
    assert_eq!(first.user_id, "@alice:kith.test");
    assert_eq!(second.user_id, "@alice:other.test");
    // With a port and in capitals, too; any other name is for the first team.
    for (host, team) in [
        ("OTHER.test:8448", "other.test"),
        ("other.test:80", "other.test"),
        ("Kith.Test", "kith.test"),
        ("127.0.0.1:1234", "kith.test"),
        ("unknown.test", "kith.test"),
    ] {
        let name = format!("host{}", host.len());
        let user = server.register_at(host, &name).await;
        assert!(user.user_id.ends_with(&format!(":{team}")), "{host}: {}", user.user_id);
    }
}

#[tokio::test]
async fn users_and_tokens_do_not_cross() {
    let server = two_teams().await;
    let alice = server.register_at(FIRST, "alice").await;
    server.register_at(FIRST, "only-here").await;
    let stray = sent_to(&server, SECOND, &alice);
    stray.get("v3/account/whoami").await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(alice.get("v3/account/whoami").await.ok()["user_id"], "@alice:kith.test");
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "only-here" },
        "password": "correct horse battery only-here",
    });
    server.anonymous_at(SECOND).post("v3/login", body.clone()).await.error(403, "M_FORBIDDEN");
    server.anonymous_at(FIRST).post("v3/login", body).await.ok();
    let available =
        server.anonymous_at(SECOND).get("v3/register/available?username=only-here").await;
    assert_eq!(available.ok()["available"], true);
    server
        .anonymous_at(FIRST)
        .get("v3/register/available?username=only-here")
        .await
        .error(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn rooms_and_aliases_do_not_cross() {
    let server = two_teams().await;
    let alice = server.register_at(FIRST, "alice").await;
    let bob = server.register_at(SECOND, "bob").await;
    let body = json!({ "preset": "public_chat", "visibility": "public", "room_alias_name": "pub" });
    let hers = alice.create_room_from(body.clone()).await;
    let his = bob.create_room_from(body).await;
    let event_id = alice.send_text(&hers, "secret").await;
    for path in [
        path!("v3/rooms/{}/event/{}", hers, event_id),
        path!("v3/rooms/{}/messages?dir=b", hers),
        path!("v3/rooms/{}/state", hers),
        path!("v3/rooms/{}/members", hers),
    ] {
        let answer = bob.get(&path).await;
        assert!([403, 404].contains(&answer.status), "{answer}");
        assert!(!answer.text.contains("secret"), "{answer}");
    }
    for (host, room) in [(FIRST, &hers), (SECOND, &his)] {
        let alias = path!("v3/directory/room/{}", format!("#pub:{host}"));
        let found = server.anonymous_at(host).get(&alias).await.ok();
        assert_eq!(found["room_id"], room.as_str());
        let listed = server.anonymous_at(host).get("v3/publicRooms").await.ok();
        assert_eq!(listed["chunk"].as_array().map(Vec::len), Some(1), "{listed:#}");
        assert_eq!(listed["chunk"][0]["room_id"], room.as_str());
    }
    // A conversation in one team does not move the other's sync.
    let since = bob.sync(None).await.next_batch;
    let since = bob.sync(Some(since)).await.next_batch;
    alice.send_text(&hers, "more").await;
    assert_eq!(bob.sync(Some(since.clone())).await.next_batch, since);
}

#[tokio::test]
async fn each_team_finds_its_own_people() {
    let server = two_teams().await;
    let alice = server.register_at(FIRST, "alice").await;
    let bob = server.register_at(SECOND, "bob").await;
    let body = json!({ "search_term": "alice" });
    let found = bob.post("v3/user_directory/search", body).await.ok();
    assert_eq!(found["results"], json!([]), "{found:#}");
    let profile = path!("v3/profile/{}", alice.user_id);
    let answer = bob.get(&profile).await;
    assert!([403, 404].contains(&answer.status), "{answer}");
}

#[tokio::test]
async fn media_does_not_cross() {
    let server = two_teams().await;
    let alice = server.register_at(FIRST, "alice").await;
    let bob = server.register_at(SECOND, "bob").await;
    let text = [("content-type", "text/plain")];
    let upload = Some(b"secret".to_vec());
    let answer = alice.request_with(Method::POST, "/_matrix/media/v3/upload", upload, &text).await;
    let uri = answer.text_at("content_uri");
    let media_id = uri.strip_prefix("mxc://kith.test/").expect("it is the first team's");
    let path = path!("v1/media/download/{}/{}", FIRST, media_id);
    assert_eq!(alice.get(&path).await.text, "secret");
    for server_name in [FIRST, SECOND] {
        let answer = bob.get(&path!("v1/media/download/{}/{}", server_name, media_id)).await;
        assert!(answer.status >= 400 && !answer.text.contains("secret"), "{answer}");
    }
}

#[tokio::test]
async fn each_team_has_its_own_signing_key() {
    let server = two_teams().await;
    let mut keys = Vec::new();
    for host in [FIRST, SECOND] {
        let answer = server.anonymous_at(host).get("/_matrix/key/v2/server").await.ok();
        assert_eq!(answer["server_name"], host, "{answer:#}");
        keys.push(answer["verify_keys"].clone());
    }
    assert_ne!(keys[0], keys[1]);
}
