//! The recovery key brings everything back.

use anyhow::{Result, ensure};
use kith_client_core::{ErrorKind, encryption::Recovery, timeline::Content};
use kith_spec_tests::TestServer;

use super::someone::{Someone, until};

#[tokio::test]
async fn a_new_device_reads_old_messages_with_the_recovery_key() -> Result<()> {
    let server = TestServer::start().await;
    let old = Someone::register(&server.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let room = old.befriend(&bob).await?;
    let (mut hers, mut his) = (old.open(&room).await?, bob.open(&room).await?);
    hers.say("one").await?;
    his.say("two").await?;
    hers.text("two").await?;
    let mut states = old.account.encryption();
    until("no recovery", &mut states, |it| it.recovery == Recovery::Disabled).await?;
    let key = old.account.set_up_recovery().await?;
    ensure!(key.split(' ').count() > 10, "{key}");
    let is_set_up = |it: &kith_client_core::encryption::EncryptionState| {
        it.recovery == Recovery::Enabled && it.backup && it.verified == Some(true)
    };
    until("recovery", &mut states, is_set_up).await?;

    let new = Someone::sign_in(&server.url(), "alice").await?;
    let mut states = new.account.encryption();
    until("the new device has nothing", &mut states, |it| {
        it.recovery == Recovery::Incomplete && it.verified == Some(false)
    })
    .await?;
    let mut opened = new.open(&room).await?;
    let closed = |it: &kith_client_core::timeline::Message| {
        matches!(it.content, Content::UnableToDecrypt(_))
    };
    opened.timeline.paginate_back(50).await?;
    opened.message("a message that cannot be read", closed).await?;
    ensure!(new.account.set_up_recovery().await.is_err(), "it overwrote what it does not know");
    for wrong in ["", "EsTj qRGp YB4C", &key.replace(key.chars().next().unwrap_or('E'), "F")] {
        let error = new.account.recover(wrong).await.err();
        let kind = error.as_ref().map(|it| it.kind());
        ensure!(kind == Some(ErrorKind::WrongRecoveryKey), "{wrong}: {error:?}");
    }
    new.account.recover(&format!(" {key}\n")).await?;
    until("recovered", &mut states, is_set_up).await?;
    opened.text("one").await?;
    opened.text("two").await?;

    // A new key, and the old one is of no use.
    let second = new.account.set_up_recovery().await?;
    ensure!(second != key);
    let third = Someone::sign_in(&server.url(), "alice").await?;
    let mut states = third.account.encryption();
    until("nothing yet", &mut states, |it| it.recovery == Recovery::Incomplete).await?;
    ensure!(third.account.recover(&key).await.is_err(), "the old key opens the new lock");
    third.account.recover(&second).await?;
    until("recovered", &mut states, is_set_up).await?;
    Ok(())
}

#[tokio::test]
async fn who_has_lost_everything_begins_anew_with_the_password() -> Result<()> {
    let server = TestServer::start().await;
    let old = Someone::register(&server.url(), "alice").await?;
    let mut states = old.account.encryption();
    until("verified", &mut states, |it| it.verified == Some(true)).await?;
    old.account.set_up_recovery().await?;
    let new = Someone::sign_in(&server.url(), "alice").await?;
    let mut states = new.account.encryption();
    until("not verified", &mut states, |it| it.verified == Some(false)).await?;
    let error = new.account.reset_identity("wrong").await.err();
    ensure!(error.as_ref().map(|it| it.kind()) == Some(ErrorKind::WrongPassword), "{error:?}");
    new.account.reset_identity(crate::person::PASSWORD).await?;
    until("verified", &mut states, |it| it.verified == Some(true)).await?;
    Ok(())
}
