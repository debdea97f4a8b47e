//! What our users are told of users, rooms and files of other servers.

use kith_spec_tests::{RemoteReply, RemoteServer, TestServer, TestUser, encode, path};
use reqwest::Method;
use serde_json::{Value, json};

async fn scene() -> (TestServer, TestUser, RemoteServer) {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    (server, alice, RemoteServer::start().await)
}

fn count(remote: &RemoteServer, pattern: &str) -> usize {
    remote.asked().iter().filter(|asked| asked.is("GET", pattern)).count()
}

#[tokio::test]
async fn the_profile_of_a_remote_user_is_asked_for_once_in_a_while() {
    let (_server, alice, remote) = scene().await;
    let profile = json!({
        "displayname": "Bob", "avatar_url": null, "m.tz": "Europe/Prague", "x.y": { "z": 1 },
    });
    remote.answer("GET", "v1/query/profile", move |asked| {
        assert!(asked.origin.is_some());
        profile.clone()
    });
    let bob = remote.user("bob");
    let told = alice.get(&path!("v3/profile/{}", bob)).await.ok();
    assert_eq!(told, json!({ "displayname": "Bob", "m.tz": "Europe/Prague", "x.y": { "z": 1 } }));
    let name = alice.get(&path!("v3/profile/{}/displayname", bob)).await.ok();
    assert_eq!(name, json!({ "displayname": "Bob" }));
    alice.get(&path!("v3/profile/{}/avatar_url", bob)).await.error(404, "M_NOT_FOUND");
    assert_eq!(count(&remote, "v1/query/profile"), 1);
}

#[tokio::test]
async fn refusals_of_a_profile_are_told() {
    let (_server, alice, remote) = scene().await;
    remote.answer("GET", "v1/query/profile", |asked| {
        let user = asked.parameter("user_id").unwrap_or_default();
        let name = user.split(':').next().unwrap_or_default();
        match name {
            "@nobody" => RemoteReply::error(404, "M_NOT_FOUND"),
            "@hidden" => RemoteReply::error(403, "M_FORBIDDEN"),
            "@wrong" => RemoteReply::bytes("application/json", "[]"),
            "@large" => json!({ "x.y": "x".repeat(70_000) }).into(),
            "@odd" => json!({ "displayname": 7, "avatar_url": ["a"] }).into(),
            _ => RemoteReply::error(500, "M_UNKNOWN"),
        }
    });
    let ask = async |name: &str| alice.get(&path!("v3/profile/{}", remote.user(name))).await;
    ask("nobody").await.error(404, "M_NOT_FOUND");
    ask("hidden").await.error(403, "M_FORBIDDEN");
    ask("wrong").await.error(502, "M_UNKNOWN");
    ask("large").await.error(502, "M_UNKNOWN");
    ask("failing").await.error(502, "M_UNKNOWN");
    assert_eq!(ask("odd").await.ok(), json!({}));
    remote.stop().await;
    ask("gone").await.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn an_alias_is_looked_up_where_it_is_kept() {
    let (_server, alice, remote) = scene().await;
    let name = remote.name().to_string();
    let servers = json!([name, "other.example"]);
    remote.answer_some("GET", "v1/query/directory", move |asked| {
        let lounge = asked.parameter("room_alias").is_some_and(|a| a.starts_with("#lounge:"));
        lounge.then(|| json!({ "room_id": "!a:other.example", "servers": servers }))
    });
    let find = async |alias: &str| {
        let alias = format!("#{alias}:{name}");
        alice.get(&path!("v3/directory/room/{}", alias)).await
    };
    let found = find("lounge").await.ok();
    assert_eq!(found["room_id"], "!a:other.example");
    let servers = found["servers"].as_array().expect("a list");
    assert!(servers.contains(&json!(name)) && servers.contains(&json!("other.example")));
    find("nothing").await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_directory_of_another_server_is_passed_on() {
    let (_server, alice, remote) = scene().await;
    let room = json!({
        "room_id": "!a:b.example", "name": "Garden", "num_joined_members": 3,
        "world_readable": false, "guest_can_join": false, "join_rule": "public",
    });
    let page = json!({ "chunk": [room], "next_batch": "n", "total_room_count_estimate": 9 });
    let same = page.clone();
    remote.answer("GET", "v1/publicRooms", move |_| page.clone());
    remote.answer("POST", "v1/publicRooms", move |_| same.clone());
    let path = path!("v3/publicRooms?server={}&limit=7&since=s", remote.name());
    let told = alice.get(&path).await.ok();
    assert_eq!(told["chunk"][0]["name"], "Garden");
    assert_eq!(told["next_batch"], "n");
    assert_eq!(told["total_room_count_estimate"], 9);
    let asked = remote.wait_for(|asked| asked.is("GET", "v1/publicRooms")).await;
    assert_eq!((asked.parameter("limit"), asked.parameter("since")), (Some("7"), Some("s")));

    let body = json!({ "filter": { "generic_search_term": "gar" }, "limit": 100_000 });
    let path = path!("v3/publicRooms?server={}", remote.name());
    assert_eq!(alice.post(&path, body).await.ok()["chunk"][0]["room_id"], "!a:b.example");
    let asked = remote.wait_for(|asked| asked.is("POST", "v1/publicRooms")).await;
    assert_eq!(asked.body["filter"], json!({ "generic_search_term": "gar" }));
    assert_eq!(asked.body["limit"], 500);

    remote.answer("GET", "v1/publicRooms", |_| RemoteReply::error(403, "M_FORBIDDEN"));
    alice.get(&path).await.error(403, "M_FORBIDDEN");
}

fn multipart(headers: &str, content: &[u8]) -> RemoteReply {
    let mut body = b"--xyz\r\nContent-Type: application/json\r\n\r\n{}\r\n--xyz\r\n".to_vec();
    body.extend_from_slice(headers.as_bytes());
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    RemoteReply::bytes("multipart/mixed; boundary=xyz", body)
}

#[tokio::test]
async fn a_remote_file_is_fetched_once_and_kept() {
    let (_server, alice, remote) = scene().await;
    remote.answer("GET", "v1/media/download/{}", |asked| {
        assert_eq!(asked.arguments, ["abc"]);
        let headers = "content-type: text/plain\r\ncontent-disposition: inline; filename=a.txt\r\n";
        multipart(headers, b"from afar")
    });
    for _ in 0..2 {
        let path = path!("v1/media/download/{}/abc", remote.name());
        let answer = alice.get(&path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "from afar"), "{answer}");
        assert_eq!(answer.headers["content-type"], "text/plain");
        assert_eq!(answer.headers["content-disposition"], "inline; filename=a.txt");
        assert!(answer.headers.contains_key("content-security-policy"));
    }
    assert_eq!(count(&remote, "v1/media/download/{}"), 1);
    // Also when its server is gone.
    remote.stop().await;
    alice.get(&path!("v1/media/download/{}/abc/b.txt", remote.name())).await.ok();
}

/// Other servers make thumbnails of other sizes, or none: the file itself is fetched, once.
#[tokio::test]
async fn a_remote_thumbnail_is_made_here() {
    let (_server, alice, remote) = scene().await;
    let mut picture = std::io::Cursor::new(Vec::new());
    let image =
        image::GrayImage::from_fn(300, 200, |x, y| image::Luma([((x * 7) ^ (y * 13)) as u8]));
    image.write_to(&mut picture, image::ImageFormat::Png).expect("a picture");
    let picture = picture.into_inner();
    remote.answer("GET", "v1/media/download/{}", move |_| {
        multipart("content-type: image/png\r\n", &picture)
    });
    let thumbnail = async |query: &str| {
        let path = path!("v1/media/thumbnail/{}/abc", remote.name());
        alice.get(&format!("{path}?{query}")).await
    };
    for (query, size) in
        [("width=32&height=32&method=crop", (32, 32)), ("width=96&height=96&method=crop", (96, 96))]
    {
        let answer = thumbnail(query).await;
        assert_eq!(answer.status, 200, "{answer}");
        let image = image::load_from_memory(&answer.bytes).expect("a picture");
        assert_eq!((image.width(), image.height()), size);
    }
    assert_eq!(count(&remote, "v1/media/download/{}"), 1);
    assert_eq!(count(&remote, "v1/media/thumbnail/{}"), 0);
    thumbnail("width=0&height=48").await.error(400, "M_INVALID_PARAM");
    thumbnail("width=32&height=24&method=melt").await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn files_that_cannot_be_had_are_refused_clearly() {
    let server = TestServer::federating_with(|config| config.limits.upload = 1_000).await;
    let alice = server.register("alice").await;
    let remote = RemoteServer::start().await;
    remote.answer("GET", "v1/media/download/{}", |asked| match asked.arguments[0].as_str() {
        "large" => multipart("", &[b'x'; 1_001]),
        "huge" => multipart("", &[b'x'; 200_000]),
        "malformed" => {
            RemoteReply::bytes("multipart/mixed; boundary=xyz", "--xyz\r\n--xyz\r\n--xyz")
        }
        "plain" => RemoteReply::bytes("text/plain", "hello"),
        "failing" => RemoteReply::error(500, "M_UNKNOWN"),
        _ => RemoteReply::error(404, "M_NOT_FOUND"),
    });
    let get = async |id: &str| {
        alice.get(&format!("v1/media/download/{}/{id}", encode(remote.name()))).await
    };
    get("nothing").await.error(404, "M_NOT_FOUND");
    for id in ["large", "huge"] {
        get(id).await.error(502, "M_TOO_LARGE");
    }
    for id in ["malformed", "plain", "failing"] {
        get(id).await.error(502, "M_UNKNOWN");
    }
    for id in ["..%2F..%2Fetc", "a%00b", "%C3%A9"] {
        get(id).await.error(404, "M_NOT_FOUND");
    }
    assert!(remote.asked().iter().all(|asked| !asked.path.contains('%')), "nobody asks for those");
}

#[tokio::test]
async fn copies_that_were_used_longest_ago_make_room() {
    let server = TestServer::federating_with(|config| config.limits.remote_media = 100).await;
    let alice = server.register("alice").await;
    let remote = RemoteServer::start().await;
    remote.answer("GET", "v1/media/download/{}", |_| multipart("", &[b'x'; 40]));
    let get = async |id: &str| {
        let path = format!("v1/media/download/{}/{id}", encode(remote.name()));
        assert_eq!(alice.get(&path).await.text.len(), 40);
        count(&remote, "v1/media/download/{}")
    };
    assert_eq!(get("a").await, 1);
    assert_eq!(get("b").await, 2);
    assert_eq!(get("a").await, 2);
    assert_eq!(get("c").await, 3, "b makes room");
    assert_eq!(get("a").await, 3);
    assert_eq!(get("b").await, 4);
}

#[tokio::test]
async fn two_servers_exchange_files() {
    let (one, two) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (one.register("alice").await, two.register("bob").await);
    let path = "/_matrix/media/v3/upload?filename=caf%C3%A9.png";
    let file: Vec<u8> = (0..100_000_u32).flat_map(|n| n.to_be_bytes()).collect();
    let headers = [("content-type", "image/png")];
    let sent = alice.request_with(Method::POST, path, Some(file), &headers).await;
    let id = sent.text_at("content_uri").rsplit('/').next().expect("an ID").to_owned();
    let own = alice.get(&path!("v1/media/download/{}/{}", one.name(), id)).await;
    let remote = bob.get(&path!("v1/media/download/{}/{}", one.name(), id)).await;
    assert_eq!(remote.status, 200, "{}", remote.request);
    assert!(own.text == remote.text, "the file is the same");
    for header in ["content-type", "content-disposition", "content-length"] {
        assert_eq!(own.headers[header], remote.headers[header]);
    }
    let path = path!("v1/media/thumbnail/{}/{}?width=32&height=32", one.name(), id);
    // Whatever its type says, it is no picture.
    bob.get(&path).await.error(400, "M_UNKNOWN");
    let none = path!("v1/media/download/{}/none", one.name());
    bob.get(&none).await.error(404, "M_NOT_FOUND");
}

/// A space of the peer with these children, each a room's summary.
fn tell_of_space(remote: &RemoteServer, children: Vec<Value>) -> String {
    let space = format!("!space:{}", remote.name());
    let name = remote.name().to_string();
    let event = move |room: &Value| {
        json!({
            "type": "m.space.child", "state_key": room["room_id"], "sender": "@a:b.example",
            "content": { "via": [name], "suggested": room["name"] == "Garden" },
            "origin_server_ts": 1,
        })
    };
    let events: Vec<Value> = children.iter().map(event).collect();
    let mut room = summary(&space, "Space", "public");
    room["room_type"] = json!("m.space");
    room["children_state"] = json!(events);
    let asked_for = space.clone();
    remote.answer_some("GET", "v1/hierarchy/{}", move |asked| {
        (asked.arguments[0] == asked_for)
            .then(|| json!({ "room": room, "children": children, "inaccessible_children": [] }))
    });
    space
}

fn summary(room_id: &str, name: &str, join_rule: &str) -> Value {
    json!({
        "room_id": room_id, "name": name, "join_rule": join_rule, "num_joined_members": 2,
        "world_readable": false, "guest_can_join": false,
    })
}

#[tokio::test]
async fn a_space_of_another_server_is_walked_through() {
    let (server, alice, remote) = scene().await;
    let at = |name: &str| format!("!{name}:{}", remote.name());
    let ours = alice.create_public_room().await;
    let mut restricted = summary(&at("kitchen"), "Kitchen", "restricted");
    restricted["allowed_room_ids"] = json!([ours]);
    let children = vec![
        summary(&at("garden"), "Garden", "public"),
        restricted,
        summary(&at("cellar"), "Cellar", "invite"),
    ];
    let space = tell_of_space(&remote, children);
    let names = async |user: &TestUser, space: &str, query: &str| {
        let path = path!("v1/rooms/{}/hierarchy", space);
        let told = user.get(&format!("{path}{query}")).await.ok();
        let rooms = told["rooms"].as_array().cloned().expect("a list");
        let names = rooms.iter().map(|room| room["name"].as_str().unwrap_or("-").to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&alice, &space, "").await, ["Space", "Garden", "Kitchen"]);
    assert_eq!(names(&alice, &space, "?suggested_only=true").await, ["Space", "Garden"]);
    assert_eq!(count(&remote, "v1/hierarchy/{}"), 1, "the space tells of its rooms too");
    let stranger = server.register("stranger").await;
    assert_eq!(names(&stranger, &space, "").await, ["Space", "Garden"]);

    // The same below a space of ours.
    let body = json!({
        "preset": "public_chat", "name": "Ours", "creation_content": { "type": "m.space" },
    });
    let own = alice.create_room_from(body).await;
    alice.set_state(&own, "m.space.child", &space, json!({ "via": [remote.name()] })).await;
    assert_eq!(names(&alice, &own, "").await, ["Ours", "Space", "Garden", "Kitchen"]);
    let nowhere = path!("v1/rooms/{}/hierarchy", at("nothing"));
    alice.get(&nowhere).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_room_of_another_server_is_summed_up() {
    let (server, alice, remote) = scene().await;
    let room = |name: &str, rule: &str| {
        let mut room = summary(&format!("!{name}:{}", remote.name()), name, rule);
        room["children_state"] = json!([]);
        room
    };
    for (name, rule) in [("garden", "public"), ("cellar", "invite")] {
        let room = room(name, rule);
        remote.answer_some("GET", "v1/hierarchy/{}", move |asked| {
            let same = room["room_id"] == asked.arguments[0];
            same.then(|| json!({ "room": room, "children": [], "inaccessible_children": [] }))
        });
    }
    let id = |name: &str| format!("!{name}:{}", remote.name());
    let sum_up = async |user: &TestUser, name: &str| {
        user.get(&path!("v1/room_summary/{}?via={}", id(name), remote.name())).await
    };
    let told = sum_up(&alice, "garden").await.ok();
    assert_eq!(told["name"], "garden");
    assert_eq!(told["membership"], "leave");
    let anonymous = sum_up(&server.anonymous(), "garden").await.ok();
    assert!(anonymous.get("membership").is_none());
    let hidden = sum_up(&alice, "cellar").await;
    let nothing = sum_up(&alice, "nothing").await;
    assert_eq!(hidden.text, nothing.text);
    hidden.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn an_event_from_before_we_came_is_found_by_its_time() {
    let (one, two) = (TestServer::federating().await, TestServer::federating().await);
    let (alice, bob) = (one.register("alice").await, two.register("bob").await);
    let room = alice.create_public_room().await;
    let first = alice.send_text(&room, "first").await;
    let ts = alice.event(&room, &first).await["origin_server_ts"].as_u64().expect("a time");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let mut last = String::new();
    for n in 0..130 {
        last = alice.send_text(&room, &format!("{n}")).await;
    }
    let path = path!("v3/join/{}?server_name={}", room, one.name());
    bob.post(&path, json!({})).await.ok();
    let near = async |ts: u64, dir: &str| {
        bob.get(&path!("v1/rooms/{}/timestamp_to_event?ts={}&dir={}", room, ts, dir)).await
    };
    assert_eq!(near(ts, "b").await.ok()["event_id"], first.as_str());
    assert_eq!(near(ts, "f").await.ok()["event_id"], first.as_str());
    assert_eq!(bob.event(&room, &first).await["content"]["body"], "first");
    assert_eq!(bob.event(&room, &last).await["content"]["body"], "129");
    near(1, "b").await.error(404, "M_NOT_FOUND");
}
