//! What is said in a room: `Timeline`.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use eyeball_im::Vector;
use kith_spec_tests::{TestServer, TestUser};
use matrix_sdk::{
    room::edit::EditedContent,
    ruma::{
        EventId, OwnedEventId, UserId,
        api::client::receipt::create_receipt::v3::ReceiptType,
        events::room::message::{RoomMessageEventContent, RoomMessageEventContentWithoutRelation},
    },
};
use matrix_sdk_ui::timeline::{EventTimelineItem, Timeline, TimelineEventItemId, TimelineItem};

use super::app::{App, Shown};
use crate::person::eventually;

const HISTORY: usize = 110;

#[tokio::test]
async fn the_history_is_read_back_to_the_start() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = bob.create_room_with(&[&alice]).await;
    let mut said = Vec::new();
    for number in 0..HISTORY {
        let who = if number % 3 == 0 { &alice } else { &bob };
        who.send_text(&room, &number.to_string()).await;
        said.push(number.to_string());
    }
    let app = App::start(&proxy.url(), &alice).await?;
    let timeline = app.timeline(&room).await?;
    let mut pages = 0;
    while !timeline.paginate_backwards(20).await? {
        pages += 1;
        ensure!(pages < 30, "the history has no end");
    }
    let items = timeline.items().await;
    ensure!(bodies(&items) == said, "{:?}", bodies(&items));
    ensure!(items.front().is_some_and(|item| item.is_timeline_start()));
    let created = items.iter().filter_map(|item| item.as_event()).next().context("no events")?;
    let first = created.content().event_type_str();
    ensure!(first.as_deref() == Some("m.room.create"), "{first:?}");
    Ok(())
}

#[tokio::test]
async fn what_one_sends_edits_reacts_to_redacts_and_reads_the_other_sees() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room_with(&[&bob]).await;
    let (hers, his) =
        (App::start(&proxy.url(), &alice).await?, App::start(&proxy.url(), &bob).await?);
    let (hers, his) = (hers.timeline(&room).await?, his.timeline(&room).await?);

    let sent = send(&hers, "hello").await?;
    let seen = item(&his, &sent, "the message", |_| true).await?;
    ensure!(body(&seen) == Some("hello".to_owned()) && seen.sender() == alice.user_id.as_str());
    ensure!(!seen.content().as_message().context("no message")?.is_edited());

    ensure!(his.mark_as_read(ReceiptType::Read).await?);
    item(&hers, &sent, "the receipt", |item| read(item, &bob)).await?;

    let new = RoomMessageEventContentWithoutRelation::text_plain("hello Bob");
    let sent_item = TimelineEventItemId::EventId(sent.clone());
    hers.edit(&sent_item, EditedContent::RoomMessage(new)).await?;
    for timeline in [&hers, &his] {
        let seen =
            item(timeline, &sent, "the edit", |item| body(item).as_deref() == Some("hello Bob"));
        ensure!(seen.await?.content().as_message().context("no message")?.is_edited());
    }

    ensure!(his.toggle_reaction(&sent_item, "👍").await?, "not added");
    for timeline in [&hers, &his] {
        item(timeline, &sent, "the reaction", |item| reacted(item, "👍", &bob)).await?;
    }
    // Until the server has the reaction, there is nothing to redact.
    ensure!(!his.toggle_reaction(&sent_item, "👍").await?, "not removed");
    for timeline in [&hers, &his] {
        item(timeline, &sent, "no reaction", |item| !reacted(item, "👍", &bob)).await?;
    }

    let answer = RoomMessageEventContentWithoutRelation::text_plain("hello yourself");
    his.send_reply(answer, sent.clone()).await?;
    let reply = eventually("the reply", async || {
        let items = hers.items().await;
        let item = items.iter().rev().find_map(|item| {
            item.as_event().filter(|item| body(item).as_deref() == Some("hello yourself"))
        });
        Ok(item.cloned())
    })
    .await?;
    let to = reply.content().in_reply_to().context("not a reply")?;
    ensure!(to.event_id == sent);

    hers.redact(&sent_item, Some("nothing")).await?;
    for timeline in [&hers, &his] {
        item(timeline, &sent, "the redaction", |item| item.content().is_redacted()).await?;
    }
    Ok(())
}

/// Sends a text as apps do: it is on the screen at once, as a local echo, which becomes the event.
async fn send(timeline: &Timeline, text: &str) -> Result<OwnedEventId> {
    let mut shown = Shown::lines(timeline).await;
    timeline.send(RoomMessageEventContent::text_plain(text).into()).await?;
    let echo = |items: &Vector<Arc<TimelineItem>>| {
        let event = items.back()?.as_event()?.clone();
        (body(&event)? == text).then_some(event)
    };
    shown
        .until_each("the local echo", |items| echo(items).is_some_and(|it| it.is_local_echo()))
        .await?;
    shown.until("the event", |items| echo(items).is_some_and(|it| it.is_remote_event())).await?;
    let event = echo(&shown.items).context("gone")?;
    Ok(event.event_id().context("no event ID")?.to_owned())
}

/// The event as soon as it looks right.
async fn item(
    timeline: &Timeline,
    id: &EventId,
    what: &str,
    is: impl Fn(&EventTimelineItem) -> bool,
) -> Result<EventTimelineItem> {
    eventually(what, async || Ok(timeline.item_by_event_id(id).await.filter(|item| is(item)))).await
}

fn body(item: &EventTimelineItem) -> Option<String> {
    Some(item.content().as_message()?.body().to_owned())
}

fn bodies(items: &Vector<Arc<TimelineItem>>) -> Vec<String> {
    items.iter().filter_map(|item| body(item.as_event()?)).collect()
}

fn reacted(item: &EventTimelineItem, key: &str, who: &TestUser) -> bool {
    let Ok(who) = UserId::parse(&who.user_id) else { return false };
    let reactions = item.content().reactions();
    reactions.and_then(|reactions| reactions.get(key)?.get(&who)).is_some()
}

fn read(item: &EventTimelineItem, who: &TestUser) -> bool {
    item.read_receipts().keys().any(|user| user == who.user_id.as_str())
}
