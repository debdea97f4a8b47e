//! How do users get into and out of rooms on other servers?

mod asking;
mod declining;
mod inviting;
mod invited;
mod joining;
mod knocking;
mod restricted;
mod two_servers;

use kith_spec_tests::{RemoteServer, TestServer, TestUser, path};
use ruma::RoomVersionId;
use serde_json::{Value, json};

/// The room versions that this server takes part in.
const VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// The newest of which room IDs have a server name.
const NAMED: RoomVersionId = RoomVersionId::V11;

/// `v1/make_join/...` with all versions.
fn make(what: &str, room: &str, user: &str) -> String {
    let versions: Vec<String> = (1..=12).map(|version| format!("ver={version}")).collect();
    format!("{}?{}", path!("v1/{}/{}/{}", format!("make_{what}"), room, user), versions.join("&"))
}

/// A room of this server that anybody may join.
async fn public_room(user: &TestUser, version: &RoomVersionId) -> String {
    let body = json!({ "preset": "public_chat", "room_version": version });
    user.create_room_from(body).await
}

/// The peer's own member event in a room of a server, as the server proposes it.
async fn template(
    remote: &RemoteServer,
    server: &TestServer,
    what: &str,
    room: &str,
    user: &str,
) -> (RoomVersionId, Value) {
    let answer = remote.get(server, &make(what, room, user)).await.ok();
    let version = answer["room_version"].as_str().expect("a version");
    (RoomVersionId::try_from(version).expect("a version"), answer["event"].clone())
}

/// What the server under test knows of somebody's membership.
async fn membership(user: &TestUser, room: &str, of: &str) -> Option<String> {
    let answer = user.get(&path!("v3/rooms/{}/state/m.room.member/{}", room, of)).await;
    (answer.status == 200).then(|| answer.text_at("membership"))
}

/// Gives somebody a name to be called by.
async fn name(user: &TestUser) {
    let path = path!("v3/profile/{}/displayname", user.user_id);
    user.put(&path, json!({ "displayname": user.localpart() })).await.ok();
}

/// Joins a room by naming a server that is in it.
async fn join_via(user: &TestUser, room: &str, server: &str) -> kith_spec_tests::Answer {
    user.post(&format!("{}?via={server}", path!("v3/join/{}", room)), json!({})).await
}

/// An invite as the peer would send it: event ID, event, and state to show.
struct Invite {
    room: String,
    version: RoomVersionId,
    id: String,
    event: Value,
    state: Vec<Value>,
}

impl Invite {
    /// Of a user into a room of the peer.
    fn of(remote: &RemoteServer, room: &str, inviter: &str, invited: &str) -> Self {
        let (id, event) = remote.build(
            room,
            json!({
                "sender": remote.user(inviter),
                "type": "m.room.member",
                "state_key": invited,
                "content": { "membership": "invite" },
            }),
        );
        let copy = remote.room(room);
        let shown = ["m.room.create", "m.room.join_rules", "m.room.name"];
        let state = shown.iter().filter_map(|kind| copy.state_event(kind, "").cloned()).collect();
        Self { room: room.to_owned(), version: copy.version, id, event, state }
    }

    fn path(&self) -> String {
        path!("v2/invite/{}/{}", self.room, self.id)
    }

    fn body(&self) -> Value {
        json!({
            "room_version": self.version,
            "event": self.event,
            "invite_room_state": self.state,
        })
    }

    async fn send(&self, remote: &RemoteServer, server: &TestServer) -> kith_spec_tests::Answer {
        remote.put(server, &self.path(), self.body()).await
    }

    /// The same after a change, signed anew.
    fn changed(mut self, remote: &RemoteServer, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.event);
        if let Some(event) = self.event.as_object_mut() {
            event.remove("hashes");
            event.remove("signatures");
        }
        (self.id, self.event) = remote.sign_pdu(&self.version, self.event);
        self
    }
}

/// A peer's room that only those invited may join, and a user of ours.
async fn private_room(version: &RoomVersionId) -> (TestServer, RemoteServer, TestUser, String) {
    let (server, remote) = (TestServer::federating().await, RemoteServer::start().await);
    let alice = server.register("alice").await;
    let room = remote.create_room_with(version, "rachel", "invite");
    (server, remote, alice, room)
}
