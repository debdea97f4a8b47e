//! The network comes and goes.

use anyhow::{Result, ensure};
use kith_client_core::{Connection, ErrorKind, timeline::SendState};
use kith_spec_tests::TestServer;

use super::someone::{Someone, plain, until};
use crate::gate::Gate;

#[tokio::test]
async fn what_is_said_while_the_server_is_away_waits_and_is_sent_when_it_is_back() -> Result<()> {
    let server = TestServer::start().await;
    let gate = Gate::before(server.address()).await?;
    let alice = Someone::register(&gate.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let room = alice.befriend(&bob).await?;
    let (mut hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);
    let mut states = alice.account.connection();
    until("online", &mut states, |state| *state == Connection::Online).await?;
    hers.say("before").await?;

    gate.close();
    until("offline", &mut states, |state| *state == Connection::Offline).await?;
    hers.timeline.send_text("meanwhile").await?;
    let failed =
        hers.message("the failure", |it| matches!(it.send_state, SendState::Failed { .. })).await?;
    ensure!(plain(&failed) == Some("meanwhile"), "{failed:?}");
    let state = SendState::Failed { retryable: true, kind: ErrorKind::Offline };
    ensure!(failed.send_state == state, "{failed:?}");
    let error = alice.account.search_people("bob").await.err();
    ensure!(error.is_some_and(|error| error.is_retryable()));

    gate.open();
    alice.account.reconnect().await;
    until("online again", &mut states, |state| *state == Connection::Online).await?;
    hers.timeline.retry(&failed.id).await?;
    his.text("meanwhile").await?;
    hers.text("meanwhile").await?;
    Ok(())
}

#[tokio::test]
async fn what_waits_can_be_taken_back() -> Result<()> {
    let server = TestServer::start().await;
    let gate = Gate::before(server.address()).await?;
    let alice = Someone::register(&gate.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let room = alice.befriend(&bob).await?;
    let (mut hers, mut his) = (alice.open(&room).await?, bob.open(&room).await?);
    hers.say("before").await?;
    gate.close();
    hers.timeline.send_text("never mind").await?;
    let failed =
        hers.message("the failure", |it| matches!(it.send_state, SendState::Failed { .. })).await?;
    ensure!(hers.timeline.cancel(&failed.id).await?, "too late");
    let gone =
        |rows: &[_]| super::someone::messages(rows).all(|it| plain(it) != Some("never mind"));
    hers.shown.until("it is gone", gone).await?;
    gate.open();
    alice.account.reconnect().await;
    hers.say("after").await?;
    his.text("after").await?;
    ensure!(gone(&his.shown.rows), "it was sent");
    Ok(())
}
