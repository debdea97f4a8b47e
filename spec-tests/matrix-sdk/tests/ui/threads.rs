//! Threads: on the root in the room, on a screen of their own, and in the list of threads.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::{
    Room,
    ruma::{
        EventId, OwnedEventId, api::client::receipt::create_receipt::v3::ReceiptType,
        events::room::message::RoomMessageEventContent,
    },
};
use matrix_sdk_ui::timeline::{
    EventTimelineItem, RoomExt, Timeline, TimelineFocus, TimelineReadReceiptTracking,
    thread_list_service::{ThreadListPaginationState, ThreadListService},
};

use serde_json::json;

use super::app::App;
use crate::person::eventually;

#[tokio::test]
async fn a_thread_has_a_screen_of_its_own_and_a_summary_on_its_root() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let root: OwnedEventId = alice.send_text(&room, "root").await.try_into()?;
    let (hers, his) =
        (App::start(&proxy.url(), &alice).await?, App::start(&proxy.url(), &bob).await?);
    let live = his.timeline(&room).await?;
    let (hers_room, his_room) = (hers.opened(&room).await?, his.opened(&room).await?);

    let thread = focused(&hers_room, &root).await?;
    thread.paginate_backwards(20).await?;
    for text in ["one", "two", "three"] {
        thread.send(RoomMessageEventContent::text_plain(text).into()).await?;
    }
    shows(&thread, &["root", "one", "two", "three"]).await?;
    let summary = eventually("the summary", async || {
        let item = live.item_by_event_id(&root).await;
        let summary = item.and_then(|item| item.content().thread_summary());
        Ok(summary.filter(|summary| summary.num_replies == 3))
    })
    .await?;
    ensure!(summary.latest_event.is_ready() || summary.latest_event.is_unavailable());

    // Who opens it later finds the same.
    let his_thread = focused(&his_room, &root).await?;
    ensure!(his_thread.paginate_backwards(20).await?);
    shows(&his_thread, &["root", "one", "two", "three"]).await?;
    his_thread.mark_as_read(ReceiptType::Read).await?;
    let last = thread.latest_event_id().await.context("no events")?;
    eventually("the threaded receipt", async || {
        let receipt = thread.latest_user_read_receipt(bob.user_id.as_str().try_into()?).await;
        Ok(receipt.filter(|(event_id, _)| *event_id == last).map(|_| ()))
    })
    .await?;

    let threads = ThreadListService::new(his_room.clone());
    threads.paginate().await?;
    let found = threads.items();
    ensure!(found.len() == 1 && found[0].root_event.event_id == root, "{found:?}");
    ensure!(found[0].num_replies == 3, "{found:?}");
    let latest = found[0].latest_event.as_ref().context("no latest event")?;
    ensure!(latest.event_id == last, "{latest:?}");
    ensure!(threads.pagination_state() == ThreadListPaginationState::Idle { end_reached: true });
    Ok(())
}

#[tokio::test]
async fn a_long_thread_is_read_back_in_pages() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root = alice.send_text(&room, "root").await;
    let mut texts = vec!["root".to_owned()];
    for number in 0..45 {
        let text = number.to_string();
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation });
        alice.send(&room, "m.room.message", content).await;
        alice.send_text(&room, "beside the thread").await;
        texts.push(text);
    }
    let app = App::start(&proxy.url(), &alice).await?;
    let thread = focused(&app.room(&room).await?, &EventId::parse(root)?).await?;
    let mut pages = 0;
    while !thread.paginate_backwards(20).await? {
        pages += 1;
        ensure!(pages < 10, "the thread has no end");
    }
    ensure!(pages > 1, "all at once");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    shows(&thread, &texts).await
}

/// MSC4306, and MSC4308 for the other device.
#[tokio::test]
async fn a_thread_that_is_followed_on_one_device_is_followed_on_the_other() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = server.register("alice").await;
    let room = alice.create_room().await;
    let root: OwnedEventId = alice.send_text(&room, "root").await.try_into()?;
    let (one, other) =
        (App::start(&proxy.url(), &alice).await?, App::start(&proxy.url(), &alice).await?);
    let (one, other) = (one.room(&room).await?, other.room(&room).await?);
    ensure!(one.fetch_thread_subscription(root.clone()).await?.is_none());

    one.subscribe_thread(root.clone(), None).await?;
    let subscribed =
        one.fetch_thread_subscription(root.clone()).await?.context("no subscription")?;
    ensure!(!subscribed.automatic);
    // This looks into the other device's store if sync has told it everything.
    let followed = async || other.load_or_fetch_thread_subscription(&root).await;
    eventually("the subscription", async || Ok(followed().await?.map(|_| ()))).await?;
    one.unsubscribe_thread(root.clone()).await?;
    eventually("the end of it", async || Ok(followed().await?.is_none().then_some(()))).await
}

async fn focused(room: &Room, root: &EventId) -> Result<Timeline> {
    let focus = TimelineFocus::Thread { root_event_id: root.to_owned() };
    let tracking = TimelineReadReceiptTracking::AllEvents;
    let builder = room.timeline_builder().with_focus(focus);
    Ok(builder.track_read_marker_and_receipts(tracking).build().await?)
}

/// Waits for these messages, from the first to the last, all of them known to the server.
async fn shows(timeline: &Timeline, texts: &[&str]) -> Result<()> {
    let shown = async || -> Vec<(bool, Option<String>)> {
        let items = timeline.items().await;
        let events = items.iter().filter_map(|item| item.as_event());
        let text = |item: &EventTimelineItem| Some(item.content().as_message()?.body().to_owned());
        events.map(|item| (item.is_remote_event(), text(item))).collect()
    };
    let wanted: Vec<_> = texts.iter().map(|text| (true, Some((*text).to_owned()))).collect();
    let all = eventually("all", async || Ok((shown().await == wanted).then_some(()))).await;
    ensure!(all.is_ok(), "the thread is {:?}", shown().await);
    Ok(())
}
