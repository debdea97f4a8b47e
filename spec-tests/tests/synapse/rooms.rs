//! Who is in a room, what they may do there, and how rooms follow one another.

use serde_json::json;

use crate::*;

#[tokio::test]
async fn invites_are_taken_and_declined() {
    let both = Both::start().await;
    for version in VERSIONS {
        for (host, guest) in [(&both.alice, &both.bob), (&both.bob, &both.alice)] {
            let body = json!({
                "preset": "private_chat", "room_version": version, "name": "Just us",
                "is_direct": true, "invite": [guest.user_id],
            });
            let room = host.create_room_from(body).await;
            let invited =
                until(&format!("the invite of {} in {version}", guest.user_id), async || {
                    let sync = guest.syncing(None).get().await;
                    let invited = sync.invited(&room).clone();
                    (!invited.is_null()).then_some(invited)
                })
                .await;
            let stripped = &invited["invite_state"]["events"];
            let name = stripped.as_array().unwrap().iter().find(|e| e["type"] == "m.room.name");
            assert_eq!(name.expect("the name")["content"]["name"], "Just us");
            guest.join(&room).await;
            sees_membership(host, &room, guest, "join").await;
            let hello = guest.send_text(&room, "hello").await;
            sees(host, &room, &hello).await;
            guest.leave(&room).await;
            sees_membership(host, &room, guest, "leave").await;

            let body = json!({ "preset": "private_chat", "room_version": version,
                "invite": [guest.user_id] });
            let room = host.create_room_from(body).await;
            until(&format!("the second invite of {} in {version}", guest.user_id), async || {
                let sync = guest.syncing(None).get().await;
                (!sync.invited(&room).is_null()).then_some(())
            })
            .await;
            guest.leave(&room).await;
            sees_membership(host, &room, guest, "leave").await;
        }
    }
}

#[tokio::test]
async fn kicks_bans_and_power_levels_hold_on_both_sides() {
    let both = Both::start().await;
    for version in VERSIONS {
        for (host, guest, server) in [
            (&both.alice, &both.bob, both.kith.name()),
            (&both.bob, &both.alice, both.synapse.name()),
        ] {
            let room = public_room(host, version).await;
            join_through(guest, &room, server).await;
            sees_membership(host, &room, guest, "join").await;
            let mut levels = host.state(&room, "m.room.power_levels", "").await;
            levels["users"][&guest.user_id] = json!(50);
            host.set_state(&room, "m.room.power_levels", "", levels).await;
            until("the guest may name the room", async || {
                let path = path!("v3/rooms/{}/state/m.room.name/", room);
                let named = guest.put(&path, json!({ "name": "Named by a guest" })).await;
                (named.status == 200).then_some(())
            })
            .await;
            until("the name", async || {
                let path = path!("v3/rooms/{}/state/m.room.name/", room);
                (host.get(&path).await["name"] == "Named by a guest").then_some(())
            })
            .await;
            host.kick(&room, guest).await;
            is_told(guest, &room, "leave").await;
            join_through(guest, &room, server).await;
            sees_membership(host, &room, guest, "join").await;
            host.ban(&room, guest).await;
            is_told(guest, &room, "ban").await;
            let path = format!("{}?server_name={server}&via={server}", path!("v3/join/{}", room));
            assert_eq!(guest.post(&path, json!({})).await.status, 403);
            host.unban(&room, guest).await;
            join_through(guest, &room, server).await;
            sees_membership(host, &room, guest, "join").await;
            same_state(host, guest, &room).await;
        }
    }
}

#[tokio::test]
async fn knocks_are_let_in() {
    let both = Both::start().await;
    for version in VERSIONS {
        for (host, guest, server) in [
            (&both.alice, &both.bob, both.kith.name()),
            (&both.bob, &both.alice, both.synapse.name()),
        ] {
            let body = json!({
                "preset": "private_chat", "room_version": version,
                "initial_state": [{ "type": "m.room.join_rules", "state_key": "",
                    "content": { "join_rule": "knock" } }],
            });
            let room = host.create_room_from(body).await;
            let path = format!("{}?server_name={server}&via={server}", path!("v3/knock/{}", room));
            guest.post(&path, json!({ "reason": "let me in" })).await.ok();
            sees_membership(host, &room, guest, "knock").await;
            host.invite(&room, guest).await;
            until(&format!("the invite of {} in {version}", guest.user_id), async || {
                (!guest.syncing(None).get().await.invited(&room).is_null()).then_some(())
            })
            .await;
            guest.join(&room).await;
            sees_membership(host, &room, guest, "join").await;
        }
    }
}

/// Members of a space enter its restricted room, through a server whose users may let them in.
#[tokio::test]
async fn members_of_a_space_enter_its_restricted_room() {
    let both = Both::start().await;
    for version in VERSIONS {
        for (host, guest, server) in [
            (&both.alice, &both.bob, both.kith.name()),
            (&both.bob, &both.alice, both.synapse.name()),
        ] {
            let body = json!({ "preset": "public_chat", "room_version": version,
                "name": "The space", "creation_content": { "type": "m.space" } });
            let space = host.create_room_from(body).await;
            let body = json!({
                "preset": "private_chat", "room_version": version, "name": "The room",
                "initial_state": [{ "type": "m.room.join_rules", "state_key": "", "content": {
                    "join_rule": "restricted",
                    "allow": [{ "type": "m.room_membership", "room_id": space }],
                } }],
            });
            let room = host.create_room_from(body).await;
            host.set_state(&space, "m.space.child", &room, json!({ "via": [server] })).await;
            let join = format!("{}?server_name={server}&via={server}", path!("v3/join/{}", room));
            assert_eq!(guest.post(&join, json!({})).await.status, 403, "not yet in the space");
            join_through(guest, &space, server).await;
            sees_membership(host, &space, guest, "join").await;
            let hierarchy = until("the space's room", async || {
                let answer = guest.get(&path!("v1/rooms/{}/hierarchy", space)).await;
                let rooms = answer["rooms"].as_array()?.clone();
                rooms.iter().any(|found| found["room_id"] == room.as_str()).then_some(rooms)
            })
            .await;
            assert_eq!(hierarchy.len(), 2, "{hierarchy:?}");
            guest.post(&join, json!({})).await.ok();
            sees_membership(host, &room, guest, "join").await;
            let hello = guest.send_text(&room, "hello").await;
            sees(host, &room, &hello).await;
        }
    }
}

#[tokio::test]
async fn rooms_are_found_by_alias_and_in_the_directory_and_upgraded() {
    let both = Both::start().await;
    for (host, guest, server) in
        [(&both.alice, &both.bob, both.kith.name()), (&both.bob, &both.alice, both.synapse.name())]
    {
        let name = format!("Town square of {}", host.localpart());
        let local = format!("square-{}", host.localpart());
        let body = json!({ "preset": "public_chat", "room_version": "10", "name": name,
            "visibility": "public", "room_alias_name": local });
        let room = host.create_room_from(body).await;
        let alias = format!("#{local}:{server}");
        let found = guest.get(&path!("v3/directory/room/{}", alias)).await.ok();
        assert_eq!(found["room_id"], room.as_str());
        // Synapse lists rooms by statistics that it counts in its own time.
        until(&format!("{name} in the directory"), async || {
            let listed = guest.get(&format!("v3/publicRooms?server={server}")).await.ok();
            let rooms = listed["chunk"].as_array()?.clone();
            let listed = rooms.iter().find(|listed| listed["room_id"] == room.as_str())?;
            (listed["name"] == name.as_str()).then_some(())
        })
        .await;
        guest.post(&path!("v3/join/{}", alias), json!({})).await.ok();
        sees_membership(host, &room, guest, "join").await;

        let upgraded = host
            .post(&path!("v3/rooms/{}/upgrade", room), json!({ "new_version": "12" }))
            .await
            .ok();
        let replacement = upgraded["replacement_room"].as_str().unwrap().to_owned();
        until("the tombstone", async || {
            let path = path!("v3/rooms/{}/state/m.room.tombstone/", room);
            let tombstone = guest.get(&path).await;
            (tombstone["replacement_room"] == replacement.as_str()).then_some(())
        })
        .await;
        join_through(guest, &replacement, server).await;
        sees_membership(host, &replacement, guest, "join").await;
        let hello = guest.send_text(&replacement, "the new place").await;
        sees(host, &replacement, &hello).await;
    }
}

/// Waits until a user's own sync says that they are out of a room, and how.
async fn is_told(user: &TestUser, room: &str, membership: &str) {
    until(&format!("{membership} of {}", user.user_id), async || {
        let filter = r#"{"room":{"include_leave":true}}"#;
        let sync = user.syncing(None).filter(filter).get().await;
        let left = sync.left(room);
        let told = ["timeline", "state"].iter().any(|part| {
            let events = left[part]["events"].as_array().into_iter().flatten();
            events.into_iter().any(|event| {
                event["state_key"] == user.user_id.as_str()
                    && event["content"]["membership"] == membership
            })
        });
        told.then_some(())
    })
    .await;
}
