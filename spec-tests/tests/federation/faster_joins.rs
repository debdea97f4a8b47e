//! A room that is joined without most of its members, who become known later.

use kith_spec_tests::{RemoteReply, RemoteServer, TestServer, TestUser, path, until};
use ruma::RoomVersionId;
use serde_json::{Value, json};

const MEMBERS: usize = 30;

/// A room of the peer with many members, of whom it tells nothing before it is asked to.
struct Crowd {
    remote: RemoteServer,
    room: String,
}

impl Crowd {
    async fn new(version: RoomVersionId) -> Self {
        let remote = RemoteServer::start().await;
        let room = remote.create_room(&version, "rachel");
        for n in 0..MEMBERS {
            let user = remote.user(&format!("member{n}"));
            remote.append(&room, member(&user, &user, "join"));
        }
        remote.with_room(&room, |room| room.omits_members = true);
        remote.answer("GET", "v1/state/{}", |_| RemoteReply::error(503, "M_UNKNOWN"));
        Self { remote, room }
    }

    async fn joined_by(&self, user: &TestUser) {
        let path = path!("v3/join/{}", self.room);
        user.post(&format!("{path}?via={}", self.remote.name()), json!({})).await.ok();
    }

    fn tell(&self) {
        self.remote.answer_as_usual();
    }
}

fn member(sender: &str, target: &str, membership: &str) -> Value {
    json!({
        "sender": sender,
        "type": "m.room.member",
        "state_key": target,
        "content": { "membership": membership, "displayname": target[1..8] },
    })
}

/// How many are in the room, as its member events say.
async fn joined(user: &TestUser, room: &str) -> usize {
    let members = user.get(&path!("v3/rooms/{}/joined_members", room)).await.ok();
    members["joined"].as_object().map_or(0, serde_json::Map::len)
}

#[tokio::test]
async fn a_user_reads_and_writes_before_the_members_are_known() {
    for version in [RoomVersionId::V10, RoomVersionId::V12] {
        let server = TestServer::federating().await;
        let alice = server.register("alice").await;
        let crowd = Crowd::new(version).await;
        let (remote, room) = (&crowd.remote, &crowd.room);
        crowd.joined_by(&alice).await;
        let asked = remote.wait_for(|asked| asked.is("PUT", "v2/send_join/{}/{}")).await;
        assert_eq!(asked.parameter("omit_members"), Some("true"));

        let sent = alice.send_text(room, "here I am").await;
        let sending = remote.wait_for(|asked| asked.pdus().next().is_some()).await;
        let pdu = sending.pdus().next().cloned().expect("an event");
        assert_eq!(pdu["content"]["body"], "here I am");
        assert_eq!(remote.take(room, pdu), sent);

        // Somebody of whom nothing is known yet: what their event rests on says who they are.
        let said = remote.send_text(&server, room, "member7", "welcome").await;
        let lazy = json!({ "room": { "state": { "lazy_load_members": true } } });
        let sync = alice.syncing(None).filter(lazy).get().await;
        assert!(sync.timeline(room).event_ids().contains(&said.as_str()));
        let (state, user) = (sync.state(room), remote.user("member7"));
        let shown = state.with_state_key("m.room.member", &user).expect("who said so");
        assert_eq!(shown["content"]["membership"], "join");
        assert!(state.with_state_key("m.room.member", &remote.user("member8")).is_none());

        let before = alice.sync(None).await;
        let waiting = alice.syncing(Some(before.next_batch.clone())).timeout(20_000).get();
        let asking = joined(&alice, room);
        let telling = async { crowd.tell() };
        let (news, joined, ()) = tokio::join!(waiting, asking, telling);
        assert_eq!(joined, MEMBERS + 2, "whoever asks for the members waits for them");
        // A client that loads no members lazily is told of all.
        for n in 0..MEMBERS {
            let user = remote.user(&format!("member{n}"));
            let told = news.state(room).with_state_key("m.room.member", &user).is_some();
            assert!(told, "{user} is in the state");
        }
        // The room is the same for both now.
        let ours = alice.state_ids(room).await;
        let theirs: std::collections::BTreeMap<_, _> =
            remote.room(room).state.into_iter().collect();
        assert_eq!(ours, theirs);
        remote.send_text(&server, room, "member9", "and so on").await;
        assert_eq!(alice.history(room).await, ["here I am", "welcome", "and so on"]);
    }
}

#[tokio::test]
async fn what_the_members_would_not_have_been_allowed_to_say_is_taken_out() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let crowd = Crowd::new(RoomVersionId::V11).await;
    let (remote, room) = (&crowd.remote, &crowd.room);
    let (rachel, banned) = (remote.user("rachel"), remote.user("member3"));
    let own = remote.room(room).state_event("m.room.member", &banned).cloned().expect("a join");
    remote.append(room, member(&rachel, &banned, "ban"));
    crowd.joined_by(&alice).await;
    // It names the join from before the ban, of which the server knows nothing.
    let at = remote.room(room);
    let event = json!({
        "sender": banned,
        "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": "still here" },
    });
    let mut event = at.complete(event);
    let mut auth = vec![event_id(remote, &at.version, &own)];
    for kind in ["m.room.create", "m.room.power_levels"] {
        auth.push(at.state[&(kind.to_owned(), String::new())].clone());
    }
    event["auth_events"] = json!(auth);
    let (wrong, pdu) = remote.sign_pdu(&at.version, event);
    remote.with_room(room, |room| room.keep(pdu.clone()));
    remote.send_pdu(&server, &wrong, &pdu).await;
    remote.send_text(&server, room, "member4", "is he gone?").await;
    let history = alice.history(room).await;
    assert_eq!(history, ["still here", "is he gone?"], "nobody can know yet");
    crowd.tell();
    assert_eq!(joined(&alice, room).await, MEMBERS + 1);
    assert_eq!(alice.history(room).await, ["is he gone?"], "the ban is known now");
    let path = path!("v3/rooms/{}/state/m.room.member/{}", room, banned);
    assert_eq!(alice.get(&path).await.ok()["membership"], "ban");
}

/// Signing an event again changes nothing of it.
fn event_id(remote: &RemoteServer, version: &RoomVersionId, pdu: &Value) -> String {
    let events = remote.sign_pdu(version, pdu.clone());
    events.0
}

#[tokio::test]
async fn members_who_come_and_go_meanwhile_are_as_they_were_last() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let crowd = Crowd::new(RoomVersionId::V11).await;
    let (remote, room) = (&crowd.remote, &crowd.room);
    crowd.joined_by(&alice).await;
    let rachel = remote.user("rachel");
    let (gone, kicked) = (remote.user("member1"), remote.user("member2"));
    remote.send_event(&server, room, member(&gone, &gone, "leave")).await;
    remote.send_event(&server, room, member(&rachel, &kicked, "leave")).await;
    let new = remote.user("newcomer");
    remote.send_event(&server, room, member(&new, &new, "join")).await;
    remote.send_text(&server, room, "member5", "hello").await;
    crowd.tell();
    assert_eq!(joined(&alice, room).await, MEMBERS + 2 - 2 + 1);
    let theirs: std::collections::BTreeMap<_, _> = remote.room(room).state.into_iter().collect();
    assert_eq!(alice.state_ids(room).await, theirs);
}

#[tokio::test]
async fn a_server_that_is_stopped_goes_on_asking_for_the_members() {
    let mut server = TestServer::federating_with(|config| {
        config.storage.engine = kith_homeserver::config::EngineKind::Sled;
    })
    .await;
    let alice = server.register("alice").await;
    let crowd = Crowd::new(RoomVersionId::V11).await;
    crowd.joined_by(&alice).await;
    crowd.remote.wait_for(|asked| asked.is("GET", "v1/state/{}")).await;
    server.restart().await;
    crowd.tell();
    let known = async || (joined(&alice, &crowd.room).await == MEMBERS + 2).then_some(());
    until("the members are known", known).await;
}

#[tokio::test]
async fn what_is_not_known_is_not_told() {
    let server = TestServer::federating().await;
    let alice = server.register("alice").await;
    let crowd = Crowd::new(RoomVersionId::V11).await;
    let (remote, room) = (&crowd.remote, &crowd.room);
    crowd.joined_by(&alice).await;
    let said = alice.send_text(room, "hello").await;
    let path = format!("{}?event_id={said}", path!("v1/state_ids/{}", room));
    assert_eq!(remote.get(&server, &path).await.status, 503);
    let user = remote.user("late");
    let path = format!("{}?ver=11", path!("v1/make_join/{}/{}", room, user));
    assert_eq!(remote.get(&server, &path).await.status, 503);
    // Leaving needs to know nobody else.
    alice.leave(room).await;
}
