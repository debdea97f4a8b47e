//! A server and a peer whose users are in one room.

use kith_homeserver::config::{Config, EngineKind};
use kith_spec_tests::{RemoteServer, TestServer, TestUser};
use serde_json::{Value, json};

pub(crate) struct Together {
    pub(crate) server: TestServer,
    pub(crate) remote: RemoteServer,
    pub(crate) alice: TestUser,
    /// Alice's, public; with `bob` of the peer.
    pub(crate) room: String,
    pub(crate) bob: String,
}

impl Together {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With its data on disk, for tests that restart it.
    pub(crate) async fn durable() -> Self {
        Self::with(|config| config.storage.engine = EngineKind::Sled).await
    }

    async fn with(change: impl Fn(&mut Config)) -> Self {
        let server = TestServer::federating_with(change).await;
        let remote = RemoteServer::start().await;
        let alice = server.register("alice").await;
        let room = alice.create_public_room().await;
        remote.join(&server, &room, "bob").await;
        let bob = remote.user("bob");
        Self { server, remote, alice, room, bob }
    }

    /// Sends EDUs of the peer in a transaction, which must be answered.
    pub(crate) async fn edus(&self, edus: Vec<Value>) {
        self.remote.send(&self.server, Vec::new(), edus).await.ok();
    }

    /// Sends one EDU of the peer.
    pub(crate) async fn edu(&self, kind: &str, content: Value) {
        self.edus(vec![json!({ "edu_type": kind, "content": content })]).await;
    }
}

/// The messages that a peer was sent, transaction by transaction.
pub(crate) fn bodies(remote: &RemoteServer) -> Vec<Vec<String>> {
    let asked = remote.asked();
    let transactions = asked.iter().map(|asked| {
        let bodies = asked.pdus().filter_map(|pdu| pdu["content"]["body"].as_str());
        bodies.map(str::to_owned).collect::<Vec<_>>()
    });
    transactions.filter(|bodies| !bodies.is_empty()).collect()
}

pub(crate) fn body_is(body: &str) -> impl Fn(&Value) -> bool {
    move |pdu| pdu["content"]["body"] == body
}
