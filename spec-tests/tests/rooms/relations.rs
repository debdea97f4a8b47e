//! `/relations`: what relates to an event.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#relationships-api)

use kith_spec_tests::{TestServer, encode, event_ids, path};
use serde_json::json;

use super::relating::{edit, ignore, react, reply, send_relating};

#[tokio::test]
async fn children_are_found_by_type_of_relation_and_type_of_event() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let parent = alice.send_text(&room, "parent").await;
    let other = alice.send_text(&room, "somebody else's parent").await;
    let edited = edit(&alice, &room, &parent, "better").await;
    let reaction = react(&bob, &room, &parent, "👍").await;
    let reply = reply(&bob, &room, &parent, "in the thread").await;
    let odd = send_relating(&bob, &room, "org.example.odd", &parent, "odd").await;
    react(&bob, &room, &other, "👍").await;

    let relations = path!("v1/rooms/{}/relations/{}", room, parent);
    let all = alice.get(&relations).await.ok();
    let newest_first = [&odd, &reply, &reaction, &edited].map(|id| id.as_str());
    assert_eq!(event_ids(&all["chunk"]), newest_first);
    assert!(all.get("next_batch").is_none() && all.get("prev_batch").is_none(), "{all:#}");
    assert!(all.get("recursion_depth").is_none(), "nobody asked: {all:#}");
    assert_eq!(all["chunk"][2]["room_id"], room.as_str());

    let thread = alice.get(&format!("{relations}/m.thread")).await.ok();
    assert_eq!(event_ids(&thread["chunk"]), [reply]);
    let odd_ones = alice.get(&format!("{relations}/org.example.odd")).await.ok();
    assert_eq!(event_ids(&odd_ones["chunk"]), [odd]);
    let reactions = alice.get(&format!("{relations}/m.annotation/m.reaction")).await.ok();
    assert_eq!(event_ids(&reactions["chunk"]), [reaction]);
    let none = alice.get(&format!("{relations}/m.annotation/m.room.message")).await.ok();
    assert_eq!(none["chunk"], json!([]));
    let childless = alice
        .get(&path!(
            "v1/rooms/{}/relations/{}",
            room,
            odd_ones["chunk"][0]["event_id"].as_str().unwrap()
        ))
        .await
        .ok();
    assert_eq!(childless["chunk"], json!([]));
}

#[tokio::test]
async fn relations_are_read_page_by_page_in_both_directions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let parent = alice.send_text(&room, "parent").await;
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(reply(&alice, &room, &parent, &n.to_string()).await);
        alice.send_text(&room, "something else").await;
    }
    let relations = path!("v1/rooms/{}/relations/{}", room, parent);
    let newest: Vec<String> = sent.iter().rev().cloned().collect();
    for (dir, order) in [("b", &newest), ("f", &sent)] {
        let (mut seen, mut from) = (Vec::new(), String::new());
        loop {
            let page = alice.get(&format!("{relations}?limit=2&dir={dir}{from}")).await.ok();
            assert!(event_ids(&page["chunk"]).len() <= 2, "{page:#}");
            seen.extend(event_ids(&page["chunk"]));
            let Some(next) = page["next_batch"].as_str() else { break };
            from = format!("&from={}", encode(next));
        }
        assert_eq!(seen, *order, "{dir}");
    }
}

/// Tokens of `/sync` and of `/messages` work here too, and the other way round.
#[tokio::test]
async fn relations_go_on_from_a_token_of_sync() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let parent = alice.send_text(&room, "parent").await;
    let before = reply(&alice, &room, &parent, "before").await;
    let next_batch = encode(alice.sync(None).await.next_batch);
    let after = reply(&alice, &room, &parent, "after").await;
    alice.send_text(&room, "last").await;
    let filter = json!({ "room": { "timeline": { "limit": 1 } } });
    let sync = alice.syncing(None).filter(&filter).get().await;
    let prev_batch = encode(sync.joined(&room)["timeline"]["prev_batch"].as_str().unwrap());

    let relations = path!("v1/rooms/{}/relations/{}", room, parent);
    let found = async |query: String| {
        event_ids(&alice.get(&format!("{relations}?{query}")).await.ok()["chunk"])
    };
    assert_eq!(found(format!("from={next_batch}")).await, [before.clone()]);
    assert_eq!(found(format!("from={prev_batch}")).await, [after.clone(), before.clone()]);
    assert_eq!(found(format!("from={prev_batch}&to={next_batch}")).await, [after.clone()]);
    assert_eq!(found(format!("dir=f&from={next_batch}")).await, [after]);
    assert_eq!(found(format!("dir=f&to={next_batch}")).await, [before]);
    // And of sliding sync, whose `pos` is such a place too.
    let pos = alice.post("unstable/org.matrix.simplified_msc3575/sync", json!({})).await.ok();
    let pos = encode(pos["pos"].as_str().unwrap());
    let later = reply(&alice, &room, &parent, "after the sliding sync").await;
    assert_eq!(found(format!("dir=f&from={pos}")).await, [later]);
    for wrong in ["from=nonsense", "to=nonsense", "limit=0", "dir=x", "limit=x"] {
        alice.get(&format!("{relations}?{wrong}")).await.error(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn relations_of_relations_are_followed_for_three_steps() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let reply = reply(&alice, &room, &root, "reply").await;
    let edited = edit(&alice, &room, &reply, "edited reply").await;
    let third = send_relating(&alice, &room, "m.reference", &edited, "third").await;
    let fourth = send_relating(&alice, &room, "m.reference", &third, "fourth").await;
    let relations = path!("v1/rooms/{}/relations/{}", room, root);
    let all = alice.get(&format!("{relations}?recurse=true")).await.ok();
    assert_eq!(event_ids(&all["chunk"]), [third.clone(), edited.clone(), reply.clone()]);
    assert!(!event_ids(&all["chunk"]).contains(&fourth));
    assert_eq!(all["recursion_depth"], 3);
    let direct = alice.get(&format!("{relations}?recurse=false")).await.ok();
    assert_eq!(event_ids(&direct["chunk"]), [reply.clone()]);
    // A filter counts for every step.
    let threads = alice.get(&format!("{relations}/m.thread?recurse=true")).await.ok();
    assert_eq!(event_ids(&threads["chunk"]), [reply]);
    let references = alice.get(&format!("{relations}/m.reference?recurse=true")).await.ok();
    assert_eq!(references["chunk"], json!([]));
    // Pages of it too.
    let page = alice.get(&format!("{relations}?recurse=true&limit=1")).await.ok();
    let from = encode(page["next_batch"].as_str().unwrap());
    let page = alice.get(&format!("{relations}?recurse=true&limit=1&from={from}")).await.ok();
    assert_eq!(event_ids(&page["chunk"]), [edited]);
}

#[tokio::test]
async fn a_redacted_child_and_an_ignored_user_are_left_out() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let parent = alice.send_text(&room, "parent").await;
    let kept = reply(&alice, &room, &parent, "kept").await;
    let gone = reply(&alice, &room, &parent, "gone").await;
    let ignored = reply(&bob, &room, &parent, "ignored").await;
    let relations = path!("v1/rooms/{}/relations/{}", room, parent);
    let before = event_ids(&alice.get(&relations).await.ok()["chunk"]);
    assert_eq!(before, [ignored, gone.clone(), kept.clone()]);
    alice.redact(&room, &gone).await;
    ignore(&alice, &bob).await;
    assert_eq!(event_ids(&alice.get(&relations).await.ok()["chunk"]), [kept.clone()]);
    // What relates to a redacted event is still there.
    alice.redact(&room, &parent).await;
    assert_eq!(event_ids(&alice.get(&relations).await.ok()["chunk"]), [kept]);
}

/// Each event is judged on its own, as the room's history was open when it was sent.
#[tokio::test]
async fn what_was_sent_while_one_was_away_is_left_out() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_public_room().await;
    let joined = json!({ "history_visibility": "joined" });
    alice.set_state(&room, "m.room.history_visibility", "", joined).await;
    bob.join(&room).await;
    let parent = alice.send_text(&room, "parent").await;
    let first = reply(&alice, &room, &parent, "bob is here").await;
    bob.leave(&room).await;
    let away = reply(&alice, &room, &parent, "bob is away").await;
    let relations = path!("v1/rooms/{}/relations/{}", room, parent);
    let children = async || event_ids(&bob.get(&relations).await.ok()["chunk"]);
    assert_eq!(children().await, [first.clone()]);
    bob.join(&room).await;
    let back = reply(&alice, &room, &parent, "bob is back").await;
    assert_eq!(children().await, [back.clone(), first.clone()]);
    let bundle = bob.event(&room, &parent).await["unsigned"]["m.relations"]["m.thread"].clone();
    assert_eq!((&bundle["count"], &bundle["latest_event"]["event_id"]), (&json!(2), &json!(back)));
    let bundle = alice.event(&room, &parent).await["unsigned"]["m.relations"].clone();
    assert_eq!(bundle["m.thread"]["count"], 3, "{away} too");
}

#[tokio::test]
async fn relations_of_an_event_that_one_does_not_see_are_not_found() {
    let server = TestServer::start().await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let (room, other) = (alice.create_room().await, eve.create_room().await);
    let parent = alice.send_text(&room, "parent").await;
    react(&alice, &room, &parent, "👍").await;
    let mut answers = Vec::new();
    for (room, event) in [(&room, parent.as_str()), (&other, &parent), (&room, "$no")] {
        for tail in ["", "/m.annotation", "/m.annotation/m.reaction"] {
            let path = path!("v1/rooms/{}/relations/{}", room, event) + tail;
            let answer = eve.get(&path).await;
            answers.push(answer.text.clone());
            answer.error(404, "M_NOT_FOUND");
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let path = path!("v1/rooms/{}/relations/{}", room, parent);
    server.anonymous().get(&path).await.error(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_relation_to_an_event_of_another_room_is_none() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let (room, other) = (alice.create_room().await, alice.create_room().await);
    let parent = alice.send_text(&room, "parent").await;
    reply(&alice, &other, &parent, "from elsewhere").await;
    let found = alice.get(&path!("v1/rooms/{}/relations/{}", room, parent)).await.ok();
    assert_eq!(found["chunk"], json!([]));
    assert!(alice.event(&room, &parent).await["unsigned"].get("m.relations").is_none());
}

#[tokio::test]
async fn relations_outlive_a_restart() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let mut parents = Vec::new();
    for n in 0..5 {
        let parent = alice.send_text(&room, &n.to_string()).await;
        reply(&alice, &room, &parent, "reply").await;
        parents.push(parent);
    }
    server.restart().await;
    // A page at once, and one event alone.
    let page = alice.messages(&room, "dir=b&limit=10").await;
    for parent in &parents[1..] {
        let event = page["chunk"].as_array().unwrap().iter().find(|e| e["event_id"] == **parent);
        let bundle = &event.unwrap()["unsigned"]["m.relations"];
        assert_eq!(bundle["m.thread"]["count"], 1, "{page:#}");
    }
    server.restart().await;
    let event = alice.event(&room, &parents[0]).await;
    assert_eq!(event["unsigned"]["m.relations"]["m.thread"]["count"], 1, "{event:#}");
}
