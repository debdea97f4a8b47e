//! What does it cost to know what relates to an event?

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use kith_store::{
    Database, Engine, Result,
    engine::{Range, Write, memory::Memory},
};
use ruma::{OwnedUserId, owned_device_id, owned_server_name, owned_user_id};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::super::{
    Room, Rooms,
    client_event::Viewer,
    create::{NewRoom, Preset},
    draft::{Draft, raw},
    event::Event,
};
use crate::{
    account_data::IgnoredUsers, config::Config, federation_store, outgoing, team::Team,
    users::Requester,
};

/// An engine that counts how often it is asked for rows.
#[derive(Default)]
struct Counting {
    inner: Memory,
    reads: AtomicUsize,
}

#[async_trait::async_trait]
impl Engine for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.reads.fetch_add(1, Relaxed);
        self.inner.get(key).await
    }
    async fn scan(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>> {
        self.reads.fetch_add(1, Relaxed);
        self.inner.scan(range).await
    }
    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        self.inner.commit(writes).await
    }
}

struct Server {
    engine: Arc<Counting>,
    database: Arc<Database>,
    alice: OwnedUserId,
}

impl Server {
    fn new() -> Self {
        let engine = Arc::new(Counting::default());
        let database = Database::open(engine.clone()).expect("the writer starts");
        Self { engine, database, alice: owned_user_id!("@alice:kith.test") }
    }

    /// The rooms as after a start: nothing of them is remembered.
    async fn rooms(&self) -> Rooms {
        let store = self.database.team(1).await.expect("a team");
        let config = Arc::new(Config::default());
        let name = owned_server_name!("kith.test");
        let team = Team::open(name, config, &store, CancellationToken::new()).await;
        let team = team.expect("a key is made");
        let network = outgoing::network(&team.config().outgoing).expect("no file is read");
        let (remotes, key_ring) = federation_store::wire(&team, network, store.clone());
        let rooms = Rooms::open(team, store, remotes, key_ring).await;
        let rooms = rooms.expect("the store works");
        // Whoever syncs is known.
        rooms.members().of_user(&self.alice).await.expect("the store works");
        rooms
    }

    async fn room(&self, rooms: &Rooms) -> Arc<Room> {
        let new = NewRoom {
            creator: self.alice.clone(),
            version: ruma::RoomVersionId::V11,
            creation_content: Map::new(),
            preset: Preset::PrivateChat,
            power_level_content_override: Map::new(),
            initial_state: Vec::new(),
            name: None,
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
            published: false,
        };
        rooms.create(new).await.expect("the room is created")
    }

    async fn send(&self, rooms: &Rooms, room: &Arc<Room>, parent: Option<&Event>) -> Arc<Event> {
        let mut content = json!({ "msgtype": "m.text", "body": "hello" });
        if let Some(parent) = parent {
            content["m.relates_to"] =
                json!({ "rel_type": "m.thread", "event_id": parent.event_id });
        }
        let draft = Draft::message(self.alice.clone(), "m.room.message".into(), raw(&content));
        let mut writer = rooms.writer(room).await.expect("the room's lock");
        let event = writer.append(draft).await.expect("alice may send");
        writer.commit().await.expect("the store works");
        event
    }

    async fn redact(&self, rooms: &Rooms, room: &Arc<Room>, event: &Event) {
        let nothing = raw(&json!({}));
        let mut draft = Draft::message(self.alice.clone(), "m.room.redaction".into(), nothing);
        draft.redacts = Some(event.event_id.clone());
        let mut writer = rooms.writer(room).await.expect("the room's lock");
        writer.append(draft).await.expect("alice may redact");
        writer.commit().await.expect("the store works");
    }

    /// How often the disk was read meanwhile.
    async fn reads<T>(&self, what: impl Future<Output = T>) -> (usize, T) {
        let before = self.engine.reads.load(Relaxed);
        let answer = what.await;
        (self.engine.reads.load(Relaxed) - before, answer)
    }

    /// The thread that is bundled with an event for Alice.
    async fn thread(&self, rooms: &Rooms, room: &Room, event: &Event) -> Value {
        let requester = Requester {
            user_id: self.alice.clone(),
            device_id: owned_device_id!("PHONE"),
            guest: false,
            admin: false,
            locked: false,
            suspended: false,
        };
        let ignored = IgnoredUsers::new();
        let viewer = Viewer { requester: &requester, with_room_id: true, bundling: Some(&ignored) };
        let json = rooms.client_event::<Value>(room, event, viewer, None).await;
        let event = json.expect("readable").deserialize().expect("JSON");
        event["unsigned"]["m.relations"]["m.thread"].clone()
    }
}

#[tokio::test]
async fn a_new_event_and_its_first_reply_are_known_without_a_look_at_the_disk() {
    let server = Server::new();
    let rooms = server.rooms().await;
    let room = server.room(&rooms).await;
    let event = server.send(&rooms, &room, None).await;
    let (reads, thread) = server.reads(server.thread(&rooms, &room, &event)).await;
    assert_eq!((reads, thread), (0, Value::Null));
    server.send(&rooms, &room, Some(&event)).await;
    // Once, to learn whether Alice may see all of the room.
    server.thread(&rooms, &room, &event).await;
    let (reads, thread) = server.reads(server.thread(&rooms, &room, &event)).await;
    assert_eq!((reads, &thread["count"]), (0, &json!(1)));
}

#[tokio::test]
async fn the_relations_of_a_page_are_read_at_once_and_then_remembered() {
    let server = Server::new();
    let rooms = server.rooms().await;
    let room = server.room(&rooms).await;
    let mut sent = Vec::new();
    for n in 0..100 {
        sent.push(server.send(&rooms, &room, None).await);
        if n % 10 == 0 {
            server.send(&rooms, &room, sent.last().map(|event| &**event)).await;
        }
    }
    let rooms = server.rooms().await;
    let room = rooms.get(&room.room_id).await.expect("the store works").expect("the room");
    let (reads, ()) = server
        .reads(async {
            rooms.find_children_of(&room, &sent).await.expect("the store works");
            for event in &sent {
                rooms.children(&room, event.index()).await.expect("the store works");
            }
        })
        .await;
    assert_eq!(reads, 1, "one read for a hundred events");
    for (n, event) in sent.iter().enumerate() {
        let count = if n % 10 == 0 { json!(1) } else { Value::Null };
        assert_eq!(server.thread(&rooms, &room, event).await["count"], count, "event {n}");
    }
    let (reads, ()) = server
        .reads(async {
            for event in &sent {
                server.thread(&rooms, &room, event).await;
            }
        })
        .await;
    assert_eq!(reads, 0);
}

/// A list that grows while the cache holds it is counted for what it was when it came there.
#[tokio::test]
async fn lists_may_grow_and_shrink_in_the_cache() {
    let server = Server::new();
    let rooms = server.rooms().await;
    let room = server.room(&rooms).await;
    for _ in 0..3 {
        let root = server.send(&rooms, &room, None).await;
        let mut replies = Vec::new();
        for n in 1..=40 {
            replies.push(server.send(&rooms, &room, Some(&root)).await);
            assert_eq!(server.thread(&rooms, &room, &root).await["count"], n);
        }
        for (n, reply) in replies.iter().enumerate().rev().take(39) {
            server.redact(&rooms, &room, reply).await;
            assert_eq!(server.thread(&rooms, &room, &root).await["count"], n);
        }
        let weight = rooms.relations().known.weight();
        assert!(weight < 1_000, "{weight}");
    }
}

/// Two replies at once, of which the second is written before the first is known to be durable; then
/// the newest goes.
#[tokio::test]
async fn the_row_of_a_threads_newest_event_is_always_there() {
    let server = Server::new();
    let rooms = server.rooms().await;
    let room = server.room(&rooms).await;
    let root = server.send(&rooms, &room, None).await;
    let replies = std::iter::repeat_with(|| server.send(&rooms, &room, Some(&root)));
    let replies: Vec<Arc<Event>> = futures_all(replies.take(5)).await;
    let newest = replies.iter().max_by_key(|reply| reply.position()).expect("five replies");
    let rows = async || {
        let scan = kith_store::Scan::prefix(&(room.number,)).reverse();
        let rows = rooms.store().scan(&kith_store::tables::THREADS, scan).await;
        rows.expect("the store works").into_iter().map(|((_, position), _)| position)
    };
    assert_eq!(rows().await.next(), Some(newest.position()));
    server.redact(&rooms, &room, newest).await;
    let others = replies.iter().filter(|reply| reply.event_id != newest.event_id);
    let second = others.map(|reply| reply.position()).max();
    assert_eq!(rows().await.next(), second);
}

/// All of them at once.
async fn futures_all<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in all.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *answer = Some(value);
            }
        }
        match answers.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    answers.into_iter().flatten().collect()
}
