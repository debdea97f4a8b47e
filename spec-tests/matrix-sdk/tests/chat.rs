//! The story that all libraries tell: two people meet, chat and part, with the classic sync.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::{
    Room, RoomMemberships, RoomState,
    attachment::AttachmentConfig,
    media::{MediaFormat, MediaRequestParameters},
    room::{
        IncludeRelations, MessagesOptions, RelationsOptions,
        edit::EditedContent,
        reply::{EnforceThread, Reply},
    },
    ruma::{
        OwnedEventId, UserId,
        api::client::{
            directory::get_public_rooms_filtered,
            profile::AvatarUrl,
            receipt::create_receipt::v3::ReceiptType as SentReceipt,
            room::{
                Visibility,
                create_room::v3::{Request as NewRoom, RoomPreset},
            },
        },
        directory::Filter,
        events::{
            AnySyncMessageLikeEvent, AnySyncTimelineEvent,
            reaction::ReactionEventContent,
            receipt::{ReceiptThread, ReceiptType},
            relation::{Annotation, RelationType},
            room::{
                MediaSource,
                message::{
                    AddMentions, MessageType, OriginalSyncRoomMessageEvent, Relation,
                    RoomMessageEventContent, RoomMessageEventContentWithoutRelation,
                    TextMessageEventContent,
                },
            },
            tag::{TagInfo, TagName},
        },
        uint,
    },
};

use crate::person::{PASSWORD, Person};

/// The smallest picture.
const PICTURE: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
    \0\0\0\rIDATx\xdac\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

#[tokio::test]
async fn people_who_use_matrix_sdk_meet_and_chat() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    log_in_again(&bob, &proxy.url()).await?;
    let bob = Person::restored(&proxy.url(), bob.session()?).await?;

    let (alices, bobs) = meet(&alice, &bob).await?;
    let reply = chat(&alice, &bob, &alices, &bobs).await?;
    read(&alice, &bob, &alices, &bobs, reply).await?;
    share(&alice, &bob, &alices, &bobs).await?;
    meet_in_public(&alice, &bob).await
}

/// A second device, which is then signed out.
async fn log_in_again(person: &Person, url: &str) -> Result<()> {
    let wrong = Person::log_in(url, person.id(), "wrong").await.err().context("any password")?;
    ensure!(format!("{wrong:#}").contains("M_FORBIDDEN"), "{wrong:#}");
    let second = Person::log_in(url, person.id(), PASSWORD).await?;
    ensure!(second.client.whoami().await?.user_id == person.id());
    ensure!(second.client.devices().await?.devices.len() == 2);
    second.client.logout().await?;
    ensure!(person.client.devices().await?.devices.len() == 1);
    Ok(())
}

/// Alice finds Bob by his name and opens a direct chat. The room as each of them has it.
async fn meet(alice: &Person, bob: &Person) -> Result<(Room, Room)> {
    bob.client.account().set_display_name(Some("Bob the Builder")).await?;
    let found = alice.client.search_users("builder", 10).await?.results;
    ensure!(found.len() == 1 && found[0].user_id == bob.id(), "{found:?}");
    ensure!(found[0].display_name.as_deref() == Some("Bob the Builder"), "{found:?}");

    // `create_dm` would encrypt it.
    let mut request = NewRoom::new();
    request.is_direct = true;
    request.invite = vec![bob.id().to_owned()];
    request.preset = Some(RoomPreset::TrustedPrivateChat);
    let chat = alice.client.create_room(request).await?;
    alice.until("m.direct", |_| alice.client.get_dm_room(bob.id())).await?;

    let invited = || bob.client.get_room(chat.room_id());
    let bobs = bob.until("the invitation", |_| invited()).await?;
    ensure!(bobs.state() == RoomState::Invited);
    let invitation = bobs.invite_details().await?;
    ensure!(invitation.inviter_id == alice.id());
    ensure!(bobs.is_direct().await?, "the invitation does not say that it is a direct chat");
    bobs.join().await?;
    bob.until("m.direct of the guest", |_| bob.client.get_dm_room(alice.id())).await?;

    let alices = alice.client.get_room(chat.room_id()).context("the room is gone")?;
    let both = |_: &_| (alices.joined_members_count() == 2).then_some(());
    alice.until("the join", both).await?;
    let name = alices.display_name().await?.to_string();
    ensure!(name == "Bob the Builder", "the heroes make the name {name}");
    Ok((alices, bobs))
}

/// Says something, answers, corrects, reacts and takes it back; gives the answer's ID.
async fn chat(alice: &Person, bob: &Person, alices: &Room, bobs: &Room) -> Result<OwnedEventId> {
    let text = RoomMessageEventContent::text_html("hello Bob", "hello <b>Bob</b>");
    let sent = alices.send(text).await?.response.event_id;
    let seen = message(bob.event(bobs, &sent).await?)?;
    let MessageType::Text(content) = &seen.content.msgtype else {
        anyhow::bail!("another type: {seen:?}");
    };
    let html = content.formatted.as_ref().map(|formatted| formatted.body.as_str());
    ensure!(content.body == "hello Bob" && html == Some("hello <b>Bob</b>"), "{seen:?}");
    ensure!(seen.unsigned.transaction_id.is_none(), "the sender's transaction ID: {seen:?}");
    let echo = message(alice.event(alices, &sent).await?)?;
    ensure!(echo.unsigned.transaction_id.is_some(), "no transaction ID: {echo:?}");

    // The SDK asks the server for the event that is answered or edited.
    let answer = RoomMessageEventContentWithoutRelation::text_plain("hello yourself");
    let to = Reply {
        event_id: sent.clone(),
        enforce_thread: EnforceThread::Unthreaded,
        add_mentions: AddMentions::Yes,
    };
    let answer = bobs.make_reply_event(answer, to).await?;
    let answer = bobs.send(answer).await?.response.event_id;
    let seen = message(alice.event(alices, &answer).await?)?;
    let Some(Relation::Reply(reply)) = &seen.content.relates_to else {
        anyhow::bail!("not a reply: {seen:?}");
    };
    ensure!(reply.in_reply_to.event_id == sent);

    let correction = RoomMessageEventContentWithoutRelation::text_plain("hello Robert");
    let edit = alices.make_edit_event(&sent, EditedContent::RoomMessage(correction)).await?;
    let edit = alices.send(edit).await?.response.event_id;
    let seen = message(bob.event(bobs, &edit).await?)?;
    let Some(Relation::Replacement(replacement)) = &seen.content.relates_to else {
        anyhow::bail!("not an edit: {seen:?}");
    };
    ensure!(replacement.event_id == sent);
    ensure!(replacement.new_content.msgtype.body() == "hello Robert");
    let edited = message(bobs.event(&sent, None).await?.raw().deserialize()?)?;
    let bundled = edited.unsigned.relations.replace.context("the edit is not bundled")?;
    ensure!(bundled.event_id == edit);

    let thumb = ReactionEventContent::new(Annotation::new(answer.clone(), "👍".to_owned()));
    let reaction = alices.send(thumb).await?.response.event_id;
    let seen = bob.event(bobs, &reaction).await?;
    let AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::Reaction(seen)) = seen else {
        anyhow::bail!("not a reaction: {seen:?}");
    };
    let seen = seen.as_original().context("redacted")?;
    let annotation = &seen.content.relates_to;
    ensure!(annotation.event_id == answer && annotation.key == "👍", "{annotation:?}");
    ensure!(reactions(bobs, &answer).await? == *std::slice::from_ref(&reaction));

    let redaction = alices.redact(&reaction, Some("changed my mind"), None).await?.event_id;
    let seen = bob.event(bobs, &redaction).await?;
    ensure!(
        matches!(
            seen,
            AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomRedaction(_))
        ),
        "{seen:?}"
    );
    ensure!(reactions(bobs, &answer).await?.is_empty());
    Ok(answer)
}

/// What is not kept in the room's history.
async fn read(
    alice: &Person,
    bob: &Person,
    alices: &Room,
    bobs: &Room,
    event_id: OwnedEventId,
) -> Result<()> {
    let (_handler, mut typing) = bobs.subscribe_to_typing_notifications();
    alices.typing_notice(true).await?;
    let who = bob.until("typing", |_| typing.try_recv().ok()).await?;
    ensure!(who == [alice.id()], "{who:?}");
    alices.typing_notice(false).await?;
    let who = bob.until("no typing", |_| typing.try_recv().ok()).await?;
    ensure!(who.is_empty(), "{who:?}");

    let thread = ReceiptThread::Unthreaded;
    alices.send_single_receipt(SentReceipt::Read, thread.clone(), event_id.clone()).await?;
    let room = bobs.room_id();
    bob.until("an m.receipt", |sync| {
        let ephemeral = &sync.rooms.joined.get(room)?.ephemeral;
        ephemeral.iter().any(|event| event.json().get().contains("m.receipt")).then_some(())
    })
    .await?;
    let receipt = bobs.load_user_receipt(ReceiptType::Read, thread, alice.id()).await?;
    ensure!(receipt.is_some_and(|(read, _)| read == event_id));

    alices.set_tag(TagName::Favorite, TagInfo::new()).await?;
    alice.until("the tag", |_| alices.is_favourite().then_some(())).await?;
    Ok(())
}

/// A file is uploaded, downloaded and byte for byte the same; only for those who are signed in.
async fn share(alice: &Person, bob: &Person, alices: &Room, bobs: &Room) -> Result<()> {
    let data: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let config = AttachmentConfig::new().caption(Some(TextMessageEventContent::plain("read this")));
    let file_type = "application/octet-stream".parse()?;
    let sent = alices.send_attachment("notes.bin", &file_type, data.clone(), config).await?;
    let seen = message(bob.event(bobs, &sent.event_id).await?)?;
    let MessageType::File(file) = &seen.content.msgtype else {
        anyhow::bail!("not a file: {seen:?}");
    };
    ensure!(file.filename() == "notes.bin" && file.caption() == Some("read this"), "{file:?}");
    ensure!(bob.client.media().get_file(file, false).await? == Some(data), "another file");

    let picture = bob.client.account().upload_avatar(&"image/png".parse()?, PICTURE.into()).await?;
    let profile = alice.client.account().fetch_user_profile_of(bob.id()).await?;
    let avatar = profile.get_static::<AvatarUrl>()?;
    ensure!(avatar.as_ref() == Some(&picture), "{avatar:?}");
    let source = MediaSource::Plain(picture);
    let request = MediaRequestParameters { source, format: MediaFormat::File };
    ensure!(alice.client.media().get_media_content(&request, false).await? == PICTURE);
    Ok(())
}

/// A room with a name, an address and a history, which Bob finds, reads and leaves.
async fn meet_in_public(alice: &Person, bob: &Person) -> Result<()> {
    let mut plans = NewRoom::new();
    plans.name = Some("Plans".to_owned());
    plans.topic = Some("of mice and men".to_owned());
    plans.preset = Some(RoomPreset::PublicChat);
    plans.visibility = Visibility::Public;
    plans.room_alias_name = Some("plans".to_owned());
    let alices = alice.client.create_room(plans).await?;

    let mut request = get_public_rooms_filtered::v3::Request::new();
    let mut filter = Filter::new();
    filter.generic_search_term = Some("mice".to_owned());
    request.filter = filter;
    let published = bob.client.public_rooms_filtered(request).await?.chunk;
    ensure!(published.len() == 1 && published[0].room_id == alices.room_id(), "{published:?}");
    let alias = published[0].canonical_alias.clone().context("the room has an alias")?;

    let mut sent = Vec::new();
    for number in 0..30 {
        let text = RoomMessageEventContent::text_plain(number.to_string());
        sent.push(alices.send(text).await?.response.event_id);
    }
    let bobs = bob.client.join_room_by_id_or_alias((&*alias).into(), &[]).await?;
    ensure!(bobs.room_id() == alices.room_id());
    bob.until("the name", |_| (bobs.name()? == "Plans").then_some(())).await?;
    let mut members = bobs.members(RoomMemberships::JOIN).await?;
    members.sort_by(|one, other| one.user_id().cmp(other.user_id()));
    let members: Vec<&UserId> = members.iter().map(|member| member.user_id()).collect();
    ensure!(members == [alice.id(), bob.id()], "{members:?}");

    alice.until("the join", |_| (alices.joined_members_count() == 2).then_some(())).await?;

    let mut history = history(&bobs).await?;
    history.retain(|event_id| sent.contains(event_id));
    history.reverse();
    ensure!(history == sent, "{history:?}");

    bobs.leave().await?;
    bob.until("the leave", |sync| sync.rooms.left.get(bobs.room_id()).map(|_| ())).await?;
    ensure!(bobs.state() == RoomState::Left);
    bobs.forget().await?;
    alice.until("the leave", |_| (alices.joined_members_count() == 1).then_some(())).await
}

/// All that Bob may see, the newest first, in pages.
async fn history(room: &Room) -> Result<Vec<OwnedEventId>> {
    let mut events = Vec::new();
    let mut from = None;
    for _ in 0..20 {
        let mut page = MessagesOptions::backward().from(from.as_deref());
        page.limit = uint!(7);
        let page = room.messages(page).await?;
        events.extend(page.chunk.iter().filter_map(|event| event.event_id()));
        let Some(end) = page.end else {
            return Ok(events);
        };
        from = Some(end);
    }
    anyhow::bail!("the history has no end")
}

/// The IDs of the reactions to an event that the server gives.
async fn reactions(room: &Room, event_id: &OwnedEventId) -> Result<Vec<OwnedEventId>> {
    let which = IncludeRelations::RelationsOfType(RelationType::Annotation);
    let options = RelationsOptions { include_relations: which, ..RelationsOptions::default() };
    let relations = room.relations(event_id.clone(), options).await?;
    Ok(relations.chunk.iter().filter_map(|event| event.event_id()).collect())
}

fn message(event: AnySyncTimelineEvent) -> Result<OriginalSyncRoomMessageEvent> {
    let AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomMessage(message)) = event
    else {
        anyhow::bail!("not a message: {event:?}");
    };
    message.as_original().cloned().context("the message is redacted")
}
