//! What gateways hear of which events.

use kith_spec_tests::{PushGateway, path};
use serde_json::{Value, json};

use super::{pusher, read, server, set_pusher};

#[tokio::test]
async fn a_message_is_pushed_with_all_that_a_gateway_needs() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({ "displayname": "Alice L" });
    alice.put(&path!("v3/profile/{}/displayname", alice.user_id), body).await.ok();
    let room = alice.create_room_with(&[&bob]).await;
    alice.set_state(&room, "m.room.name", "", json!({ "name": "Lab" })).await;
    let alias = format!("#lab:{}", server.name());
    alice.put(&path!("v3/directory/room/{}", alias), json!({ "room_id": room })).await.ok();
    alice.set_state(&room, "m.room.canonical_alias", "", json!({ "alias": alias })).await;
    set_pusher(&bob, &gateway).await;
    set_pusher(&alice, &gateway).await;
    let event = alice.send_text(&room, "hello").await;
    let push = gateway.next_event().await;
    assert_eq!(push["event_id"], event);
    assert_eq!(push["room_id"], room);
    assert_eq!((&push["type"], &push["sender"]), (&json!("m.room.message"), &alice.user_id.into()));
    assert_eq!(push["content"], json!({ "msgtype": "m.text", "body": "hello" }));
    assert_eq!(push["sender_display_name"], "Alice L");
    assert_eq!((&push["room_name"], &push["room_alias"]), (&json!("Lab"), &json!(alias)));
    assert_eq!((&push["prio"], &push["counts"]), (&json!("high"), &json!({ "unread": 1 })));
    let device = &push["devices"][0];
    assert_eq!((&device["app_id"], &device["pushkey"]), (&json!("test.kith.app"), &json!("bob")));
    assert_eq!(device["data"], json!({ "brand": "kith" }), "all but the URL");
    assert_eq!(device["tweaks"], json!({ "sound": "default" }), "a room of two");
    let seconds = device["pushkey_ts"].as_u64().expect("a time");
    assert!((1_600_000_000..100_000_000_000).contains(&seconds), "in seconds: {seconds}");
    assert!(gateway.rest().is_empty(), "nobody is told of what they sent themselves");
}

#[tokio::test]
async fn event_id_only_says_no_more_than_that() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let mut body = pusher(&gateway.url(), "bob");
    body["data"]["format"] = "event_id_only".into();
    bob.post("v3/pushers/set", body).await.ok();
    let event = alice.send_text(&room, "a secret").await;
    let push = gateway.next_event().await;
    assert_eq!((&push["event_id"], &push["room_id"]), (&json!(event), &json!(room)));
    assert_eq!(push["counts"], json!({ "unread": 1 }));
    let data = json!({ "brand": "kith", "format": "event_id_only" });
    assert_eq!(push["devices"][0]["data"], data);
    for field in ["type", "sender", "content", "sender_display_name", "room_name", "room_alias"] {
        assert_eq!(push[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn an_invitation_is_pushed_to_whom_it_invites() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    set_pusher(&bob, &gateway).await;
    let room = alice.create_room().await;
    alice.invite(&room, &bob).await;
    let push = gateway.next_event().await;
    assert_eq!((&push["type"], &push["room_id"]), (&json!("m.room.member"), &json!(room)));
    assert_eq!(
        (&push["content"]["membership"], &push["user_is_target"]),
        (&json!("invite"), &json!(true))
    );
    assert_eq!((&push["prio"], &push["counts"]["unread"]), (&json!("high"), &json!(1)));
    assert_eq!(push["devices"][0]["tweaks"]["sound"], "default");
}

#[tokio::test]
async fn mentions_are_loud_and_encrypted_messages_are_urgent() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = alice.create_room_with(&[&bob, &carol]).await;
    set_pusher(&bob, &gateway).await;
    alice.send_text(&room, "for all").await;
    let plain = gateway.next_event().await;
    assert_eq!((&plain["prio"], &plain["devices"][0]["tweaks"]), (&json!("low"), &Value::Null));
    let mention = json!({
        "msgtype": "m.text", "body": "bob?", "m.mentions": { "user_ids": [bob.user_id] },
    });
    alice.send(&room, "m.room.message", mention).await;
    let push = gateway.next_event().await;
    let tweaks = json!({ "sound": "default", "highlight": true });
    assert_eq!((&push["prio"], &push["devices"][0]["tweaks"]), (&json!("high"), &tweaks));
    let ciphertext = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AAAA" });
    alice.send(&room, "m.room.encrypted", ciphertext.clone()).await;
    let push = gateway.next_event().await;
    assert_eq!((&push["type"], &push["content"]), (&json!("m.room.encrypted"), &ciphertext));
    assert_eq!((&push["prio"], &push["counts"]["unread"]), (&json!("high"), &json!(3)));
    // @room counts for those who may say it.
    let everybody = json!({ "msgtype": "m.text", "body": "@room", "m.mentions": { "room": true } });
    carol.send(&room, "m.room.message", everybody.clone()).await;
    assert_eq!(gateway.next_event().await["devices"][0]["tweaks"], Value::Null);
    alice.send(&room, "m.room.message", everybody).await;
    assert_eq!(gateway.next_event().await["devices"][0]["tweaks"], json!({ "highlight": true }));
}

#[tokio::test]
async fn what_is_silent_is_not_pushed() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let eve = server.register("eve").await;
    let room = alice.create_room_with(&[&bob, &eve]).await;
    let muted = alice.create_room_with(&[&bob]).await;
    let unjoined = alice.create_room_with(&[&eve]).await;
    bob.put(&path!("v3/pushrules/global/room/{}", muted), json!({ "actions": [] })).await.ok();
    let ignored = json!({ "ignored_users": { eve.user_id.as_str(): {} } });
    let path = path!("v3/user/{}/account_data/m.ignored_user_list", bob.user_id);
    bob.put(&path, ignored).await.ok();
    set_pusher(&bob, &gateway).await;
    alice.send_text(&muted, "muted").await;
    eve.send_text(&room, "ignored").await;
    alice.send_text(&unjoined, "not for bob").await;
    eve.create_room_with(&[]).await;
    let into = eve.create_room().await;
    eve.invite(&into, &bob).await;
    alice.send(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "beep" })).await;
    bob.send_text(&room, "his own").await;
    let target = alice.send_text(&room, "loud").await;
    assert_eq!(gateway.next_event().await["event_id"], target);
    let reaction = json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": target, "key": "+1" },
    });
    alice.send(&room, "m.reaction", reaction).await;
    let edit = json!({
        "msgtype": "m.text", "body": "* louder", "m.new_content": { "body": "louder" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": target },
    });
    alice.send(&room, "m.room.message", edit).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "noise" })).await;
    let last = alice.send_text(&room, "last").await;
    assert_eq!(gateway.next_event().await["event_id"], last);
    // A rule of one's own, with a sound of its own.
    let sound = json!({ "set_tweak": "sound", "value": "cake.wav" });
    let blink = json!({ "set_tweak": "org.example.blink", "value": { "times": 3 } });
    let rule = json!({ "pattern": "cake", "actions": ["notify", sound, blink] });
    bob.put("v3/pushrules/global/content/cake", rule).await.ok();
    alice.send_text(&room, "Cake!").await;
    let tweaks = gateway.next_event().await["devices"][0]["tweaks"].clone();
    assert_eq!(tweaks, json!({ "sound": "cake.wav", "org.example.blink": { "times": 3 } }));
}

#[tokio::test]
async fn every_pusher_of_a_user_hears() {
    let server = server().await;
    let mut gateways = [PushGateway::start().await, PushGateway::start().await];
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    for (n, gateway) in gateways.iter().enumerate() {
        bob.post("v3/pushers/set", pusher(&gateway.url(), &n.to_string())).await.ok();
    }
    let event = alice.send_text(&room, "hello").await;
    for gateway in &mut gateways {
        assert_eq!(gateway.next_event().await["event_id"], event);
    }
}

#[tokio::test]
async fn a_pusher_hears_nothing_of_what_was_before_it() {
    let server = server().await;
    let mut gateway = PushGateway::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let before = alice.send_text(&room, "before").await;
    set_pusher(&bob, &gateway).await;
    let after = alice.send_text(&room, "after").await;
    let push = gateway.next_event().await;
    assert_eq!((&push["event_id"], &push["counts"]["unread"]), (&json!(after), &json!(2)));
    read(&bob, &room, &before, json!({})).await;
    assert_eq!(gateway.next().await["counts"]["unread"], 1);
}
