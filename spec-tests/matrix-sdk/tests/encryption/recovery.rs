//! What was said is not lost with a device: key backup and recovery.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::encryption::{VerificationState, backups::BackupState, recovery::RecoveryState};

use super::{direct_chat, hear, read, say};
use crate::person::{PASSWORD, Person};

#[tokio::test]
async fn a_third_device_restores_the_history_with_the_recovery_key() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    alice.client.encryption().bootstrap_cross_signing(None).await?;
    bob.client.encryption().bootstrap_cross_signing(None).await?;
    let (alices, bobs) = direct_chat(&alice, &bob).await?;
    let said = [say(&alices, "one").await?, say(&bobs, "two").await?, say(&alices, "three").await?];
    ensure!(hear(&alice, &alices, &said[1]).await? == "two");
    ensure!(hear(&bob, &bobs, &said[2]).await? == "three");
    // Alice knows that Bob is Bob, and so will her next device.
    let them = alice.client.encryption().request_user_identity(bob.id()).await?;
    them.context("Bob has no identity")?.verify().await?;

    let recovery = alice.client.encryption().recovery();
    ensure!(recovery.state() == RecoveryState::Disabled, "{:?}", recovery.state());
    let key = recovery.enable().wait_for_backups_to_upload().await?;
    ensure!(alice.client.encryption().backups().state() == BackupState::Enabled);
    // A second device, which is not the only one.
    let second = Person::log_in(&proxy.url(), alice.id(), PASSWORD).await?;
    ensure!(second.client.encryption().has_devices_to_verify_against().await?);
    let alice_id = alice.id().to_owned();
    alice.client.logout().await?;
    second.client.logout().await?;

    let third = Person::log_in(&proxy.url(), &alice_id, PASSWORD).await?;
    let thirds = third.room(&alices)?;
    for event_id in &said {
        ensure!(read(&thirds, event_id).await?.is_none(), "who gave it the key?");
    }
    let recovery = third.client.encryption().recovery();
    ensure!(recovery.recover("EsTj qRGp YB4C").await.is_err(), "any key will do");
    recovery.recover(&key).await?;
    ensure!(recovery.state() == RecoveryState::Enabled, "{:?}", recovery.state());
    let status = third.client.encryption().cross_signing_status().await;
    ensure!(status.is_some_and(|status| status.is_complete()));
    third.client.encryption().backups().download_room_keys_for_room(alices.room_id()).await?;
    for (event_id, text) in said.iter().zip(["one", "two", "three"]) {
        ensure!(read(&thirds, event_id).await?.as_deref() == Some(text), "{text}");
    }
    let state = third.client.encryption().verification_state();
    ensure!(state.get() == VerificationState::Verified);
    let them = third.client.encryption().request_user_identity(bob.id()).await?;
    ensure!(them.context("Bob has no identity")?.is_verified(), "the signature is lost");

    // What is said from now on is backed up by the third device, and to Bob it is Alice.
    let reply = say(&thirds, "four").await?;
    ensure!(hear(&bob, &bobs, &reply).await? == "four");
    third.client.encryption().backups().wait_for_steady_state().await?;
    let key = recovery.reset_key().await?;
    let fourth = Person::log_in(&proxy.url(), third.id(), PASSWORD).await?;
    fourth.client.encryption().recovery().recover(&key).await?;
    let fourths = fourth.room(&alices)?;
    fourth.client.encryption().backups().download_room_keys_for_room(alices.room_id()).await?;
    ensure!(read(&fourths, &reply).await?.as_deref() == Some("four"));

    fourth.client.encryption().recovery().disable().await?;
    ensure!(!third.client.encryption().backups().fetch_exists_on_server().await?);
    Ok(())
}
