//! What if the network or the server goes away, and comes back?

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::ruma::{OwnedEventId, events::room::message::RoomMessageEventContent};
use matrix_sdk_ui::{sync_service::State, timeline::EventSendState};

use super::app::{App, Shown};
use crate::{gate::Gate, person::eventually};

#[tokio::test]
async fn what_was_said_while_a_device_was_offline_is_there_when_it_is_back() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let gate = Gate::before(proxy.address()).await?;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let app = App::start(&gate.url(), &alice).await?;
    let timeline = app.timeline(&room).await?;
    let before: OwnedEventId = bob.send_text(&room, "before").await.try_into()?;
    eventually("the first message", async || Ok(timeline.item_by_event_id(&before).await)).await?;

    gate.close();
    app.until_state("offline", |state| matches!(state, State::Offline)).await?;
    let missed: OwnedEventId = bob.send_text(&room, "missed").await.try_into()?;
    timeline.send(RoomMessageEventContent::text_plain("queued").into()).await?;
    let queued = async || {
        let items = timeline.items().await;
        let mine = items.iter().rev().filter_map(|item| item.as_event()).find(|item| item.is_own());
        mine.cloned()
    };
    eventually("the failure", async || {
        let item = queued().await.context("no local echo")?;
        let state = item.send_state();
        let failed =
            matches!(state, Some(EventSendState::SendingFailed { is_recoverable: true, .. }));
        Ok(failed.then_some(()))
    })
    .await?;
    ensure!(timeline.item_by_event_id(&missed).await.is_none(), "it is not offline");

    gate.open();
    app.until_state("online again", |state| matches!(state, State::Running)).await?;
    app.client.send_queue().set_enabled(true).await;
    eventually("what was missed", async || Ok(timeline.item_by_event_id(&missed).await)).await?;
    let sent = eventually("what was queued", async || {
        let item = queued().await.context("no local echo")?;
        Ok(item.event_id().map(ToOwned::to_owned))
    })
    .await?;
    let event = bob.event(&room, sent.as_str()).await;
    ensure!(event["content"]["body"] == "queued", "{event}");
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_knows_no_connections_and_the_app_begins_anew() -> Result<()> {
    let mut server = TestServer::durable().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let rooms = [alice.create_room_with(&[&bob]).await, alice.create_room_with(&[&bob]).await];
    let app = App::start(&proxy.url(), &alice).await?;
    let list = app.service.room_list_service().all_rooms().await?;
    let mut shown = Shown::rooms(&list);
    shown.until("the rooms", |shown| shown.len() == 2).await?;
    let timeline = app.timeline(&rooms[0]).await?;
    let before: OwnedEventId = bob.send_text(&rooms[0], "before").await.try_into()?;
    eventually("the first message", async || Ok(timeline.item_by_event_id(&before).await)).await?;

    server.restart().await;
    let after: OwnedEventId = bob.send_text(&rooms[0], "after").await.try_into()?;
    let third = bob.create_room().await;
    bob.invite(&third, &alice).await;
    eventually("the second message", async || Ok(timeline.item_by_event_id(&after).await)).await?;
    shown.until("the new room", |shown| shown.len() == 3).await?;
    let refused = proxy
        .passed()
        .into_iter()
        .filter(|passed| passed.path.contains("simplified_msc3575/sync") && passed.status == 400);
    ensure!(refused.count() > 0, "the server knew a connection of another life");
    Ok(())
}

#[tokio::test]
async fn an_app_that_is_started_again_goes_on_where_it_was() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let folder = tempfile::tempdir()?;
    let app = App::start_in(&proxy.url(), &alice, folder.path()).await?;
    let session = app.session()?;
    let list = app.service.room_list_service();
    let timeline = app.timeline(&room).await?;
    let before: OwnedEventId = bob.send_text(&room, "before").await.try_into()?;
    eventually("the first message", async || Ok(timeline.item_by_event_id(&before).await)).await?;
    app.service.stop().await;
    drop((timeline, list, app));
    let asked = proxy.passed().len();

    let after: OwnedEventId = bob.send_text(&room, "after").await.try_into()?;
    let app = App::again(&proxy.url(), session, folder.path()).await?;
    let timeline = app.timeline(&room).await?;
    eventually("the second message", async || Ok(timeline.item_by_event_id(&after).await)).await?;
    ensure!(timeline.item_by_event_id(&before).await.is_some(), "the first is lost");
    let passed = proxy.passed();
    let mut syncs = passed[asked..].iter().filter(|passed| passed.body["conn_id"] == "room-list");
    let first = syncs.next().context("no sync")?;
    ensure!(first.path.contains("pos=") && first.status == 200, "{first:?}");
    Ok(())
}
