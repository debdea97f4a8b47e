//! Who reads what is said: the devices that there are when it is said.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::{
    attachment::AttachmentConfig,
    ruma::events::{
        AnySyncMessageLikeEvent, AnySyncTimelineEvent,
        room::{MediaSource, message::MessageType},
    },
};

use super::{direct_chat, hear, read, say};
use crate::person::{PASSWORD, Person};

#[tokio::test]
async fn a_new_device_reads_what_is_said_from_then_on_until_it_is_signed_out() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    let (alices, bobs) = direct_chat(&alice, &bob).await?;
    let before = say(&bobs, "before").await?;
    ensure!(hear(&alice, &alices, &before).await? == "before");

    let second = Person::log_in(&proxy.url(), alice.id(), PASSWORD).await?;
    let seconds = second.room(&alices)?;
    number_of_devices(&bob, &alice, 2).await?;
    let after = say(&bobs, "after").await?;
    ensure!(hear(&alice, &alices, &after).await? == "after");
    ensure!(hear(&second, &seconds, &after).await? == "after");
    ensure!(read(&seconds, &before).await?.is_none(), "who gave it the key?");

    second.client.logout().await?;
    number_of_devices(&bob, &alice, 1).await?;
    let last = say(&bobs, "last").await?;
    ensure!(hear(&alice, &alices, &last).await? == "last");
    Ok(())
}

#[tokio::test]
async fn a_file_in_an_encrypted_room_is_readable_for_its_members_only() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    let (alices, bobs) = direct_chat(&alice, &bob).await?;
    let data = b"nothing that the server may read".to_vec();
    let config = AttachmentConfig::new();
    let file_type = "text/plain".parse()?;
    let sent = alices.send_attachment("a.txt", &file_type, data.clone(), config).await?.event_id;
    let AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomMessage(message)) =
        bob.event(&bobs, &sent).await?
    else {
        anyhow::bail!("not readable");
    };
    let message = message.as_original().context("redacted")?;
    let MessageType::File(file) = &message.content.msgtype else {
        anyhow::bail!("not a file: {message:?}");
    };
    let MediaSource::Encrypted(source) = &file.source else {
        anyhow::bail!("in the clear: {file:?}");
    };
    ensure!(bob.client.media().get_file(file, false).await? == Some(data.clone()));
    // The server has something else.
    let plain = matrix_sdk::media::MediaRequestParameters {
        source: MediaSource::Plain(source.url.clone()),
        format: matrix_sdk::media::MediaFormat::File,
    };
    let kept = bob.client.media().get_media_content(&plain, false).await?;
    ensure!(kept.len() == data.len() && kept != data, "in the clear");
    Ok(())
}

/// Syncs until somebody is known to have so many devices.
async fn number_of_devices(who: &Person, whose: &Person, number: usize) -> Result<()> {
    who.until_async("the devices", async |_| {
        let devices = who.client.encryption().get_user_devices(whose.id()).await?;
        Ok((devices.keys().count() == number).then_some(()))
    })
    .await
}
