//! The second connection, `encryption`: what apps hear in secret comes with sliding sync alone.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::{
    RoomState,
    ruma::{EventId, UserId, events::room::message::RoomMessageEventContent},
};
use matrix_sdk_ui::timeline::Timeline;

use super::app::App;
use crate::person::eventually;

#[tokio::test]
async fn apps_talk_in_secret_and_back_up_what_was_said() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let hers = App::start(&proxy.url(), &alice).await?;
    let his = App::start(&proxy.url(), &bob).await?;
    for app in [&hers, &his] {
        app.client.encryption().bootstrap_cross_signing(None).await?;
    }
    let chat = hers.client.create_dm(&UserId::parse(&bob.user_id)?).await?;
    let room = chat.room_id().to_string();
    let invited = his.room(&room).await?;
    ensure!(invited.state() == RoomState::Invited && invited.is_direct().await?);
    invited.join().await?;
    eventually("the join", async || Ok((chat.joined_members_count() == 2).then_some(()))).await?;
    let (her_timeline, his_timeline) = (hers.timeline(&room).await?, his.timeline(&room).await?);
    eventually("encryption", async || {
        Ok(invited.latest_encryption_state().await?.is_encrypted().then_some(()))
    })
    .await?;

    her_timeline.send(RoomMessageEventContent::text_plain("psst").into()).await?;
    let first = reads(&his_timeline, "psst").await?;
    his_timeline.send(RoomMessageEventContent::text_plain("yes?").into()).await?;
    let second = reads(&her_timeline, "yes?").await?;
    for (id, text) in [(&first, "psst"), (&second, "yes?")] {
        let event = alice.event(&room, id).await;
        ensure!(event["type"] == "m.room.encrypted", "{event}");
        ensure!(!event.to_string().contains(text), "the server can read it: {event}");
    }

    let key = hers.client.encryption().recovery().enable().wait_for_backups_to_upload().await?;
    let new = App::start(&proxy.url(), &alice).await?;
    let timeline = new.timeline(&room).await?;
    let unreadable = eventually("the message", async || {
        Ok(timeline.item_by_event_id(&EventId::parse(&first)?).await)
    })
    .await?;
    ensure!(unreadable.content().is_unable_to_decrypt(), "who gave it the key?");
    new.client.encryption().recovery().recover(&key).await?;
    new.client.encryption().backups().download_room_keys_for_room(chat.room_id()).await?;
    ensure!(reads(&timeline, "psst").await? == first);
    ensure!(reads(&timeline, "yes?").await? == second);

    // Each connection keeps to its own.
    let passed = proxy.passed();
    let mut secret = passed.iter().filter(|passed| passed.body["conn_id"] == "encryption");
    let extensions = secret.next().context("no such connection")?.body["extensions"].clone();
    ensure!(extensions["e2ee"]["enabled"] == true && extensions["to_device"]["enabled"] == true);
    let mut lists = passed.iter().filter(|passed| passed.body["conn_id"] == "room-list");
    ensure!(lists.all(|passed| passed.body["extensions"]["e2ee"]["enabled"] != true));
    Ok(())
}

/// The ID of the message as soon as the timeline shows it, decrypted.
async fn reads(timeline: &Timeline, text: &str) -> Result<String> {
    eventually(text, async || {
        let items = timeline.items().await;
        let mut events = items.iter().rev().filter_map(|item| item.as_event());
        let found = events.find(|item| {
            let message = item.content().as_message();
            message.is_some_and(|message| message.body() == text)
        });
        Ok(found.and_then(|item| Some(item.event_id()?.to_string())))
    })
    .await
}
