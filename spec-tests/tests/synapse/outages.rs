//! One server is away for a while, or both are and go on by themselves.

use serde_json::json;

use crate::*;

#[tokio::test]
async fn synapse_catches_up_after_an_outage() {
    let mut both = Both::start().await;
    let mut rooms = Vec::new();
    for version in VERSIONS {
        let room = both.room_of_alice(version).await;
        let hello = both.bob.send_text(&room, "hello").await;
        sees(&both.alice, &room, &hello).await;
        rooms.push(room);
    }
    both.synapse.stop().await;
    let mut last = Vec::new();
    for room in &rooms {
        for n in 0..120 {
            both.alice.send_text(room, &format!("while you were away {n}")).await;
        }
        both.alice.set_state(room, "m.room.name", "", json!({ "name": "Renamed" })).await;
        last.push(both.alice.send_text(room, "the last").await);
    }
    both.synapse.start_again().await;
    for (room, event_id) in rooms.iter().zip(&last) {
        // What Bob says wakes the queue.
        both.bob.send_text(room, "I am back").await;
        sees(&both.bob, room, event_id).await;
        same_state(&both.alice, &both.bob, room).await;
        let bodies = both.bob.history(room).await;
        for n in 0..120 {
            let body = format!("while you were away {n}");
            assert!(bodies.contains(&body), "{body} is missing of {}", bodies.len());
        }
    }
}

#[tokio::test]
async fn kith_catches_up_after_an_outage() {
    let mut both = Both::start_durable().await;
    let mut rooms = Vec::new();
    for version in VERSIONS {
        let room = both.room_of_bob(version).await;
        let hello = both.alice.send_text(&room, "hello").await;
        sees(&both.bob, &room, &hello).await;
        rooms.push(room);
    }
    both.kith.stop().await;
    let mut last = Vec::new();
    for room in &rooms {
        for n in 0..120 {
            both.bob.send_text(room, &format!("while you were away {n}")).await;
        }
        both.bob.set_state(room, "m.room.topic", "", json!({ "topic": "Renamed" })).await;
        last.push(both.bob.send_text(room, "the last").await);
    }
    both.kith.restart().await;
    for (room, event_id) in rooms.iter().zip(&last) {
        // Synapse tries again by itself; a message wakes it.
        both.alice.send_text(room, "I am back").await;
        sees(&both.alice, room, event_id).await;
        let bodies = both.alice.history(room).await;
        for n in 0..120 {
            let body = format!("while you were away {n}");
            assert!(bodies.contains(&body), "{body} is missing of {}", bodies.len());
        }
        same_state(&both.alice, &both.bob, room).await;
    }
}

/// Kith cannot be reached and cannot reach anybody, both sides write, and afterwards they agree.
#[tokio::test]
async fn after_a_split_in_which_both_wrote_the_state_is_the_same() {
    let mut both = Both::start_durable().await;
    for version in VERSIONS {
        let room = both.room_of_alice(version).await;
        let mut levels = both.alice.state(&room, "m.room.power_levels", "").await;
        levels["users"][&both.bob.user_id] = json!(99);
        levels["events"]["m.room.power_levels"] = json!(99);
        both.alice.set_state(&room, "m.room.power_levels", "", levels.clone()).await;
        until("Bob has power", async || {
            let seen = both.bob.state(&room, "m.room.power_levels", "").await;
            (seen["users"][&both.bob.user_id] == 99).then_some(())
        })
        .await;
        let carol = both.kith.register(&format!("carol{version}")).await;
        join_through(&carol, &room, both.kith.name()).await;
        sees_membership(&both.bob, &room, &carol, "join").await;

        // Kith writes while Synapse is away ...
        both.synapse.stop().await;
        both.alice.set_state(&room, "m.room.name", "", json!({ "name": "Alice's" })).await;
        both.alice.set_state(&room, "m.room.topic", "", json!({ "topic": "Alice's" })).await;
        both.alice.send_text(&room, "Alice alone").await;
        carol.send_text(&room, "Carol alone").await;
        levels["events_default"] = json!(1);
        levels["users"][&carol.user_id] = json!(7);
        both.alice.set_state(&room, "m.room.power_levels", "", levels.clone()).await;
        // ... and Synapse while Kith is.
        both.kith.stop().await;
        both.synapse.start_again().await;
        both.bob.set_state(&room, "m.room.name", "", json!({ "name": "Bob's" })).await;
        both.bob.set_state(&room, "m.room.avatar", "", json!({ "url": "mxc://x/y" })).await;
        both.bob.send_text(&room, "Bob alone").await;
        both.bob.kick(&room, &carol).await;
        both.kith.restart().await;

        let end = both.alice.send_text(&room, "together again").await;
        sees(&both.bob, &room, &end).await;
        let end = both.bob.send_text(&room, "indeed").await;
        sees(&both.alice, &room, &end).await;
        same_state(&both.alice, &both.bob, &room).await;
        for user in [&both.alice, &both.bob] {
            let bodies = user.history(&room).await;
            for body in ["Alice alone", "Bob alone", "together again", "indeed"] {
                assert!(bodies.iter().any(|b| b == body), "{body} for {}", user.user_id);
            }
        }
    }
}
