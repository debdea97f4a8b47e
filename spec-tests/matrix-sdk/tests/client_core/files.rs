//! Pictures and files.

use anyhow::{Result, ensure};
use futures_util::{StreamExt, future::join};
use kith_client_core::{
    ErrorKind,
    media::MediaSize,
    timeline::Content,
    uploads::{NewFile, Thumbnail},
};
use kith_spec_tests::TestServer;

use super::someone::{Someone, alice_and_bob};

/// Not a picture that anybody could draw: nobody looks at it.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

#[tokio::test]
async fn a_picture_arrives_as_it_was_sent_and_the_server_cannot_see_it() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, bob, room) = alice_and_bob(&server.url()).await?;
    let (hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);
    let mut file = NewFile::new("cat.png", "image/png", bytes(300_000));
    (file.width, file.height) = (Some(640), Some(480));
    file.caption = Some("my cat".to_owned());
    let (mime, small) = ("image/png".to_owned(), bytes(5_000).into());
    file.thumbnail = Some(Thumbnail { mime, bytes: small, width: 64, height: 48 });

    let upload = hers.timeline.upload(file, None);
    let mut progress = upload.progress();
    let whole = async {
        while let Some(now) = progress.next().await {
            if now.sent == now.total && now.total > 0 {
                return now;
            }
        }
        Default::default()
    };
    let (sent, progress) = join(upload.run(), whole).await;
    sent?;
    ensure!(progress.total >= 305_000, "{progress:?}");

    let message = his.message("the picture", |it| matches!(it.content, Content::Image(_))).await?;
    let Content::Image(picture) = message.content else { anyhow::bail!("no picture") };
    ensure!((picture.width, picture.height) == (Some(640), Some(480)), "{picture:?}");
    ensure!(picture.name == "cat.png" && picture.caption.is_some_and(|it| it.plain == "my cat"));
    ensure!(picture.media.is_encrypted() && picture.size == Some(300_000));
    ensure!(bob.account.media(&picture.media, MediaSize::Full).await? == bytes(300_000));
    let thumbnail = picture.thumbnail.expect("it was sent");
    ensure!(bob.account.media(&thumbnail, MediaSize::Full).await? == bytes(5_000));

    let public = kith_client_core::media::MediaHandle::plain(picture.media.mxc());
    // Bob's device has it decrypted already.
    let stored = alice.account.media(&public, MediaSize::Full).await?;
    ensure!(stored.len() == 300_000 && stored != bytes(300_000), "not encrypted");
    Ok(())
}

#[tokio::test]
async fn a_file_in_a_room_without_encryption_is_stored_as_it_is() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let new = kith_client_core::room::NewRoom { name: "Files".to_owned(), ..Default::default() };
    let room = alice.account.create_room(&new).await?;
    let mut opened = alice.open(&room).await?;
    let file = NewFile::new("notes.txt", "text/plain", bytes(10));
    opened.timeline.upload(file, None).run().await?;
    let message = opened.message("the file", |it| matches!(it.content, Content::File(_))).await?;
    let Content::File(file) = message.content else { anyhow::bail!("no file") };
    ensure!(file.name == "notes.txt" && !file.media.is_encrypted() && file.caption.is_none());
    ensure!(alice.account.media(&file.media, MediaSize::Full).await? == bytes(10));
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_not_sent_and_what_is_cancelled_ends() -> Result<()> {
    let server = TestServer::with(|config| config.limits.upload = 1_000).await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let room = alice.account.create_room(&Default::default()).await?;
    let opened = alice.open(&room).await?;
    let upload = opened.timeline.upload(NewFile::new("a", "text/plain", bytes(2_000)), None);
    ensure!(upload.run().await.err().map(|it| it.kind()) == Some(ErrorKind::TooLarge));
    let upload = opened.timeline.upload(NewFile::new("a", "text/plain", bytes(500)), None);
    upload.cancel();
    ensure!(upload.run().await.err().map(|it| it.kind()) == Some(ErrorKind::Cancelled));
    Ok(())
}
