//! Spaces and the rooms in them.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#spaces)

use kith_spec_tests::{TestServer, TestUser, encode, path};
use serde_json::{Value, json};

/// A space that anybody may join.
async fn space(user: &TestUser, name: &str) -> String {
    let space = json!({
        "preset": "public_chat",
        "name": name,
        "creation_content": { "type": "m.space" },
    });
    user.create_room_from(space).await
}

async fn room(user: &TestUser, name: &str) -> String {
    user.create_room_from(json!({ "preset": "public_chat", "name": name })).await
}

async fn add(user: &TestUser, space: &str, child: &str, mut content: Value) {
    content["via"] = json!(["kith.test"]);
    user.set_state(space, "m.space.child", child, content).await;
}

async fn hierarchy(user: &TestUser, space: &str, query: &str) -> Value {
    user.get(&format!("v1/rooms/{}/hierarchy?{query}", encode(space))).await.ok()
}

fn room_ids(hierarchy: &Value) -> Vec<&str> {
    let rooms = hierarchy["rooms"].as_array().unwrap();
    rooms.iter().map(|room| room["room_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_space_is_walked_depth_first_in_the_order_of_its_children() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let top = space(&alice, "top").await;
    let inner = space(&alice, "inner").await;
    let (by_time, later) = (room(&alice, "by time").await, room(&alice, "later").await);
    let (last_by_order, leaf) = (room(&alice, "z").await, room(&alice, "leaf").await);
    add(&alice, &top, &by_time, json!({ "order": 7 })).await;
    add(&alice, &top, &later, json!({ "order": "é" })).await;
    add(&alice, &top, &last_by_order, json!({ "order": "z" })).await;
    add(&alice, &top, &inner, json!({ "order": " " })).await;
    add(&alice, &inner, &leaf, json!({})).await;
    // Round and round, and two ways to one room.
    add(&alice, &inner, &top, json!({ "order": "a" })).await;
    add(&alice, &inner, &later, json!({})).await;
    // No children: not a room ID, no servers, taken out, unknown.
    alice.set_state(&top, "m.space.child", "nonsense", json!({ "via": ["kith.test"] })).await;
    alice.set_state(&top, "m.space.child", &leaf, json!({ "via": [] })).await;
    add(&alice, &top, "!unknown:kith.test", json!({})).await;

    let all = hierarchy(&bob, &top, "").await;
    let leaf_then_later = [&*top, &*inner, &*leaf, &*later, &*last_by_order, &*by_time];
    assert_eq!(room_ids(&all), leaf_then_later, "{all:#}");
    assert!(all.get("next_batch").is_none());
    let first = &all["rooms"][0];
    assert_eq!((&first["name"], &first["room_type"]), (&json!("top"), &json!("m.space")));
    // Without a join rule it is a public one.
    assert_eq!((first.get("join_rule"), &first["num_joined_members"]), (None, &json!(1)));
    assert_eq!(
        (&first["world_readable"], &first["guest_can_join"]),
        (&json!(false), &json!(false))
    );
    assert!(first["room_version"].is_string());
    let children = first["children_state"].as_array().unwrap();
    let keys: Vec<_> = children.iter().map(|child| child["state_key"].as_str().unwrap()).collect();
    assert_eq!(keys, [&*inner, &last_by_order, &by_time, &later, "!unknown:kith.test"]);
    let child = children[0].as_object().unwrap();
    let mut fields: Vec<_> = child.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["content", "origin_server_ts", "sender", "state_key", "type"]);
    assert_eq!(all["rooms"][2]["children_state"], json!([]));
    // Any room can be asked for.
    assert_eq!(room_ids(&hierarchy(&bob, &leaf, "").await), [&leaf]);
}

#[tokio::test]
async fn a_walk_is_limited_by_depth_and_to_what_is_suggested() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (top, inner) = (space(&alice, "top").await, space(&alice, "inner").await);
    let (leaf, other) = (room(&alice, "leaf").await, room(&alice, "other").await);
    add(&alice, &top, &inner, json!({ "suggested": true, "order": "1" })).await;
    add(&alice, &top, &other, json!({ "order": "2" })).await;
    add(&alice, &inner, &leaf, json!({ "suggested": true })).await;
    assert_eq!(room_ids(&hierarchy(&alice, &top, "max_depth=0").await), [&top]);
    assert_eq!(room_ids(&hierarchy(&alice, &top, "max_depth=1").await), [&top, &inner, &other]);
    let suggested = hierarchy(&alice, &top, "suggested_only=true").await;
    assert_eq!(room_ids(&suggested), [&top, &inner, &leaf]);
    assert_eq!(suggested["rooms"][0]["children_state"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_walk_goes_on_where_it_stopped() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let top = space(&alice, "top").await;
    let mut expected = vec![top.clone()];
    for n in 0..6 {
        let child = room(&alice, &n.to_string()).await;
        add(&alice, &top, &child, json!({ "order": n.to_string() })).await;
        expected.push(child);
    }
    let (mut seen, mut from, mut tokens) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = hierarchy(&alice, &top, &format!("limit=3&max_depth=2{from}")).await;
        seen.extend(room_ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={}", encode(next));
        tokens.push(from.clone());
    }
    assert_eq!(seen, expected);
    // A page can be asked for again, but not by somebody else or otherwise.
    let again = hierarchy(&alice, &top, &format!("limit=3&max_depth=2{}", tokens[0])).await;
    assert_eq!(room_ids(&again), expected[3..6]);
    let path = path!("v1/rooms/{}/hierarchy", top);
    for wrong in [
        format!("?max_depth=3{}", tokens[0]),
        format!("?max_depth=2&suggested_only=true{}", tokens[0]),
        "?from=nonsense".to_owned(),
        "?limit=0".to_owned(),
        "?max_depth=-1".to_owned(),
    ] {
        alice.get(&format!("{path}{wrong}")).await.error(400, "M_INVALID_PARAM");
    }
    let stolen = format!("{path}?max_depth=2{}", tokens[0]);
    bob.get(&stolen).await.error(400, "M_INVALID_PARAM");
    server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
}

/// What is found is what somebody could join, or is in, or may read.
#[tokio::test]
async fn rooms_of_a_space_are_shown_to_those_who_may_know_of_them() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let top = space(&alice, "top").await;
    bob.join(&top).await;
    let mut rooms = Vec::new();
    let members = json!({ "type": "m.room_membership", "room_id": top });
    for (n, rules) in [
        json!({ "join_rule": "invite" }),
        json!({ "join_rule": "knock" }),
        json!({ "join_rule": "restricted", "allow": [members] }),
        json!({ "join_rule": "knock_restricted", "allow": [members] }),
    ]
    .into_iter()
    .enumerate()
    {
        let state = json!([{ "type": "m.room.join_rules", "content": rules }]);
        let room = json!({ "preset": "private_chat", "initial_state": state });
        let room = alice.create_room_from(room).await;
        add(&alice, &top, &room, json!({ "order": n.to_string() })).await;
        rooms.push(room);
    }
    let readable = json!({ "history_visibility": "world_readable" });
    let state = json!([{ "type": "m.room.history_visibility", "content": readable }]);
    let open = alice.create_room_from(json!({ "initial_state": state })).await;
    add(&alice, &top, &open, json!({ "order": "9" })).await;
    let [private, knock, restricted, knock_restricted] = &rooms[..] else { panic!("four") };

    let of_bob = hierarchy(&bob, &top, "").await;
    assert_eq!(room_ids(&of_bob), [&top, knock, restricted, knock_restricted, &open]);
    assert_eq!(of_bob["rooms"][2]["join_rule"], "restricted");
    assert_eq!(of_bob["rooms"][2]["allowed_room_ids"], json!([top]));
    // Carol is not in the space.
    let of_carol = hierarchy(&carol, &top, "").await;
    assert_eq!(room_ids(&of_carol), [&top, knock, knock_restricted, &open]);
    alice.invite(private, &carol).await;
    let of_carol = hierarchy(&carol, &top, "").await;
    assert_eq!(room_ids(&of_carol), [&top, private, knock, knock_restricted, &open]);
    alice.ban(restricted, &bob).await;
    assert_eq!(room_ids(&hierarchy(&bob, &top, "").await), [&top, knock, knock_restricted, &open]);
    // Somebody who was put out.
    alice.ban(&top, &bob).await;
    let path = path!("v1/rooms/{}/hierarchy", top);
    let banned = bob.get(&path).await;
    let hidden = carol.get(&path!("v1/rooms/{}/hierarchy", restricted)).await;
    let unknown = carol.get(&path!("v1/rooms/{}/hierarchy", "!no:kith.test")).await;
    assert_eq!((&banned.text, &hidden.text), (&unknown.text, &unknown.text));
    banned.error(403, "M_FORBIDDEN");
}

/// [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1room_summaryroomidoralias)
#[tokio::test]
async fn a_summary_is_what_is_on_a_rooms_sign() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice
        .create_room_from(json!({
            "preset": "public_chat",
            "name": "Cheese",
            "topic": "All about it",
            "room_alias_name": "cheese",
            "room_version": "11",
            "initial_state": [
                { "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } },
                { "type": "m.room.avatar", "content": { "url": "mxc://kith.test/cheese" } },
            ],
        }))
        .await;
    let alias = format!("#cheese:{}", server.name());
    let mut expected = json!({
        "room_id": room,
        "name": "Cheese",
        "topic": "All about it",
        "canonical_alias": alias,
        "avatar_url": "mxc://kith.test/cheese",
        "num_joined_members": 1,
        "world_readable": false,
        "guest_can_join": false,
        "encryption": "m.megolm.v1.aes-sha2",
        "room_version": "11",
    });
    let summary = path!("v1/room_summary/{}", alias);
    assert_eq!(server.anonymous().get(&summary).await.ok(), expected);
    expected["membership"] = "leave".into();
    for path in [
        summary.clone(),
        path!("v1/room_summary/{}?via=kith.test", room),
        path!("unstable/im.nheko.summary/rooms/{}/summary", room),
    ] {
        assert_eq!(bob.get(&path).await.ok(), expected, "{path}");
    }
    alice.ban(&room, &bob).await;
    assert_eq!(bob.get(&summary).await.ok()["membership"], "ban");
    alice.unban(&room, &bob).await;
    bob.join(&room).await;
    let joined = bob.get(&summary).await.ok();
    assert_eq!((&joined["membership"], &joined["num_joined_members"]), (&json!("join"), &json!(2)));
    bob.with_token("wrong").get(&summary).await.error(401, "M_UNKNOWN_TOKEN");
}
