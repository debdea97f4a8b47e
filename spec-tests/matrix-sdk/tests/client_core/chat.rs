//! What is said in an encrypted chat.

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use kith_client_core::{
    html::{HtmlNode, Tag},
    rooms::PreviewKind,
    timeline::{Content, Item, ItemId, SendState},
};
use kith_spec_tests::TestServer;

use super::someone::{Shown, Someone, alice_and_bob, messages, plain, until};

#[tokio::test]
async fn friends_chat_in_secret_and_edit_react_reply_and_redact() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let (alice, bob, room) = alice_and_bob(&proxy.url()).await?;
    let (mut hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);

    let sent = hers.say("hello **Bob**").await?;
    ensure!(sent.own && sent.can_edit && sent.can_redact, "{sent:?}");
    let seen = his.text("hello **Bob**").await?;
    ensure!(!seen.own && !seen.can_edit && seen.sender.id == alice.id(), "{seen:?}");
    let Content::Text(text) = &seen.content else { anyhow::bail!("{seen:?}") };
    let strong =
        HtmlNode::Element { tag: Tag::Strong, children: vec![HtmlNode::Text("Bob".to_owned())] };
    ensure!(text.nodes == [HtmlNode::Text("hello ".to_owned()), strong], "{text:?}");
    let passed = format!("{:?}", proxy.passed());
    ensure!(passed.contains("m.room.encrypted") && !passed.contains("hello **Bob**"));

    hers.timeline.edit(&sent.id, "hello Robert").await?;
    for opened in [&mut hers, &mut his] {
        let edited = opened.message("the edit", |it| plain(it) == Some("hello Robert")).await?;
        ensure!(edited.edited && edited.id == sent.id, "{edited:?}");
    }

    ensure!(his.timeline.toggle_reaction(&seen.id, "👍").await?);
    let reacted = hers.message("the reaction", |it| !it.reactions.is_empty()).await?;
    let reaction = &reacted.reactions[0];
    ensure!(reaction.key == "👍" && reaction.count == 1 && !reaction.mine, "{reaction:?}");
    ensure!(reaction.who.len() == 1 && reaction.who[0].id == bob.id(), "{reaction:?}");
    let event = his.message("his own", |it| it.reactions.iter().any(|it| it.mine)).await?;
    // Until the server has it there is nothing to take back, so wait until Alice has seen it.
    ensure!(!his.timeline.toggle_reaction(&event.id, "👍").await?);
    hers.message("no reaction", |it| it.id == sent.id && it.reactions.is_empty()).await?;

    let ItemId::Event(event_id) = &sent.id else { anyhow::bail!("not sent: {sent:?}") };
    his.timeline.reply(event_id, "hello yourself").await?;
    let reply = hers.text("hello yourself").await?.reply.context("no reply")?;
    let quoted = reply.quoted.context("nothing is quoted")?;
    ensure!(reply.event_id == *event_id && quoted.sender.id == alice.id());
    ensure!(quoted.preview == PreviewKind::Text("hello Robert".to_owned()), "{quoted:?}");

    hers.timeline.redact(&sent.id, None).await?;
    for opened in [&mut hers, &mut his] {
        opened
            .message("the redaction", |it| it.id == sent.id && it.content == Content::Redacted)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_said_is_on_the_screen_before_it_is_stored() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, _bob, room) = alice_and_bob(&server.url()).await?;
    let mut hers = alice.open(&room).await?;
    let first = hers.say("first").await?;
    let ItemId::Event(first_id) = &first.id else { anyhow::bail!("not sent: {first:?}") };
    let timeline = hers.timeline.clone();
    let mut said = timeline.said();
    ensure!(said.next().await == Some(Vec::new()));

    for (answers, text) in [(None, "a **b** 👍"), (Some(first_id), "🎉")] {
        let sending = async {
            match answers {
                Some(event_id) => timeline.reply(event_id, text).await,
                None => timeline.send_text(text).await,
            }
        };
        let watching = async {
            let early = said.next().await.context("it ended")?;
            let early = messages(&early).next().context("nothing at once")?.clone();
            ensure!(early.send_state == SendState::Sending && early.own, "{early:?}");
            let row = hers.text(text).await?;
            ensure!((&early.content, &early.sender) == (&row.content, &row.sender), "{early:?}");
            ensure!(early.reply == row.reply && early.reply.is_some() == answers.is_some());
            ensure!(said.next().await == Some(Vec::new()), "it is there twice");
            anyhow::Ok(())
        };
        let (sent, watched) = tokio::join!(sending, watching);
        sent?;
        watched?;
    }

    // Where nothing can be said, nothing stays.
    alice.account.leave_room(&room).await?;
    ensure!(timeline.send_text("too late").await.is_err());
    until("nothing", &mut said, Vec::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn typing_and_reading_are_seen_and_counted() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, bob, room) = alice_and_bob(&server.url()).await?;
    let list = bob.account.rooms().await?;
    let mut rooms = Shown::new(list.rows());
    let mut hers = alice.open(&room).await?;
    hers.say("are you there?").await?;
    rooms
        .until("an unread message", |it| {
            let last = it.first().and_then(|row| row.last.as_ref());
            let text = PreviewKind::Text("are you there?".to_owned());
            it.len() == 1 && it[0].unread == 1 && last.is_some_and(|last| last.kind == text)
        })
        .await?;

    let mut his = bob.open(&room).await?;
    let mut typing = hers.timeline.typing();
    his.text("are you there?").await?;
    his.timeline.set_typing(true).await?;
    let who = until("Bob types", &mut typing, |who| !who.is_empty()).await?;
    ensure!(who.len() == 1 && who[0].id == bob.id(), "{who:?}");
    his.timeline.mark_read().await?;
    hers.message("the receipt", |it| it.read_by.iter().any(|it| it.id == bob.id())).await?;
    rooms.until("nothing unread", |it| it.len() == 1 && it[0].unread == 0).await?;
    his.timeline.set_typing(false).await?;
    until("Bob types no more", &mut typing, Vec::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn a_long_history_is_read_back_to_its_beginning() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Someone::register(&proxy.url(), "alice").await?;
    let bob = server.register("bob").await;
    let room = bob.create_room_with(&[]).await;
    for number in 0..120 {
        bob.send_text(&room, &format!("message {number}")).await;
    }
    bob.post(
        &format!("/_matrix/client/v3/rooms/{}/invite", kith_spec_tests::encode(&room)),
        serde_json::json!({ "user_id": alice.id() }),
    )
    .await;
    let list = alice.account.rooms().await?;
    let mut rooms = Shown::new(list.rows());
    rooms
        .until("the invitation", |it| {
            let from = it.first().and_then(|row| row.invite.as_ref());
            it.len() == 1 && it[0].is_invite && from.is_some_and(|from| from.id == bob.user_id)
        })
        .await?;
    alice.account.accept_invite(&room).await?;

    let mut opened = alice.open(&room).await?;
    let mut steps = 0;
    while !opened.timeline.paginate_back(50).await? {
        steps += 1;
        ensure!(steps < 30, "no beginning");
    }
    opened
        .shown
        .until("all of it", |rows| {
            let said = messages(rows).filter(|it| plain(it).is_some()).count();
            said == 120 && rows.first().is_some_and(|row| row.item == Item::Start)
        })
        .await?;
    let said: Vec<&str> = messages(&opened.shown.rows).filter_map(plain).collect();
    ensure!((said[0], said[119]) == ("message 0", "message 119"), "{said:?}");
    let dividers =
        opened.shown.rows.iter().filter(|row| matches!(row.item, Item::DateDivider(_))).count();
    ensure!((1..=2).contains(&dividers), "{dividers}");
    let sent = messages(&opened.shown.rows).all(|it| it.send_state == SendState::Sent);
    ensure!(sent && steps > 1, "{steps}");
    Ok(())
}
