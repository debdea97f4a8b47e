//! `kith` killed at random moments while people talk: whatever it acknowledged is there afterwards.
//! (The store has its own crash test, of many more rounds, under the same name.)

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kith_spec_tests::{Events, KithProcess, ReachedServer, TestUser, encode, path};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

#[path = "crash/encryption.rs"]
mod encryption;

const ROUNDS: u32 = 20;
const SENDERS: u32 = 4;
/// Another one makes another sequence of moments.
const SEED: u64 = 0x6b69_7468;

/// By transaction ID: the event ID, once it was acknowledged.
type Sent = Arc<Mutex<BTreeMap<String, Option<String>>>>;

async fn send_until_it_ends(user: TestUser, room: String, prefix: String, sent: Sent) {
    for n in 0.. {
        let transaction = format!("{prefix}-{n}");
        sent.lock().insert(transaction.clone(), None);
        let Some(event_id) = send(&user, &room, &transaction).await else { return };
        sent.lock().insert(transaction, Some(event_id));
    }
}

async fn send(user: &TestUser, room: &str, transaction: &str) -> Option<String> {
    let path = path!("v3/rooms/{}/send/m.room.message/{}", room, transaction);
    let body = json!({ "msgtype": "m.text", "body": transaction });
    let answer = user.try_put(&path, &body).await?;
    assert_eq!(answer.status, 200, "{answer}");
    Some(answer.text_at("event_id"))
}

/// Whatever a poll showed is kept; the position moves on only with it.
struct Follower {
    user: TestUser,
    room: String,
    since: String,
    events: Vec<String>,
}

impl Follower {
    /// Until the server is gone, or until there is nothing more to hear.
    async fn follow(&mut self, wait_ms: u32) {
        loop {
            let filter = json!({ "room": { "timeline": { "limit": 1000 } } });
            let query = format!(
                "v3/sync?since={}&timeout={wait_ms}&set_presence=offline&filter={}",
                encode(&self.since),
                encode(filter)
            );
            let Some(answer) = self.user.try_get(&query).await else { return };
            assert_eq!(answer.status, 200, "{answer}");
            let timeline = &answer["rooms"]["join"][&self.room]["timeline"];
            assert_ne!(timeline["limited"], true, "a gap after a crash: {answer}");
            let new = messages(Events(&timeline["events"]));
            let next = answer.text_at("next_batch");
            if wait_ms == 0 && next == self.since {
                return;
            }
            self.since = next;
            self.events.extend(new);
        }
    }
}

fn messages(events: Events<'_>) -> Vec<String> {
    let messages = events.iter().filter(|event| event["type"] == "m.room.message");
    messages.map(|event| event["event_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// All messages of the room, as its history has them.
async fn history(user: &TestUser, room: &str) -> Vec<String> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let page: Value = user.messages(room, &format!("dir=f&limit=500{from}")).await;
        all.extend(messages(Events(&page["chunk"])));
        let Some(end) = page["end"].as_str() else { return all };
        from = format!("&from={}", encode(end));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_everything_that_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut kith = KithProcess::start(folder.path(), &[]).await;
    let server = ReachedServer::at(kith.address);
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room_with(&[&bob]).await;
    let since = bob.sync(None).await.next_batch;
    let mut follower = Follower { user: bob, room: room.clone(), since, events: Vec::new() };
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();

    for round in 0..ROUNDS {
        let sent = Sent::default();
        let sending: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let prefix = format!("round {round} sender {sender}");
                let task =
                    send_until_it_ends(alice.clone(), room.clone(), prefix, Arc::clone(&sent));
                tokio::spawn(task)
            })
            .collect();
        let moment = Duration::from_millis(random.random_range(20..300));
        let (_, ()) = tokio::join!(follower.follow(10_000), async {
            // Not a wait for something: the moment is what is tested.
            tokio::time::sleep(moment).await;
            kith.kill().await;
        });
        for task in sending {
            task.await.expect("a sender ends with the server");
        }

        kith = KithProcess::start(folder.path(), &[]).await;
        server.moved_to(kith.address);
        // A client repeats what was not answered, with the same transaction ID, and perhaps more.
        let sent = Arc::into_inner(sent).expect("all senders have ended").into_inner();
        for (transaction, before) in sent {
            let after = send(&alice, &room, &transaction).await.expect("the server answers");
            if let Some(before) = &before {
                assert_eq!(&after, before, "`{transaction}` was sent a second time");
            }
            acknowledged.insert(transaction, after);
        }
        follower.follow(0).await;

        let history = history(&alice, &room).await;
        let there: BTreeSet<&String> = history.iter().collect();
        assert_eq!(there.len(), history.len(), "an event stands twice in the history");
        let all: BTreeSet<&String> = acknowledged.values().collect();
        assert_eq!(all.len(), acknowledged.len(), "two transactions became one event");
        assert!(all.is_subset(&there), "lost: {:?}", all.difference(&there).collect::<Vec<_>>());
        assert!(
            there.is_subset(&all),
            "nobody sent: {:?}",
            there.difference(&all).collect::<Vec<_>>()
        );
        assert_eq!(follower.events, history, "the syncs told another story in round {round}");
    }
    assert!(acknowledged.len() > ROUNDS as usize, "the server was killed before it did anything");
}
