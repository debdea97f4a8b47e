//! What one says of oneself.

use anyhow::{Context, Result, ensure};
use kith_client_core::{Account, ErrorKind, Homeserver, Storage, media::MediaSize};
use kith_spec_tests::TestServer;

use super::someone::Someone;
use crate::person::PASSWORD;

#[tokio::test]
async fn name_and_avatar_are_seen_by_others() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    alice.account.set_display_name(" Alice ").await?;
    alice.account.set_avatar("image/png", b"not really a picture".to_vec()).await?;
    let me = alice.account.profile().await?;
    ensure!(me.name == "Alice" && me.id == alice.id(), "{me:?}");
    let avatar = me.avatar.context("no avatar")?;
    ensure!(&*alice.account.media(&avatar, MediaSize::Full).await? == b"not really a picture");
    let bob = Someone::register(&server.url(), "bob").await?;
    let seen = bob.account.search_people("Alice").await?;
    ensure!(seen.people[0].person.avatar.as_ref() == Some(&avatar), "{seen:?}");
    alice.account.remove_avatar().await?;
    alice.account.set_display_name("").await?;
    let me = alice.account.profile().await?;
    ensure!(me.name == alice.id() && me.avatar.is_none(), "{me:?}");
    Ok(())
}

#[tokio::test]
async fn a_new_password_needs_the_old_one() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let error = alice.account.change_password("wrong", "a new one, long enough").await.err();
    ensure!(error.map(|it| it.kind()) == Some(ErrorKind::WrongPassword));
    alice.account.change_password(PASSWORD, "a new one, long enough").await?;
    let homeserver = Homeserver::discover(&server.url()).await?;
    let folder = tempfile::tempdir()?;
    let storage = Storage::folder(folder.path());
    let new = "a new one, long enough";
    let account = Account::sign_in(&storage, &homeserver, "alice", new, "phone").await?;
    account.rename_device(account.device_id(), "Pocket").await?;
    let devices = account.devices().await?;
    ensure!(devices.len() == 2 && devices[0].name.as_deref() == Some("Pocket"), "{devices:?}");
    Ok(())
}
