//! Messages and what is done with them, people and what they do.

use serde_json::json;

use crate::*;

/// Twenty users on each side, in one room of each version, made on either side.
#[tokio::test]
async fn forty_people_on_two_servers_chat_both_ways() {
    let both = Both::start().await;
    let mut kith_users = vec![both.alice.clone()];
    let mut synapse_users = vec![both.bob.clone()];
    for n in 1..20 {
        kith_users.push(both.kith.register(&format!("a{n}")).await);
        synapse_users.push(both.synapse.register(&format!("b{n}")).await);
    }
    for version in VERSIONS {
        let room = match version {
            "11" => both.room_of_bob(version).await,
            _ => both.room_of_alice(version).await,
        };
        for user in &kith_users[1..] {
            join_through(user, &room, both.kith.name()).await;
        }
        // A Synapse that is busy may not know for a moment that it is in the room: then it asks Kith.
        for user in &synapse_users[1..] {
            join_through(user, &room, both.kith.name()).await;
        }
        for (kith_user, synapse_user) in kith_users.iter().zip(&synapse_users) {
            sees_membership(&both.bob, &room, kith_user, "join").await;
            sees_membership(&both.alice, &room, synapse_user, "join").await;
        }
        let mut sent = Vec::new();
        for (n, (kith_user, synapse_user)) in kith_users.iter().zip(&synapse_users).enumerate() {
            sent.push(kith_user.send_text(&room, &format!("{version}: from Kith {n}")).await);
            sent.push(synapse_user.send_text(&room, &format!("{version}: from Synapse {n}")).await);
        }
        for event_id in &sent {
            let (on_kith, on_synapse) =
                (sees(&both.alice, &room, event_id).await, sees(&both.bob, &room, event_id).await);
            for field in ["content", "sender", "type", "origin_server_ts", "room_id"] {
                assert_eq!(on_kith[field], on_synapse[field], "{field} of {event_id}");
            }
        }
        same_state(&both.alice, &both.bob, &room).await;
    }
}

#[tokio::test]
async fn edits_reactions_and_redactions_cross() {
    let both = Both::start().await;
    for version in VERSIONS {
        let room = both.room_of_alice(version).await;
        for (from, to) in [(&both.alice, &both.bob), (&both.bob, &both.alice)] {
            let message = from.send_text(&room, "frist").await;
            sees(to, &room, &message).await;
            let edit = json!({
                "msgtype": "m.text", "body": "* first",
                "m.new_content": { "msgtype": "m.text", "body": "first" },
                "m.relates_to": { "rel_type": "m.replace", "event_id": message },
            });
            let edit = from.send(&room, "m.room.message", edit).await;
            sees(to, &room, &edit).await;
            let reaction = json!({ "m.relates_to": {
                "rel_type": "m.annotation", "event_id": message, "key": "👍"
            } });
            let reaction = to.send(&room, "m.reaction", reaction).await;
            sees(from, &room, &reaction).await;
            let related = path!("v1/rooms/{}/relations/{}", room, message);
            for user in [from, to] {
                let found = until("two relations", async || {
                    let found = user.get(&related).await.ok();
                    (found["chunk"].as_array()?.len() == 2).then_some(found)
                });
                let found = found.await;
                let ids: Vec<_> = found["chunk"].as_array().unwrap().iter().collect();
                assert!(ids.iter().any(|event| event["event_id"] == edit.as_str()), "{ids:?}");
                assert!(ids.iter().any(|event| event["event_id"] == reaction.as_str()), "{ids:?}");
            }
            let redact = path!("v3/rooms/{}/redact/{}/{}", room, reaction, to.new_transaction());
            to.put(&redact, json!({ "reason": "no" })).await.ok();
            until("the reaction is gone", async || {
                let event = sees(from, &room, &reaction).await;
                event["content"].as_object()?.is_empty().then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn typing_receipts_presence_and_profiles_cross() {
    let both = Both::start().await;
    let room = both.room_of_alice("11").await;
    for (from, to) in [(&both.alice, &both.bob), (&both.bob, &both.alice)] {
        let message = to.send_text(&room, "read this").await;
        sees(from, &room, &message).await;
        let since = to.syncing(None).get().await.next_batch;

        from.post(&path!("v3/rooms/{}/receipt/m.read/{}", room, message), json!({})).await.ok();
        from.put(
            &path!("v3/rooms/{}/typing/{}", room, from.user_id),
            json!({
                "typing": true, "timeout": 30_000
            }),
        )
        .await
        .ok();
        until(&format!("{} types", from.user_id), async || {
            let sync = to.syncing(Some(since.clone())).get().await;
            let typing = sync.ephemeral(&room).last("m.typing")?.clone();
            typing["content"]["user_ids"].as_array()?.contains(&json!(from.user_id)).then_some(())
        })
        .await;
        until(&format!("{} has read it", from.user_id), async || {
            let sync = to.syncing(Some(since.clone())).get().await;
            let receipt = sync.ephemeral(&room).last("m.receipt")?.clone();
            receipt["content"][&message]["m.read"].get(&from.user_id).map(|_| ())
        })
        .await;

        from.put(
            &path!("v3/presence/{}/status", from.user_id),
            json!({
                "presence": "online", "status_msg": "at the desk"
            }),
        )
        .await
        .ok();
        until(&format!("{} is at the desk", from.user_id), async || {
            let seen = to.get(&path!("v3/presence/{}/status", from.user_id)).await;
            (seen["status_msg"] == "at the desk").then_some(())
        })
        .await;

        let name = format!("{} of the north", from.localpart());
        from.put(&path!("v3/profile/{}/displayname", from.user_id), json!({ "displayname": name }))
            .await
            .ok();
        until(&format!("{name} has a new name in the room"), async || {
            let member = to.state(&room, "m.room.member", &from.user_id).await;
            (member["displayname"] == name.as_str()).then_some(())
        })
        .await;
        let profile = to.get(&path!("v3/profile/{}", from.user_id)).await.ok();
        assert_eq!(profile["displayname"], name.as_str());
    }
}
