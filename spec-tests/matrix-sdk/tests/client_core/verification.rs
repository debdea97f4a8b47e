//! People and devices compare emoji.

use anyhow::{Result, ensure};
use kith_client_core::{
    Stream,
    encryption::{CancelReason, Emoji, Verification, VerificationState},
};
use kith_spec_tests::TestServer;

use super::someone::{Someone, alice_and_bob, until};

#[tokio::test]
async fn two_people_verify_each_other_by_emoji() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, bob, room) = alice_and_bob(&server.url()).await?;
    let (mut hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);
    hers.say("is it you?").await?;
    his.text("is it you?").await?;
    ensure!(alice.account.is_verified(bob.id()).await? == Some(false));

    let mut requests = bob.account.verification_requests();
    let asks = alice.account.verify_user(bob.id());
    let (asked, received) = futures_util::join!(asks, next(&mut requests));
    let (asked, received) = (asked?, received?);
    let peer = received.peer();
    ensure!(peer.user_id == alice.id() && !peer.own && received == asked, "{peer:?}");
    compare(&asked, &received).await?;
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        let verified = async {
            while one.account.is_verified(other.id()).await? != Some(true) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(crate::person::PATIENCE, verified).await??;
    }
    hers.say("now I know").await?;
    let seen = his.text("now I know").await?;
    ensure!(seen.shield.is_none(), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn an_old_device_verifies_a_new_one() -> Result<()> {
    let server = TestServer::start().await;
    let old = Someone::register(&server.url(), "alice").await?;
    let mut requests = old.account.verification_requests();
    let mut states = old.account.encryption();
    until("the old device is verified", &mut states, |it| it.verified == Some(true)).await?;
    let new = Someone::sign_in(&server.url(), "alice").await?;
    let mut states = new.account.encryption();
    until("the new device is not verified", &mut states, |it| it.verified == Some(false)).await?;
    // The SDK passes over requests of devices whose keys it has not asked for yet.
    let known = async {
        while old.account.devices().await?.iter().all(|it| it.current || it.verified.is_none()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(crate::person::PATIENCE, known).await??;
    ensure!(new.account.has_device_to_verify_with().await?);

    let asks = new.account.verify_own_device(None);
    let (asked, received) = futures_util::join!(asks, next(&mut requests));
    let (asked, received) = (asked?, received?);
    ensure!(received.peer().own);
    compare(&asked, &received).await?;
    until("the new device is verified", &mut states, |it| it.verified == Some(true)).await?;
    let devices = new.account.devices().await?;
    ensure!(devices.len() == 2 && devices[0].current, "{devices:?}");
    ensure!(devices.iter().all(|device| device.verified == Some(true)), "{devices:?}");
    Ok(())
}

#[tokio::test]
async fn emoji_that_differ_verify_nobody() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, bob, room) = alice_and_bob(&server.url()).await?;
    // The SDK passes over requests that it could not read at once: Bob needs the room's key before.
    let (mut hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);
    hers.say("is it you?").await?;
    his.text("is it you?").await?;
    let mut requests = bob.account.verification_requests();
    let asks = alice.account.verify_user(bob.id());
    let (asked, received) = futures_util::join!(asks, next(&mut requests));
    let (asked, received) = (asked?, received?);
    received.accept().await?;
    let (mut hers, mut his) = (asked.states(), received.states());
    let (ours, theirs) = futures_util::join!(emoji(&mut hers), emoji(&mut his));
    ensure!(ours? == theirs?);
    received.mismatch().await?;
    for states in [&mut hers, &mut his] {
        let end = until("the end", states, |it| matches!(it, VerificationState::Cancelled(_)));
        ensure!(end.await? == VerificationState::Cancelled(CancelReason::Mismatch));
    }
    ensure!(alice.account.is_verified(bob.id()).await? == Some(false));
    Ok(())
}

async fn next(requests: &mut Stream<Verification>) -> Result<Verification> {
    until("the request", requests, |_| true).await
}

async fn emoji(states: &mut Stream<VerificationState>) -> Result<Vec<Emoji>> {
    match until("the emoji", states, |it| matches!(it, VerificationState::Emoji(_))).await? {
        VerificationState::Emoji(emoji) => Ok(emoji),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Accepts, compares, and says so on both sides.
async fn compare(asked: &Verification, received: &Verification) -> Result<()> {
    received.accept().await?;
    let (mut ours, mut theirs) = (asked.states(), received.states());
    let (one, other) = futures_util::join!(emoji(&mut ours), emoji(&mut theirs));
    let (one, other) = (one?, other?);
    ensure!(one == other && one.len() == 7, "{one:?} and {other:?}");
    asked.confirm().await?;
    received.confirm().await?;
    let done = |it: &VerificationState| *it == VerificationState::Done;
    let (one, other) =
        futures_util::join!(until("done", &mut ours, done), until("done", &mut theirs, done));
    one.and(other).map(drop)
}
