//! Who is who: cross-signing, and the comparison of emoji.

use anyhow::{Context, Result, ensure};
use kith_spec_tests::TestServer;
use matrix_sdk::encryption::{
    CrossSigningResetAuthType, VerificationState,
    verification::{SasVerification, VerificationRequest},
};

use super::{direct_chat, hear, password, say};
use crate::person::{PASSWORD, Person, eventually};

#[tokio::test]
async fn two_people_verify_each_other_by_emoji_and_talk_in_secret() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    for person in [&alice, &bob] {
        // The first time without a password: MSC3967.
        person.client.encryption().bootstrap_cross_signing(None).await?;
        let status = person.client.encryption().cross_signing_status().await;
        ensure!(status.is_some_and(|status| status.is_complete()));
    }
    let (alices, bobs) = direct_chat(&alice, &bob).await?;

    let hello = say(&alices, "hello Bob").await?;
    ensure!(hear(&bob, &bobs, &hello).await? == "hello Bob");
    let answer = say(&bobs, "hello Alice").await?;
    ensure!(hear(&alice, &alices, &answer).await? == "hello Alice");

    let them = alice.client.encryption().request_user_identity(bob.id()).await?;
    let them = them.context("Bob has no identity")?;
    ensure!(!them.is_verified());
    let syncs = (alice.keep_syncing(), bob.keep_syncing());
    let request = them.request_verification().await?;
    ensure!(request.room_id() == Some(alices.room_id()), "not in their room");
    compare_emoji(&alice, &request, &bob).await?;
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        eventually("the other's identity is verified", async || {
            let identity = one.client.encryption().get_user_identity(other.id()).await?;
            Ok(identity.context("no identity")?.is_verified().then_some(()))
        })
        .await?;
        let device = other.client.device_id().context("signed in")?;
        let device = one.client.encryption().get_device(other.id(), device).await?;
        let device = device.context("the device is not known")?;
        ensure!(device.is_cross_signed_by_owner() && device.is_verified_with_cross_signing());
    }
    drop(syncs);

    let secret = say(&alices, "now I know that it is you").await?;
    ensure!(hear(&bob, &bobs, &secret).await? == "now I know that it is you");
    Ok(())
}

#[tokio::test]
async fn an_old_device_verifies_a_new_one_and_hands_it_the_secrets() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let old = Person::register(&proxy.url(), "alice").await?;
    old.client.encryption().bootstrap_cross_signing(None).await?;
    old.client.encryption().recovery().enable().await?;
    let new = Person::log_in(&proxy.url(), old.id(), PASSWORD).await?;
    let _syncs = (old.keep_syncing(), new.keep_syncing());
    let state = new.client.encryption().verification_state();
    eventually("the new device knows that it is not verified", async || {
        Ok((state.get() == VerificationState::Unverified).then_some(()))
    })
    .await?;

    let old_id = old.client.device_id().context("signed in")?;
    let device = eventually("the old device", async || {
        Ok(new.client.encryption().get_device(old.id(), old_id).await?)
    })
    .await?;
    // The SDK passes over requests of devices whose keys it has not asked for yet.
    let new_id = new.client.device_id().context("signed in")?;
    eventually("the old device knows the new one", async || {
        Ok(old.client.encryption().get_device(old.id(), new_id).await?)
    })
    .await?;
    let request = device.request_verification().await?;
    ensure!(request.is_self_verification() && request.room_id().is_none());
    compare_emoji(&new, &request, &old).await?;

    eventually("the new device is verified", async || {
        Ok((state.get() == VerificationState::Verified).then_some(()))
    })
    .await?;
    eventually("the secrets", async || {
        let status = new.client.encryption().cross_signing_status().await.context("no status")?;
        let backups = new.client.encryption().backups().are_enabled().await;
        Ok((status.is_complete() && backups).then_some(()))
    })
    .await
}

/// New keys instead of the old ones need the password.
#[tokio::test]
async fn an_identity_is_reset_with_the_password_only() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Person::register(&proxy.url(), "alice").await?;
    alice.client.encryption().bootstrap_cross_signing(None).await?;
    let first = identity_of(&alice, &alice).await?;

    let reset = alice.client.encryption().reset_cross_signing().await?;
    let reset = reset.context("no password was asked for")?;
    let CrossSigningResetAuthType::Uiaa(flows) = reset.auth_type() else {
        anyhow::bail!("something else was asked for: {:?}", reset.auth_type());
    };
    let session = flows.session.clone();
    let wrong = reset.auth(Some(password(&alice, "wrong", session.clone()))).await;
    ensure!(wrong.is_err(), "any password will do");
    ensure!(identity_of(&alice, &alice).await? == first);
    let right = password(&alice, PASSWORD, session);
    reset.auth(Some(right)).await?;
    let bob = Person::register(&proxy.url(), "bob").await?;
    ensure!(identity_of(&bob, &alice).await? != first);
    Ok(())
}

/// The public master key of somebody, as the server gives it to `who`.
async fn identity_of(who: &Person, whose: &Person) -> Result<String> {
    let identity = who.client.encryption().request_user_identity(whose.id()).await?;
    let identity = identity.context("no identity")?;
    let key = identity.master_key().get_first_key().context("no key")?;
    Ok(key.to_base64())
}

/// `other` accepts the request, and both see and confirm the same seven emoji.
async fn compare_emoji(one: &Person, request: &VerificationRequest, other: &Person) -> Result<()> {
    let flow = request.flow_id();
    let received = eventually("the request", async || {
        Ok(other.client.encryption().get_verification_request(one.id(), flow).await)
    })
    .await?;
    received.accept().await?;
    eventually("the answer", async || Ok(request.is_ready().then_some(()))).await?;
    let sas = request.start_sas().await?.context("emoji are not supported")?;
    let other_sas = eventually("the start", async || {
        let verification = other.client.encryption().get_verification(one.id(), flow).await;
        Ok(verification.and_then(|verification| verification.sas()))
    })
    .await?;
    other_sas.accept().await?;
    let seen = emoji(&sas).await?;
    ensure!(emoji(&other_sas).await? == seen && seen.len() == 7, "{seen:?}");
    sas.confirm().await?;
    other_sas.confirm().await?;
    for sas in [sas, other_sas] {
        eventually("the end", async || Ok(sas.is_done().then_some(()))).await?;
    }
    Ok(())
}

async fn emoji(sas: &SasVerification) -> Result<Vec<&'static str>> {
    let emoji = eventually("the emoji", async || Ok(sas.emoji())).await?;
    Ok(emoji.iter().map(|emoji| emoji.symbol).collect())
}
