//! What an answer costs: nothing that grows with what did not change.

use kith_spec_tests::{TestServer, TestUser};
use serde_json::json;

/// How often the database is read while this happens.
async fn reads<T>(server: &TestServer, what: impl Future<Output = T>) -> (u64, T) {
    let before = server.app().store.reads();
    let result = what.await;
    (server.app().store.reads() - before, result)
}

async fn rooms(user: &TestUser, count: usize) -> Vec<String> {
    let mut rooms = Vec::new();
    for _ in 0..count {
        rooms.push(user.create_room().await);
    }
    rooms
}

/// All extensions, as Element X asks for them.
fn extensions() -> serde_json::Value {
    let on = json!({ "enabled": true });
    json!({
        "account_data": on, "receipts": on, "typing": on, "to_device": on, "e2ee": on,
        "io.element.msc4308.thread_subscriptions": on,
    })
}

/// Where nothing happened, neither kind of sync reads the disk.
#[tokio::test]
async fn an_idle_sync_reads_no_disk() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    rooms(&alice, 5).await;
    let mut connection = alice.sliding_list(1, json!([["*", "*"]]));
    connection.body["room_subscriptions"] =
        json!({ "!nowhere:kith.test": { "timeline_limit": 1 } });
    connection.body["extensions"] = extensions();
    connection.next().await;
    connection.next().await;
    for _ in 0..3 {
        let (read, slide) = reads(&server, connection.next()).await;
        assert_eq!(read, 0, "sliding sync");
        assert_eq!(slide.rooms(), 0);
    }
    let since = alice.sync(None).await.next_batch;
    let since = alice.sync(Some(since)).await.next_batch;
    let (read, _) = reads(&server, alice.sync(Some(since))).await;
    assert_eq!(read, 0, "/sync");
}

/// News of one room are read as often for a user of many rooms as for one of few.
#[tokio::test]
async fn what_is_read_for_one_event_does_not_grow_with_the_rooms() {
    let server = TestServer::start().await;
    let mut costs = Vec::new();
    for (name, count) in [("few", 3), ("many", 60)] {
        let user = server.register(name).await;
        let rooms = rooms(&user, count).await;
        let mut connection = user.sliding_list(1, json!([["m.room.name", ""]]));
        connection.body["extensions"] = extensions();
        connection.next().await;
        connection.next().await;
        let mut since = user.sync(None).await.next_batch;
        let mut cost = (0, 0);
        for _ in 0..2 {
            let event_id = user.send_text(&rooms[0], "news").await;
            let (read, slide) = reads(&server, connection.next()).await;
            assert_eq!(slide.timeline(&rooms[0]).event_ids(), [event_id.as_str()]);
            let (read_v3, sync) = reads(&server, user.sync(Some(since))).await;
            assert_eq!(sync.timeline(&rooms[0]).event_ids(), [event_id.as_str()]);
            since = sync.next_batch;
            cost = (read, read_v3);
        }
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1], "sliding sync and /sync with few rooms and with many");
    assert_eq!(costs[0], (0, 0), "everything about a new event is in memory");
}
