//! A server and a peer in a room of it.

use kith_spec_tests::{RemoteServer, TestServer, TestUser, path};
use serde_json::{Value, json};

pub(crate) struct Scene {
    pub(crate) server: TestServer,
    pub(crate) alice: TestUser,
    pub(crate) remote: RemoteServer,
    /// Alice's public room, which the peer's user `bob` has joined.
    pub(crate) room: String,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::of(json!({ "preset": "public_chat" })).await
    }

    /// The room is made from this body of `/createRoom`.
    pub(crate) async fn of(room: Value) -> Self {
        let server = TestServer::federating().await;
        let alice = server.register("alice").await;
        let remote = RemoteServer::start().await;
        let room = alice.create_room_from(room).await;
        remote.join(&server, &room, "bob").await;
        Self { server, alice, remote, room }
    }

    /// Another peer, which is in no room.
    pub(crate) async fn stranger() -> RemoteServer {
        RemoteServer::start().await
    }

    pub(crate) async fn get(&self, path: &str) -> kith_spec_tests::Answer {
        self.remote.get(&self.server, path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> kith_spec_tests::Answer {
        self.remote.post(&self.server, path, body).await
    }

    /// The PDU of an event as the peer gets it.
    pub(crate) async fn pdu(&self, event_id: &str) -> Value {
        self.get(&path!("v1/event/{}", event_id)).await.ok()["pdus"][0].clone()
    }
}
