//! SECURITY.md line 23: a person who was put out of a room sees nothing further of it, however their
//! live connection asks.

use kith_spec_tests::{RemoteServer, Slide, SlidingSync, TestServer, TestUser, path};
use ruma::RoomVersionId;
use serde_json::{Value, json};

/// Asks for the room in every way there is: by lists, by its ID, by all extensions.
fn connection(user: &TestUser, room: &str) -> SlidingSync {
    let on = json!({ "enabled": true });
    let everything = json!([["*", "*"]]);
    user.sliding(json!({
        "lists": {
            "all": { "ranges": [[0, 99]], "timeline_limit": 20, "required_state": everything },
            "plain": {
                "ranges": [[0, 99]], "timeline_limit": 20, "required_state": everything,
                "filters": { "is_encrypted": false, "not_room_types": ["m.space"] },
            },
        },
        "room_subscriptions": { room: { "timeline_limit": 50, "required_state": everything } },
        "extensions": {
            "account_data": on, "receipts": { "enabled": true, "rooms": [room] },
            "typing": { "enabled": true, "rooms": [room] }, "to_device": on, "e2ee": on,
            "io.element.msc4308.thread_subscriptions": on,
        },
    }))
}

#[track_caller]
fn nothing_of(slide: &Slide, room: &str, secrets: &[String]) {
    let text = slide.0.to_string();
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret} leaked: {:#}", slide.0);
    }
    for extension in ["receipts", "typing", "account_data"] {
        let of_room = &slide.extension(extension)["rooms"][room];
        assert!(of_room.is_null(), "{extension} of a room that the user is not in: {of_room:#}");
    }
}

enum Going {
    Kick,
    Ban,
    Leave,
    LeaveThenBan,
}

/// A live connection, a departure, noise in the room: the client learns that it is over, and nothing
/// more, now and later, on this connection and on new ones.
async fn goes(going: Going) {
    let server = TestServer::start().await;
    let (owner, friend) = (server.register("owner").await, server.register("friend").await);
    let bob = server.register("bob").await;
    let room = owner.create_room_with(&[&bob]).await;
    owner.send_text(&room, "for all").await;
    let mut live = connection(&bob, &room);
    assert_eq!(live.next().await.timeline(&room).bodies(), ["for all"]);
    let repeated = live.clone();
    match going {
        Going::Kick => owner.kick(&room, &bob).await,
        Going::Ban => owner.ban(&room, &bob).await,
        Going::Leave | Going::LeaveThenBan => bob.leave(&room).await,
    }
    let mut secrets = Vec::new();
    // Who came later is none of their business either.
    owner.invite(&room, &friend).await;
    friend.join(&room).await;
    secrets.extend(make_noise(&owner, &friend, &room).await);
    if matches!(going, Going::LeaveThenBan) {
        owner.ban(&room, &bob).await;
    }
    secrets.push(friend.user_id.clone());

    let gone = live.wait(5_000).await;
    nothing_of(&gone, &room, &secrets);
    let timeline = gone.timeline(&room);
    let last = timeline.last("m.room.member").expect("the client sees that the user went");
    assert_eq!(last["state_key"], bob.user_id.as_str());
    // Later answers, more of the timeline, more state, another filter.
    secrets.extend(make_noise(&owner, &friend, &room).await);
    for limit in [50, 100] {
        live.body["room_subscriptions"][&room]["timeline_limit"] = limit.into();
        live.body["lists"]["all"]["timeline_limit"] = limit.into();
        nothing_of(&live.next().await, &room, &secrets);
    }
    live.body["lists"]["new"] =
        json!({ "ranges": [[0, 9]], "timeline_limit": 90, "required_state": [["*", "*"]] });
    nothing_of(&live.next().await, &room, &secrets);
    // The request from before, repeated.
    let mut repeated = repeated;
    let answer = repeated.answer().await;
    if answer.status == 200 {
        nothing_of(&Slide(answer.json), &room, &secrets);
    }
    repeated.pos = None;
    nothing_of(&repeated.next().await, &room, &secrets);
    // A connection that begins now, of the same device and of another.
    for user in [&bob, &bob.log_in_again().await] {
        nothing_of(&connection(user, &room).next().await, &room, &secrets);
    }
    let filter = json!({ "room": { "include_leave": true } });
    for state_after in ["false", "true"] {
        let sync = bob.syncing(None).filter(&filter).with("use_state_after", state_after);
        let sync = sync.get().await.json.to_string();
        assert!(secrets.iter().all(|secret| !sync.contains(secret.as_str())), "{sync}");
    }
}

/// What happens in a room. Answers words that must not reach whoever is outside.
async fn make_noise(owner: &TestUser, friend: &TestUser, room: &str) -> Vec<String> {
    let event_id = owner.send_text(room, "secret plans").await;
    owner.set_state(room, "m.room.name", "", json!({ "name": "secret name" })).await;
    owner.set_state(room, "m.room.topic", "", json!({ "topic": "secret topic" })).await;
    let read = path!("v3/rooms/{}/receipt/m.read/{}", room, event_id);
    friend.post(&read, json!({})).await.ok();
    let typing = path!("v3/rooms/{}/typing/{}", room, friend.user_id);
    friend.put(&typing, json!({ "typing": true, "timeout": 30_000 })).await.ok();
    let words = ["secret plans", "secret name", "secret topic"].map(str::to_owned);
    words.into_iter().chain([event_id]).collect()
}

#[tokio::test]
async fn whoever_is_kicked_sees_nothing_further() {
    goes(Going::Kick).await;
}

#[tokio::test]
async fn whoever_is_banned_sees_nothing_further() {
    goes(Going::Ban).await;
}

#[tokio::test]
async fn whoever_leaves_sees_nothing_further() {
    goes(Going::Leave).await;
}

/// The ban comes later than the leave: what lies between them is not theirs either.
#[tokio::test]
async fn whoever_is_banned_after_they_left_sees_nothing_of_the_time_between() {
    goes(Going::LeaveThenBan).await;
}

/// A request that waits when its user is put out is answered with that, and not with what follows.
#[tokio::test]
async fn whoever_is_kicked_while_they_wait_sees_nothing_further() {
    let server = TestServer::start().await;
    let (owner, bob) = (server.register("owner").await, server.register("bob").await);
    let friend = server.register("friend").await;
    let room = owner.create_room_with(&[&bob, &friend]).await;
    let mut live = connection(&bob, &room);
    live.next().await;
    let mut waiting = live.clone();
    let waits = tokio::spawn(async move { (waiting.wait(50_000).await, waiting) });
    owner.kick(&room, &bob).await;
    let secrets = make_noise(&owner, &friend, &room).await;
    let (slide, mut live) = waits.await.unwrap();
    nothing_of(&slide, &room, &secrets);
    for _ in 0..3 {
        nothing_of(&live.next().await, &room, &secrets);
    }
}

/// The devices of people with whom the user shares no room any more are none of their business.
#[tokio::test]
async fn whoever_is_kicked_does_not_hear_of_the_others_devices() {
    let server = TestServer::start().await;
    let (owner, bob) = (server.register("owner").await, server.register("bob").await);
    let room = owner.create_room_with(&[&bob]).await;
    let mut live = connection(&bob, &room);
    live.next().await;
    owner.kick(&room, &bob).await;
    let slide = live.wait(5_000).await;
    assert_eq!(slide.extension("e2ee")["device_lists"]["left"], json!([owner.user_id]));
    owner.log_in_again().await;
    let slide = live.next().await;
    assert_eq!(slide.extension("e2ee")["device_lists"], Value::Null);
}

/// A `pos` is no key: whoever has somebody else's sees nothing with it.
#[tokio::test]
async fn a_position_of_somebody_else_opens_nothing() {
    let server = TestServer::start().await;
    let (owner, bob) = (server.register("owner").await, server.register("bob").await);
    let room = owner.create_room().await;
    let mut theirs = connection(&owner, &room);
    theirs.next().await;
    let mut thief = connection(&bob, &room);
    thief.pos.clone_from(&theirs.pos);
    thief.answer().await.error(400, "M_UNKNOWN_POS");
    thief.pos = None;
    thief.next().await;
    owner.send_text(&room, "private").await;
    assert_eq!(thief.next().await.rooms(), 0);
}

/// How another server puts one of our users out.
#[derive(Clone, Copy, Debug)]
enum FromAfar {
    Kick,
    Ban,
    /// It comes beside what happened meanwhile: the room's state is resolved.
    BesideOthers,
    /// And nobody says so: another server's events rest on it.
    Unseen,
}

/// Carol, who is of our server too, stays: so the room's events go on coming. The user waits at that
/// moment, and asks again afterwards, in every way.
async fn put_out_from_afar(how: FromAfar) {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let (bob, carol) = (server.register("bob").await, server.register("carol").await);
    let version = RoomVersionId::V12;
    let room = remote.create_room(&version, "owner");
    for user in [&bob, &carol] {
        let path = format!("{}?via={}", path!("v3/join/{}", room), remote.name());
        user.post(&path, json!({})).await.ok();
    }
    let owner = remote.user("owner");
    let before = remote.room(&room);
    if matches!(how, FromAfar::BesideOthers) {
        remote.send_text(&server, &room, "owner", "beside it").await;
    }
    let mut live = connection(&bob, &room);
    live.next().await;
    let old = live.clone();
    let mut waiting = live.clone();
    let waits = tokio::spawn(async move { (waiting.wait(50_000).await, waiting) });
    let membership = if matches!(how, FromAfar::Kick) { "leave" } else { "ban" };
    let out = json!({ "sender": owner, "type": "m.room.member", "state_key": bob.user_id,
        "content": { "membership": membership } });
    match how {
        FromAfar::Kick | FromAfar::Ban => {
            remote.send_event(&server, &room, out).await;
        }
        FromAfar::BesideOthers => {
            let (id, pdu) = remote.sign_pdu(&version, before.complete(out));
            remote.send_pdu(&server, &id, &pdu).await;
            // What comes next rests on both.
            remote.take(&room, pdu);
        }
        FromAfar::Unseen => {
            remote.append(&room, out);
            remote.answer("POST", "v1/get_missing_events/{}", |_| json!({ "events": [] }));
        }
    }
    let mut secrets = noise_from_afar(&server, &remote, &room, 1).await;
    let (slide, mut live) = waits.await.unwrap();
    nothing_of(&slide, &room, &secrets);
    secrets.extend(noise_from_afar(&server, &remote, &room, 2).await);
    let known = secrets.last().expect("an event").clone();
    carol.event(&room, &known).await;
    for limit in [20, 50, 100] {
        live.body["room_subscriptions"][&room]["timeline_limit"] = limit.into();
        nothing_of(&live.next().await, &room, &secrets);
    }
    let mut old = old;
    let answer = old.answer().await;
    if answer.status == 200 {
        nothing_of(&Slide(answer.json), &room, &secrets);
    }
    old.pos = None;
    nothing_of(&old.next().await, &room, &secrets);
    for user in [&bob, &bob.log_in_again().await] {
        nothing_of(&connection(user, &room).next().await, &room, &secrets);
        let filter = json!({ "room": { "include_leave": true } });
        let sync = user.syncing(None).filter(&filter).get().await.json.to_string();
        assert!(secrets.iter().all(|secret| !sync.contains(secret.as_str())), "{how:?}: {sync}");
    }
    let path = path!("v3/rooms/{}/event/{}", room, known);
    bob.get(&path).await.error(404, "M_NOT_FOUND");
}

/// What people of another server do in the room. Answers words that must not reach whoever is outside;
/// the last is an event.
async fn noise_from_afar(
    server: &TestServer,
    remote: &RemoteServer,
    room: &str,
    time: u32,
) -> Vec<String> {
    let owner = remote.user("owner");
    let name = json!({ "sender": owner, "type": "m.room.name", "state_key": "",
        "content": { "name": format!("secret name {time}") } });
    let named = remote.send_event(server, room, name).await;
    let friend = remote.user(&format!("friend{time}"));
    let joins = json!({ "sender": friend, "type": "m.room.member", "state_key": friend,
        "content": { "membership": "join" } });
    remote.send_event(server, room, joins).await;
    let said = remote.send_text(server, room, "owner", &format!("secret plans {time}")).await;
    let typing = json!({ "edu_type": "m.typing",
        "content": { "room_id": room, "user_id": owner, "typing": true } });
    let data = json!({ "data": { "ts": 7 }, "event_ids": [said] });
    let receipt = json!({ "edu_type": "m.receipt",
        "content": { room: { "m.read": { friend.clone(): data } } } });
    remote.send(server, Vec::new(), vec![typing, receipt]).await.ok();
    let words = [format!("secret name {time}"), format!("secret plans {time}")];
    words.into_iter().chain([friend, named, said]).collect()
}

#[tokio::test]
async fn whoever_another_server_kicks_sees_nothing_further() {
    put_out_from_afar(FromAfar::Kick).await;
}

#[tokio::test]
async fn whoever_another_server_bans_sees_nothing_further() {
    put_out_from_afar(FromAfar::Ban).await;
}

#[tokio::test]
async fn whoever_is_banned_beside_other_events_sees_nothing_further() {
    put_out_from_afar(FromAfar::BesideOthers).await;
}

#[tokio::test]
async fn whoever_is_banned_by_an_event_that_never_came_sees_nothing_further() {
    put_out_from_afar(FromAfar::Unseen).await;
}
