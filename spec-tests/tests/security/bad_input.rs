//! No body, header, path or JSON makes a handler panic: each gets the error that the specification
//! has for it, and the server goes on.

use kith_spec_tests::{Answer, TestServer, TestUser, encode, path};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A room, and somebody in it.
struct Scene {
    server: TestServer,
    alice: TestUser,
    room: String,
    event_id: String,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::start().await;
        let alice = server.register("alice").await;
        let room = alice.create_room().await;
        let event_id = alice.send_text(&room, "hello").await;
        Self { server, alice, room, event_id }
    }

    /// Endpoints that take a JSON object, with one that they accept (or refuse for what it says).
    fn endpoints(&self) -> Vec<(Method, String, Value)> {
        let Self { alice, room, event_id, .. } = self;
        let user = &alice.user_id;
        let (put, post) = (Method::PUT, Method::POST);
        let me = json!({ "user_id": user });
        vec![
            (post.clone(), "v3/createRoom".into(), json!({})),
            (post.clone(), path!("v3/rooms/{}/join", room), json!({})),
            (post.clone(), path!("v3/join/{}", room), json!({})),
            (post.clone(), path!("v3/knock/{}", room), json!({})),
            (post.clone(), path!("v3/rooms/{}/invite", room), me.clone()),
            (post.clone(), path!("v3/rooms/{}/kick", room), me.clone()),
            (post.clone(), path!("v3/rooms/{}/ban", room), me.clone()),
            (post.clone(), path!("v3/rooms/{}/unban", room), me),
            (put.clone(), path!("v3/rooms/{}/send/m.room.message/t", room), json!({ "body": "x" })),
            (put.clone(), path!("v3/rooms/{}/state/org.example.a/k", room), json!({})),
            (put.clone(), path!("v3/rooms/{}/redact/{}/t", room, event_id), json!({})),
            (put.clone(), path!("v3/rooms/{}/typing/{}", room, user), json!({ "typing": false })),
            (post.clone(), path!("v3/rooms/{}/receipt/m.read/{}", room, event_id), json!({})),
            (post.clone(), path!("v3/rooms/{}/read_markers", room), json!({})),
            (post.clone(), path!("v3/rooms/{}/upgrade", room), json!({ "new_version": "0" })),
            (put.clone(), path!("v3/directory/list/room/{}", room), json!({})),
            (
                put.clone(),
                path!("v3/directory/room/{}", "#a:kith.test"),
                json!({ "room_id": room }),
            ),
            (post.clone(), "v3/publicRooms".into(), json!({})),
            (post.clone(), "v3/user_directory/search".into(), json!({ "search_term": "x" })),
            (post.clone(), path!("v3/user/{}/filter", user), json!({})),
            (put.clone(), path!("v3/user/{}/account_data/org.example.a", user), json!({})),
            (put.clone(), path!("v3/user/{}/rooms/{}/account_data/a", user, room), json!({})),
            (put.clone(), path!("v3/user/{}/rooms/{}/tags/u.x", user, room), json!({})),
            (put.clone(), path!("v3/presence/{}/status", user), json!({ "presence": "online" })),
            (put.clone(), path!("v3/profile/{}/displayname", user), json!({ "displayname": "A" })),
            (put.clone(), path!("v3/devices/{}", alice.device_id), json!({})),
            (put.clone(), path!("v3/pushrules/global/room/{}", room), json!({ "actions": [] })),
            (post.clone(), "v3/delete_devices".into(), json!({ "devices": [] })),
            (post.clone(), "v3/keys/upload".into(), json!({})),
            (post.clone(), "v3/keys/query".into(), json!({ "device_keys": {} })),
            (post.clone(), "v3/keys/claim".into(), json!({ "one_time_keys": {} })),
            (post.clone(), "v3/keys/device_signing/upload".into(), json!({})),
            (put.clone(), "v3/sendToDevice/m.test/t".into(), json!({ "messages": {} })),
            (
                post.clone(),
                "v3/room_keys/version".into(),
                json!({ "algorithm": "x", "auth_data": {} }),
            ),
            (put, "v3/room_keys/keys?version=1".into(), json!({ "rooms": {} })),
            (post.clone(), "v3/account/password".into(), json!({ "new_password": "x" })),
            (post.clone(), "v3/login".into(), json!({ "type": "org.example.unknown" })),
            (post.clone(), "v3/refresh".into(), json!({ "refresh_token": "x" })),
            (post, "v3/register".into(), json!({ "username": "zoe" })),
        ]
    }

    /// Everything still works.
    async fn still_works(&self) {
        self.server.anonymous().get("versions").await.ok();
        self.alice.send_text(&self.room, "still here").await;
        self.alice.sync(None).await;
    }
}

/// The fields that an endpoint knows.
fn fields_of(path: &str) -> &'static [&'static str] {
    let known: [(&str, &[&str]); 22] = [
        (
            "createRoom",
            &[
                "creation_content",
                "initial_state",
                "invite",
                "invite_3pid",
                "is_direct",
                "name",
                "power_level_content_override",
                "preset",
                "room_alias_name",
                "room_version",
                "topic",
                "visibility",
            ],
        ),
        ("/send/", &["body", "msgtype", "m.relates_to", "m.mentions", "m.new_content", "redacts"]),
        ("/state/", &["membership", "users", "alias", "name"]),
        ("/redact/", &["reason", "redacts"]),
        ("/typing/", &["typing", "timeout"]),
        ("/receipt/", &["thread_id"]),
        ("/read_markers", &["m.fully_read", "m.read", "m.read.private"]),
        ("/upgrade", &["new_version", "additional_creators"]),
        ("directory/list", &["visibility"]),
        ("directory/room", &["room_id"]),
        (
            "publicRooms",
            &["limit", "since", "filter", "include_all_networks", "third_party_instance_id"],
        ),
        ("user_directory", &["search_term", "limit"]),
        ("/filter", &["event_fields", "event_format", "presence", "account_data", "room"]),
        ("/account_data/", &["global", "ignored_users"]),
        ("/tags/", &["order"]),
        ("presence/", &["presence", "status_msg"]),
        ("displayname", &["displayname"]),
        ("/pushrules/", &["actions", "conditions", "pattern"]),
        ("delete_devices", &["devices", "auth"]),
        ("account/password", &["new_password", "logout_devices", "auth"]),
        (
            "v3/login",
            &["type", "identifier", "password", "device_id", "refresh_token", "token", "user"],
        ),
        (
            "v3/register",
            &["username", "password", "auth", "device_id", "inhibit_login", "refresh_token"],
        ),
    ];
    let found = known.into_iter().find(|(part, _)| path.contains(part));
    found.map_or(
        &["user_id", "reason", "third_party_signed", "display_name", "refresh_token"],
        |f| f.1,
    )
}

/// An error, if it is one, is the client's fault and says so as it should.
#[track_caller]
fn assert_sane(answer: &Answer, case: &str) {
    assert!(answer.status < 500, "{case}: {answer}");
    if answer.status >= 400 {
        // A user-interactive authentication answers 401 with what to do.
        let uiaa = answer.status == 401 && answer.json["flows"].is_array();
        assert!(uiaa || answer.errcode().starts_with("M_"), "{case}: {answer}");
    }
}

async fn raw(user: &TestUser, method: &Method, path: &str, body: &[u8]) -> Answer {
    user.request(method.clone(), path, Some(body.to_vec())).await
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#standard-error-response)
#[tokio::test]
async fn what_is_not_json_is_refused_as_such() {
    let scene = Scene::new().await;
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let deep_object = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    let bodies: [(&str, &[u8]); 9] = [
        ("cut off", b"{\"a\": 1"),
        ("no JSON at all", b"hello=world"),
        ("a comma too many", b"{\"a\": 1,}"),
        ("more after the end", b"{}{}"),
        ("no Unicode", b"{\"a\": \"\xff\xfe\"}"),
        ("a raw NUL", b"{\"a\": \"\0\"}"),
        ("NaN", b"{\"a\": NaN}"),
        ("deep arrays", &deep),
        ("deep objects", deep_object.as_bytes()),
    ];
    for (method, path, _) in scene.endpoints() {
        for (name, body) in bodies {
            let answer = raw(&scene.alice, &method, &path, body).await;
            let case = format!("{name} to {method} {path}");
            assert_sane(&answer, &case);
            // A deep value of an unknown field is ignored with it.
            if !name.starts_with("deep") {
                let expected = (400, "M_NOT_JSON");
                assert_eq!((answer.status, answer.errcode()), expected, "{case}: {answer}");
            }
        }
    }
    scene.still_works().await;
}

#[tokio::test]
async fn json_that_is_no_object_is_bad_json() {
    let scene = Scene::new().await;
    for (method, path, _) in scene.endpoints() {
        for body in ["[]", "\"text\"", "1", "true", "[{}]"] {
            let answer = raw(&scene.alice, &method, &path, body.as_bytes()).await;
            let case = format!("{body} to {method} {path}");
            assert_eq!((answer.status, answer.errcode()), (400, "M_BAD_JSON"), "{case}: {answer}");
        }
    }
    scene.still_works().await;
}

/// Every field that an endpoint knows in turn has every wrong type.
#[tokio::test]
async fn fields_of_a_wrong_type_are_harmless() {
    let scene = Scene::new().await;
    let values = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("a".repeat(70_000)),
        json!([]),
        json!([[], {}, null]),
        json!({}),
        json!({ "": { "": null } }),
    ];
    for (method, path, body) in scene.endpoints() {
        for field in fields_of(&path) {
            for value in &values {
                let mut body = body.clone();
                body[field] = value.clone();
                let text = body.to_string();
                let answer = raw(&scene.alice, &method, &path, text.as_bytes()).await;
                let shown: String = text.chars().take(200).collect();
                assert_sane(&answer, &format!("{shown} to {method} {path}"));
            }
        }
    }
    scene.server.anonymous().get("versions").await.ok();
}

/// Unknown fields are for others, or for later.
#[tokio::test]
async fn unknown_fields_are_ignored() {
    // Each pair of requests in rooms of its own, so that the first does not change the second.
    let count = Scene::new().await.endpoints().len();
    for n in 0..count {
        let mut answers = Vec::new();
        for unknown in [false, true] {
            let scene = Scene::new().await;
            let (method, path, mut body) = scene.endpoints().swap_remove(n);
            if unknown {
                body["org.example.unknown"] = json!({ "deep": [1, { "er": null }] });
            }
            let answer = raw(&scene.alice, &method, &path, body.to_string().as_bytes()).await;
            assert_sane(&answer, &path);
            answers.push(answer);
        }
        let (without, with) = (&answers[0], &answers[1]);
        assert_eq!(without.status, with.status, "{without}\n{with}");
        assert_eq!(without.errcode(), with.errcode(), "{without}\n{with}");
    }
}

/// Events are canonical JSON: integers within 2^53, nothing else.
/// [Spec](https://spec.matrix.org/latest/appendices/#canonical-json)
#[tokio::test]
async fn events_have_no_floats_and_no_huge_integers() {
    let scene = Scene::new().await;
    let Scene { alice, room, .. } = &scene;
    let wrong = [
        "1.5",
        "1.0",
        "1e3",
        "-0.5",
        "-0",
        "9007199254740992",
        "-9007199254740992",
        "1e400",
        "123456789012345678901234567890",
        "18446744073709551616",
    ];
    for (n, number) in wrong.into_iter().enumerate() {
        for body in
            [format!("{{\"n\":{number}}}"), format!("{{\"a\":[{{\"b\":[null,{number}]}}]}}")]
        {
            for path in [
                path!("v3/rooms/{}/send/org.example.n/{}", room, format!("{n}{}", body.len())),
                path!("v3/rooms/{}/state/org.example.n/", room),
            ] {
                let answer = raw(alice, &Method::PUT, &path, body.as_bytes()).await;
                assert_sane(&answer, &body);
                assert_eq!(answer.status, 400, "{body}: {answer}");
                let errcodes = ["M_BAD_JSON", "M_NOT_JSON"];
                assert!(errcodes.contains(&answer.errcode()), "{body}: {answer}");
            }
        }
    }
    for right in ["9007199254740991", "-9007199254740991", "0"] {
        let body = format!("{{\"n\":{right}}}");
        let path = path!("v3/rooms/{}/send/org.example.n/{}", room, right);
        raw(alice, &Method::PUT, &path, body.as_bytes()).await.ok();
    }
    // Data that is not in an event may have them.
    let data = path!("v3/user/{}/account_data/org.example.n", alice.user_id);
    alice.put(&data, json!({ "n": 1.5 })).await.ok();
    assert_eq!(alice.get(&data).await.ok(), json!({ "n": 1.5 }));
    scene.still_works().await;
}

/// A NUL is a character like others in JSON strings; ids with one are malformed.
#[tokio::test]
async fn nul_is_harmless_everywhere() {
    let scene = Scene::new().await;
    let Scene { server, alice, room, event_id } = &scene;
    let content = json!({ "msgtype": "m.text", "body": "a\u{0}b", "\u{0}": "key" });
    let sent = alice.send(room, "m.room.message", content.clone()).await;
    assert_eq!(alice.event(room, &sent).await["content"], content);
    let paths = [
        path!("v3/rooms/{}/state/{}/{}", room, "a\0b", "c\0d"),
        path!("v3/rooms/{}/send/{}/{}", room, "a\0b", "t\0"),
        path!("v3/rooms/{}/send/{}/{}", "!a\0b:kith.test", "m.room.message", "t"),
        path!("v3/rooms/{}/redact/{}/{}", room, format!("{event_id}\0"), "t"),
        path!("v3/user/{}/account_data/{}", alice.user_id, "a\0b"),
        path!("v3/user/{}/account_data/{}", format!("{}\0", alice.user_id), "a"),
        path!("v3/directory/room/{}", "#a\0b:kith.test"),
        path!("v3/profile/{}/displayname", format!("{}\0", alice.user_id)),
        path!("v3/devices/{}", "\0"),
    ];
    for path in &paths {
        for method in [Method::PUT, Method::GET, Method::DELETE] {
            let body = Some(json!({ "room_id": room }).to_string().into_bytes());
            assert_sane(&alice.request(method, path, body).await, path);
        }
    }
    let body =
        json!({ "username": "a\u{0}b", "password": "x", "auth": { "type": "m.login.dummy" } });
    server.anonymous().post("v3/register", body).await.error(400, "M_INVALID_USERNAME");
    scene.still_works().await;
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let scene = Scene::new().await;
    let Scene { alice, room, .. } = &scene;
    let large = json!({ "msgtype": "m.text", "body": "a".repeat(66_000) });
    let send = path!("v3/rooms/{}/send/m.room.message/large", room);
    alice.put(&send, large.clone()).await.error(413, "M_TOO_LARGE");
    let state = path!("v3/rooms/{}/state/org.example.large/", room);
    alice.put(&state, large).await.error(413, "M_TOO_LARGE");
    // What is in the content alone fits, with the event around it does not.
    let edge = json!({ "body": "a".repeat(65_500) });
    let send = path!("v3/rooms/{}/send/m.room.message/edge", room);
    alice.put(&send, edge).await.error(413, "M_TOO_LARGE");
    // Two megabytes are more than any request may have.
    for (method, path, _) in scene.endpoints() {
        let body = json!({ "a": "b".repeat(2 << 20) }).to_string();
        let answer = raw(alice, &method, &path, body.as_bytes()).await;
        let case = format!("{method} {path}");
        assert_eq!((answer.status, answer.errcode()), (413, "M_TOO_LARGE"), "{case}: {answer}");
    }
    scene.still_works().await;
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#common-error-codes)
#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_unrecognized() {
    let scene = Scene::new().await;
    let Scene { alice, room, .. } = &scene;
    let unknown = [
        "/".to_owned(),
        "/_matrix".into(),
        "/_matrix/nonsense".into(),
        "/_matrix/client/v3/nonsense".into(),
        "/_matrix/client/v99/sync".into(),
        "/_matrix/client/v3/sync/".into(),
        path!("v3/rooms/{}/nonsense", room),
        path!("v3/rooms/{}/state/a/b/c", room),
        "/_matrix/client/v3//sync".into(),
        "/favicon.ico".into(),
    ];
    for path in &unknown {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let answer = alice.request(method, path, Some(b"{}".to_vec())).await;
            answer.error(404, "M_UNRECOGNIZED");
        }
    }
    let wrong = [
        (Method::POST, "v3/sync".to_owned()),
        (Method::DELETE, "v3/createRoom".into()),
        (Method::GET, "v3/createRoom".into()),
        (Method::POST, path!("v3/rooms/{}/send/m.room.message/t", room)),
        (Method::POST, path!("v3/rooms/{}/state/m.room.name", room)),
        (Method::PATCH, path!("v3/rooms/{}/state/m.room.name", room)),
        (Method::PUT, "v3/account/whoami".into()),
        (Method::DELETE, "versions".into()),
        (Method::from_bytes(b"BREW").expect("a valid method"), "v3/sync".into()),
    ];
    for (method, path) in wrong {
        let answer = alice.request(method, &path, Some(b"{}".to_vec())).await;
        answer.error(405, "M_UNRECOGNIZED");
    }
    scene.still_works().await;
}

#[tokio::test]
async fn ids_of_a_wrong_kind_are_refused() {
    let scene = Scene::new().await;
    let Scene { alice, room, event_id, .. } = &scene;
    let long = format!("!{}:kith.test", "a".repeat(300));
    let wrong = [
        "",
        ".",
        "..",
        "!",
        "@",
        "#",
        "$",
        ":",
        "!:",
        "!a:",
        "!a b:c",
        "😀",
        "a",
        "@alice:kith.test",
        "#a:kith.test",
        "!a:kith.test:99999999",
        &long,
        "%",
        "%25",
        "/",
        "../../etc/passwd",
    ];
    for id in wrong {
        for path in [
            path!("v3/rooms/{}/state", id),
            path!("v3/rooms/{}/messages?dir=b", id),
            path!("v3/rooms/{}/members", id),
            path!("v3/rooms/{}/aliases", id),
            path!("v3/rooms/{}/event/{}", id, event_id),
            path!("v3/rooms/{}/event/{}", room, id),
            path!("v3/rooms/{}/context/{}", room, id),
            path!("v3/profile/{}", id),
            path!("v3/presence/{}/status", id),
            path!("v3/directory/room/{}", id),
            path!("v3/directory/list/room/{}", id),
            path!("v3/user/{}/account_data/a", id),
            path!("v3/user/{}/filter/{}", alice.user_id, id),
            path!("v1/rooms/{}/timestamp_to_event?ts=1&dir=f", id),
        ] {
            let answer = alice.get(&path).await;
            assert_sane(&answer, &path);
            // Some are right for one of the kinds, and then not there or not open.
            let dots = ["", ".", ".."].contains(&id);
            assert!(
                dots || answer.status >= 400 || path.contains(&encode(&alice.user_id)),
                "{answer}"
            );
        }
    }
    scene.still_works().await;
}

/// Below HTTP libraries: what no client sends.
#[tokio::test]
async fn broken_requests_end_one_connection_and_nothing_else() {
    let scene = Scene::new().await;
    let Scene { server, alice, room, .. } = &scene;
    let token = alice.access_token.clone().expect("alice is signed in");
    let room = encode(room);
    let with_token = format!("Host: x\r\nAuthorization: Bearer {token}\r\n");
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("bad percent", format!("GET /_matrix/client/v3/rooms/%ZZ/state HTTP/1.1\r\n{with_token}\r\n").into()),
        ("cut percent", format!("GET /_matrix/client/v3/rooms/{room}/event/%2 HTTP/1.1\r\n{with_token}\r\n").into()),
        ("no UTF-8", format!("GET /_matrix/client/v3/rooms/%ff%fe/state HTTP/1.1\r\n{with_token}\r\n").into()),
        ("no UTF-8 in a query", format!("GET /_matrix/client/v3/sync?since=%ff HTTP/1.1\r\n{with_token}\r\n").into()),
        ("no UTF-8 in a header", [b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n".as_slice()].concat()),
        ("no UTF-8 in the host", [b"GET /_matrix/client/versions HTTP/1.1\r\nHost: \xff\r\n\r\n".as_slice()].concat()),
        ("no host", b"GET /_matrix/client/versions HTTP/1.1\r\n\r\n".to_vec()),
        ("a long header", format!("GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20)).into()),
        ("many headers", format!("GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-More: a\r\n".repeat(5000)).into()),
        ("a long path", format!("GET /_matrix/client/v3/rooms/{}/state HTTP/1.1\r\n{with_token}\r\n", "a".repeat(200_000)).into()),
        ("a long token", format!("GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", "a".repeat(60_000)).into()),
        ("another scheme", b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YTpi\r\n\r\n".to_vec()),
        ("no HTTP", b"hello\r\n\r\n".to_vec()),
        ("no HTTP version", b"GET /_matrix/client/versions\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("two lengths", format!("POST /_matrix/client/v3/createRoom HTTP/1.1\r\n{with_token}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}").into()),
        ("a negative length", format!("POST /_matrix/client/v3/createRoom HTTP/1.1\r\n{with_token}Content-Length: -1\r\n\r\n{{}}").into()),
        ("a bad chunk", format!("POST /_matrix/client/v3/createRoom HTTP/1.1\r\n{with_token}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{{}}\r\n0\r\n\r\n").into()),
        ("a body that ends early", format!("POST /_matrix/client/v3/createRoom HTTP/1.1\r\n{with_token}Content-Length: 100\r\n\r\n{{}}").into()),
    ];
    for (case, request) in requests {
        let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
        // The server may hang up before it has read all of it.
        let _ = stream.write_all(&request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(!status.starts_with('5'), "{case}: {answer}");
        if case.contains("percent") || case.contains("no UTF-8 in a query") {
            assert!(status.starts_with('4'), "{case}: {answer}");
        }
        server.anonymous().get("versions").await.ok();
    }
    scene.still_works().await;
}
