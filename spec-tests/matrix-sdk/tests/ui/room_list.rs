//! The list of rooms: `RoomListService`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use eyeball_im::Vector;
use futures_util::{StreamExt, stream};
use kith_spec_tests::{Passed, TestServer};
use matrix_sdk::{
    RoomState,
    ruma::{
        OwnedEventId, api::client::receipt::create_receipt::v3::ReceiptType,
        events::receipt::ReceiptThread,
    },
};
use matrix_sdk_ui::room_list_service::{RoomListItem, RoomListLoadingState};
use serde_json::{Value, json};

use super::app::{App, Shown};
use crate::person::eventually;

const ROOMS: usize = 500;
/// So many of them are made one after the other: their order is known.
const NEWEST: usize = 20;

#[tokio::test]
async fn an_account_in_500_rooms_loads_them_all_and_follows_what_happens() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let create = |number: usize| {
        let body = json!({ "preset": "public_chat", "name": format!("Room {number}") });
        alice.create_room_from(body)
    };
    let mut created: Vec<String> =
        stream::iter(0..ROOMS - NEWEST).map(create).buffered(4).collect().await;
    for number in ROOMS - NEWEST..ROOMS {
        created.push(create(number).await);
    }
    for room in [3, 250] {
        bob.join(&created[room]).await;
    }

    let app = App::start(&proxy.url(), &alice).await?;
    let list = app.service.room_list_service().all_rooms().await?;
    let mut shown = Shown::rooms(&list);
    shown.until("all rooms", |rooms| rooms.len() == ROOMS).await?;
    // Joins do not move a room.
    let newest: Vec<&str> = created.iter().rev().take(NEWEST).map(String::as_str).collect();
    shown.until("the newest first", |rooms| ids(rooms)[..NEWEST] == newest).await?;
    let all: BTreeSet<&str> = ids(&shown.items).into_iter().collect();
    ensure!(all == created.iter().map(String::as_str).collect());
    ensure!(shown.items[0].name().as_deref() == Some("Room 499"));
    let loading = list.loading_state().get();
    let loaded = RoomListLoadingState::Loaded { maximum_number_of_rooms: Some(500) };
    ensure!(loading == loaded, "{loading:?}");

    let event_id = bob.send_text(&created[3], "hello").await;
    shown.until("the room of a message is the first", |rooms| first(rooms) == created[3]).await?;
    bob.send_text(&created[250], "hello").await;
    shown.until("the next too", |rooms| first(rooms) == created[250]).await?;
    shown.until("the other is second", |rooms| rooms[1].room_id() == created[3].as_str()).await?;
    ensure!(shown.items.len() == ROOMS);
    let room = app.room(&created[3]).await?;
    eventually("an unread message", async || {
        let server = room.unread_notification_counts();
        Ok((room.num_unread_messages() == 1 && server.notification_count == 1).then_some(()))
    })
    .await?;
    room.send_single_receipt(ReceiptType::Read, ReceiptThread::Unthreaded, event_id.try_into()?)
        .await?;
    eventually("no unread messages", async || {
        let server = room.unread_notification_counts();
        Ok((room.num_unread_messages() == 0 && server.notification_count == 0).then_some(()))
    })
    .await?;
    alice.set_state(&created[7], "m.room.name", "", json!({ "name": "Lucky" })).await;
    shown
        .until("a new name", |rooms| {
            let room = rooms.iter().find(|room| room.room_id() == created[7].as_str());
            room.is_some_and(|room| room.name().as_deref() == Some("Lucky"))
        })
        .await?;

    // It came in steps, as apps have it.
    let ranges: Vec<u64> = requests(&proxy.passed(), "room-list").map(range_end).collect();
    let mut steps = ranges.clone();
    steps.dedup();
    ensure!(steps == [19, 99, 199, 299, 399, 499], "{ranges:?}");
    Ok(())
}

#[tokio::test]
async fn invitations_are_seen_and_accepted_and_a_room_that_one_must_leave_is_gone() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let known = bob.create_room_with(&[&alice]).await;
    let app = App::start(&proxy.url(), &alice).await?;
    let list = app.service.room_list_service().all_rooms().await?;
    let mut shown = Shown::rooms(&list);
    shown.until("the room", |rooms| ids(rooms) == [&known]).await?;

    let new = bob.create_room_from(json!({ "name": "New", "preset": "private_chat" })).await;
    bob.invite(&new, &alice).await;
    shown.until("the invitation", |rooms| rooms.len() == 2 && first(rooms) == new).await?;
    let room = app.room(&new).await?;
    ensure!(room.state() == RoomState::Invited && room.name().as_deref() == Some("New"));
    let inviter = room.invite_details().await?.inviter_id;
    ensure!(inviter == bob.user_id.as_str(), "{inviter}");
    room.join().await?;
    eventually("the join", async || Ok((room.state() == RoomState::Joined).then_some(()))).await?;
    eventually("both members", async || Ok((room.joined_members_count() == 2).then_some(())))
        .await?;

    bob.kick(&known, &alice).await;
    shown.until("the kick", |rooms| ids(rooms) == [&new]).await?;
    bob.send_text(&known, "nobody hears this").await;
    let seen: OwnedEventId = bob.send_text(&new, "but this").await.try_into()?;
    let (cache, _tasks) = room.event_cache().await?;
    let gone = app.room(&known).await?;
    ensure!(gone.state() == RoomState::Left);
    eventually("what came later", async || Ok(cache.find_event(&seen).await?)).await?;
    room.leave().await?;
    shown.until("nothing", |rooms| rooms.is_empty()).await
}

#[tokio::test]
async fn a_mention_is_counted_apart_and_a_subscription_brings_what_was_said_last() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room_id = bob.create_room_with(&[&alice]).await;
    let mut said = Vec::new();
    for number in 0..30 {
        said.push(bob.send_text(&room_id, &number.to_string()).await);
    }
    let app = App::start(&proxy.url(), &alice).await?;
    let room = app.room(&room_id).await?;
    eventually("the counts", async || {
        Ok((room.unread_notification_counts().notification_count == 30).then_some(()))
    })
    .await?;
    ensure!(room.unread_notification_counts().highlight_count == 0);
    let mention = json!({
        "msgtype": "m.text",
        "body": "Alice?",
        "m.mentions": { "user_ids": [alice.user_id] },
    });
    said.push(bob.send(&room_id, "m.room.message", mention).await);
    eventually("the mention", async || {
        let counts = room.unread_notification_counts();
        Ok((counts.notification_count == 31 && counts.highlight_count == 1).then_some(()))
    })
    .await?;

    app.opened(&room_id).await?;
    let last: Vec<&String> = said[said.len() - 20..].iter().collect();
    let (cache, _tasks) = room.event_cache().await?;
    eventually("the last 20 events", async || {
        let events = cache.events().await?;
        let ids: Vec<String> =
            events.iter().filter_map(|event| Some(event.event_id()?.to_string())).collect();
        Ok((ids.iter().collect::<Vec<_>>().ends_with(&last)).then_some(()))
    })
    .await?;
    let subscribed = requests(&proxy.passed(), "room-list")
        .any(|body| body["room_subscriptions"][&room_id]["timeline_limit"] == 20);
    ensure!(subscribed);
    Ok(())
}

fn ids(rooms: &Vector<RoomListItem>) -> Vec<&str> {
    rooms.iter().map(|room| room.room_id().as_str()).collect()
}

fn first(rooms: &Vector<RoomListItem>) -> &str {
    rooms.front().map_or("", |room| room.room_id().as_str())
}

/// What the app sent on one of its connections.
fn requests<'a>(passed: &'a [Passed], connection: &'a str) -> impl Iterator<Item = &'a Value> {
    let on_it = passed.iter().filter(move |passed| passed.body["conn_id"] == connection);
    on_it.filter(|passed| passed.status == 200).map(|passed| &passed.body)
}

/// The last room that the list asks for.
fn range_end(body: &Value) -> u64 {
    body["lists"]["all_rooms"]["ranges"][0][1].as_u64().unwrap_or_default()
}
