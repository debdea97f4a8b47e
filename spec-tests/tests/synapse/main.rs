//! A team on Kith and a team on Synapse talk as one. What each side sees is asked of its own server by
//! its own client API.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chat;
mod media;
mod outages;
mod rooms;
mod secrets;

use kith_homeserver::config::EngineKind;
use kith_spec_tests::{Synapse, TestServer, TestUser, path, until};
use serde_json::{Value, json};

/// The room versions of today.
const VERSIONS: [&str; 3] = ["10", "11", "12"];

/// Both servers, and a user on each.
struct Both {
    kith: TestServer,
    synapse: Synapse,
    /// On Kith.
    alice: TestUser,
    /// On Synapse.
    bob: TestUser,
}

impl Both {
    async fn start() -> Self {
        Self::with(Box::pin(TestServer::federating())).await
    }

    /// Kith with its data on disk.
    async fn start_durable() -> Self {
        let durable = TestServer::federating_with(|config| {
            config.storage.engine = EngineKind::Sled;
        });
        Self::with(Box::pin(durable)).await
    }

    async fn with(kith: impl Future<Output = TestServer>) -> Self {
        let (kith, synapse) = tokio::join!(kith, Box::pin(Synapse::start()));
        let (alice, bob) = (kith.register("alice").await, synapse.register("bob").await);
        Self { kith, synapse, alice, bob }
    }

    /// Alice's room of a version, which Bob has joined.
    async fn room_of_alice(&self, version: &str) -> String {
        let room = public_room(&self.alice, version).await;
        join_through(&self.bob, &room, self.kith.name()).await;
        room
    }

    /// Bob's room of a version, which Alice has joined.
    async fn room_of_bob(&self, version: &str) -> String {
        let room = public_room(&self.bob, version).await;
        join_through(&self.alice, &room, self.synapse.name()).await;
        room
    }
}

async fn public_room(user: &TestUser, version: &str) -> String {
    user.create_room_from(json!({ "preset": "public_chat", "room_version": version })).await
}

async fn join_through(user: &TestUser, room: &str, server: &str) {
    let path = format!("{}?server_name={server}&via={server}", path!("v3/join/{}", room));
    user.post(&path, json!({})).await.ok();
}

/// Waits until both have the same state of a room.
async fn same_state(a: &TestUser, b: &TestUser, room: &str) {
    until("the same state on both sides", async || {
        (a.state_ids(room).await == b.state_ids(room).await).then_some(())
    })
    .await;
}

/// An event, as soon as the user's server shows it to them.
async fn sees(user: &TestUser, room: &str, event_id: &str) -> Value {
    let path = path!("v3/rooms/{}/event/{}", room, event_id);
    until(&format!("{event_id} for {}", user.user_id), async || {
        let answer = user.get(&path).await;
        (answer.status == 200).then_some(answer.json)
    })
    .await
}

/// Waits until somebody's membership is this on the user's server.
async fn sees_membership(user: &TestUser, room: &str, of: &TestUser, membership: &str) {
    until(&format!("{} is {membership} for {}", of.user_id, user.user_id), async || {
        (user.membership_of(room, of).await.as_deref() == Some(membership)).then_some(())
    })
    .await;
}
