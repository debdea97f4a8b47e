//! What devices rely on when the server is killed: a one-time key is given out once, and a message to
//! a device arrives.

use std::collections::BTreeSet;

use kith_spec_tests::DeviceKeys;

use super::*;

/// As many as clients upload at most.
const KEYS: usize = 100;
const CLAIMERS: usize = 4;

/// The key's ID; `None` when the server went away.
async fn claim(from: &TestUser, device: &TestUser) -> Option<String> {
    let asked = json!({ &device.user_id: { &device.device_id: "signed_curve25519" } });
    let answer = from.try_post("v3/keys/claim", &json!({ "one_time_keys": asked })).await?;
    assert_eq!(answer.status, 200, "{answer}");
    let keys = answer["one_time_keys"][&device.user_id][&device.device_id].as_object();
    Some(keys.and_then(|keys| keys.keys().next()).expect("there is the fallback key").clone())
}

/// The IDs of the one-time keys that it got.
async fn claim_until_it_ends(from: TestUser, device: TestUser) -> Vec<String> {
    let mut claimed = Vec::new();
    while let Some(id) = claim(&from, &device).await {
        if id == "signed_curve25519:F" {
            break;
        }
        claimed.push(id);
    }
    claimed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_gives_no_one_time_key_out_twice() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut kith = KithProcess::start(folder.path(), &[]).await;
    let server = ReachedServer::at(kith.address);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = DeviceKeys::generate(&alice);
    let fallback = json!({ "signed_curve25519:F": keys.fallback_key() });
    alice.post("v3/keys/upload", json!({ "fallback_keys": fallback })).await.ok();
    let mut all = BTreeSet::new();
    let mut count = 0;

    for round in 0..10 {
        let uploaded = keys.one_time_keys(&format!("{round}-"), KEYS);
        alice.post("v3/keys/upload", json!({ "one_time_keys": uploaded })).await.ok();
        let claiming: Vec<_> = (0..CLAIMERS)
            .map(|_| tokio::spawn(claim_until_it_ends(bob.clone(), alice.clone())))
            .collect();
        // Not a wait for something: the moment is what is tested.
        tokio::time::sleep(Duration::from_millis(random.random_range(10..200))).await;
        kith.kill().await;
        for task in claiming {
            for id in task.await.expect("a claimer ends with the server") {
                count += 1;
                assert!(all.insert(id.clone()), "{id} was given out twice");
            }
        }
        kith = KithProcess::start(folder.path(), &[]).await;
        server.moved_to(kith.address);
        // A client that did not hear what became of its upload repeats it.
        alice.post("v3/keys/upload", json!({ "one_time_keys": uploaded })).await.ok();
        let sync = alice.sync(None).await;
        let left = sync.json["device_one_time_keys_count"]["signed_curve25519"].as_u64();
        assert!(left.is_some_and(|left| left as usize + count <= (round + 1) * KEYS), "{left:?}");
    }
    for id in claim_until_it_ends(bob.clone(), alice.clone()).await {
        assert!(all.insert(id.clone()), "{id} was given out twice");
    }
    assert!(count > 50, "the server was killed before it did anything: {count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_delivers_every_message_that_it_took() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut kith = KithProcess::start(folder.path(), &[]).await;
    let server = ReachedServer::at(kith.address);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut since = bob.sync(None).await.next_batch;
    let (mut sent, mut received) = (0_u64, Vec::new());
    for _ in 0..10 {
        let end = tokio::time::Instant::now() + Duration::from_millis(random.random_range(20..200));
        let killed = async {
            tokio::time::sleep_until(end).await;
            kith.kill().await;
        };
        let sending = async {
            while send_message(&alice, &bob, sent).await {
                sent += 1;
            }
        };
        let receiving = async {
            while let Some((next, new)) = receive(&bob, &since, 10_000).await {
                since = next;
                received.extend(new);
            }
        };
        tokio::join!(killed, sending, receiving);
        kith = KithProcess::start(folder.path(), &[]).await;
        server.moved_to(kith.address);
        // What was not answered is repeated with the same transaction ID.
        assert!(send_message(&alice, &bob, sent).await);
        sent += 1;
        while received.len() < sent as usize {
            let (next, new) = receive(&bob, &since, 10_000).await.expect("the server answers");
            assert!(!new.is_empty(), "{} of {sent} messages arrived", received.len());
            since = next;
            received.extend(new);
        }
        assert_eq!(received, (0..sent).collect::<Vec<_>>());
    }
    assert!(sent > 20, "the server was killed before it did anything: {sent}");
}

/// The number is the transaction ID. `false` when the server went away.
async fn send_message(from: &TestUser, to: &TestUser, n: u64) -> bool {
    let path = path!("v3/sendToDevice/m.test/{}", n.to_string());
    let messages = json!({ &to.user_id: { &to.device_id: { "n": n } } });
    let answer = from.try_put(&path, &json!({ "messages": messages })).await;
    answer.is_some_and(|answer| {
        assert_eq!(answer.status, 200, "{answer}");
        true
    })
}

async fn receive(user: &TestUser, since: &str, wait_ms: u32) -> Option<(String, Vec<u64>)> {
    let since = encode(since);
    let path = format!("v3/sync?since={since}&timeout={wait_ms}&set_presence=offline");
    let answer = user.try_get(&path).await?;
    let events = Events(&answer["to_device"]["events"]);
    let numbers = events.iter().map(|event| event["content"]["n"].as_u64().expect("a number"));
    Some((answer.text_at("next_batch"), numbers.collect()))
}
