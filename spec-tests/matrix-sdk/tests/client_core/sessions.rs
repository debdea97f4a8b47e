//! Signing in, coming back, signing out.

use anyhow::{Context, Result, ensure};
use kith_client_core::{
    Account, Connection, ErrorKind, Homeserver, Registration, Storage,
    timeline::{Item, TimelineRow},
};
use kith_spec_tests::TestServer;

use super::someone::{Someone, alice_and_bob, messages, plain, until};
use crate::person::PASSWORD;

#[tokio::test]
async fn a_server_is_found_and_says_how_one_gets_in() -> Result<()> {
    let server = TestServer::start().await;
    let found = Homeserver::discover(&server.address().to_string()).await?;
    ensure!(found.password && !found.sso && found.registration == Registration::Open, "{found:?}");
    ensure!(found.url == format!("{}/", server.url()), "{found:?}");
    let error = Homeserver::discover("").await.err().context("nothing is a server")?;
    ensure!(error.kind() == ErrorKind::NotAHomeserver);
    let nobody = format!("http://127.0.0.1:{}", kith_spec_tests::free_port());
    let error = Homeserver::discover(&nobody).await.err().context("nobody listens there")?;
    ensure!(matches!(error.kind(), ErrorKind::NotAHomeserver | ErrorKind::Offline), "{error:?}");
    Ok(())
}

/// A closed server, which lets in who has the token `welcome`.
async fn closed_server(tokens: serde_json::Value) -> TestServer {
    TestServer::with(|config| {
        let open = serde_json::from_value(serde_json::json!("never"));
        config.registration.open = open.expect("a valid setting");
        config.registration.tokens = serde_json::from_value(tokens).expect("valid tokens");
    })
    .await
}

#[tokio::test]
async fn a_closed_server_lets_in_who_has_a_token() -> Result<()> {
    let server = closed_server(serde_json::json!([{ "token": "welcome" }])).await;
    let homeserver = Homeserver::discover(&server.url()).await?;
    ensure!(homeserver.registration == Registration::WithToken, "{homeserver:?}");
    let folder = tempfile::tempdir()?;
    let storage = Storage::folder(folder.path());
    for (token, expected) in
        [(None, ErrorKind::TokenNeeded), (Some("please"), ErrorKind::WrongToken)]
    {
        let refused =
            Account::register(&storage, &homeserver, "alice", PASSWORD, token, "x").await.err();
        ensure!(refused.as_ref().map(|it| it.kind()) == Some(expected), "{refused:?}");
    }
    let token = Some("welcome");
    let account = Account::register(&storage, &homeserver, "alice", PASSWORD, token, "x").await?;
    ensure!(account.user_id() == format!("@alice:{}", server.name()));

    let closed = closed_server(serde_json::json!([])).await;
    let homeserver = Homeserver::discover(&closed.url()).await?;
    ensure!(homeserver.registration == Registration::Closed, "{homeserver:?}");
    let registered = Account::register(&storage, &homeserver, "alice", PASSWORD, None, "x").await;
    let error = registered.err().context("it is closed")?;
    ensure!(error.kind() == ErrorKind::RegistrationClosed, "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_a_name_that_is_taken_are_told() -> Result<()> {
    let server = TestServer::start().await;
    let _alice = Someone::register(&server.url(), "alice").await?;
    let folder = tempfile::tempdir()?;
    let storage = Storage::folder(folder.path());
    let homeserver = Homeserver::discover(&server.url()).await?;
    for (user, password) in [("alice", "wrong"), ("nobody", PASSWORD)] {
        let error = Account::sign_in(&storage, &homeserver, user, password, "x").await.err();
        let kind = error.as_ref().map(|it| it.kind());
        ensure!(kind == Some(ErrorKind::WrongPassword), "{user}: {error:?}");
    }
    for (user, expected) in
        [("alice", ErrorKind::UserNameTaken), ("not a name", ErrorKind::InvalidUserName)]
    {
        let registered = Account::register(&storage, &homeserver, user, PASSWORD, None, "x").await;
        let error = registered.err();
        ensure!(error.as_ref().map(|it| it.kind()) == Some(expected), "{user}: {error:?}");
    }
    ensure!(Account::restore(&storage).await?.is_none(), "somebody is signed in");
    let left = std::fs::read_dir(folder.path().join("stores")).map_or(0, Iterator::count);
    ensure!(left == 0, "{left} stores are left");
    Ok(())
}

#[tokio::test]
async fn a_restart_brings_everything_back_and_signing_out_removes_it() -> Result<()> {
    let server = TestServer::start().await;
    let (alice, bob, room) = alice_and_bob(&server.url()).await?;
    {
        let mut opened = alice.open(&room).await?;
        opened.say("before the restart").await?;
    }
    let device = alice.account.device_id().to_owned();
    let mut his = bob.open(&room).await?;
    his.text("before the restart").await?;

    let alice = alice.restarted().await?;
    ensure!(alice.account.device_id() == device, "another device");
    let mut hers = alice.open(&room).await?;
    hers.text("before the restart").await?;
    his.say("welcome back").await?;
    hers.text("welcome back").await?;
    let readable = |rows: &[TimelineRow]| messages(rows).filter(|it| plain(it).is_some()).count();
    ensure!(readable(&hers.shown.rows) == 2, "{:?}", hers.shown.rows);
    ensure!(
        hers.shown
            .rows
            .iter()
            .all(|row| row.item != Item::Start || readable(&hers.shown.rows) == 2)
    );

    let storage = alice.storage();
    drop(hers);
    let Someone { account, .. } = &alice;
    account.clone().sign_out().await?;
    ensure!(Account::restore(&storage).await?.is_none(), "the session is still there");
    Ok(())
}

#[tokio::test]
async fn a_session_that_another_device_ended_is_lost() -> Result<()> {
    let server = TestServer::start().await;
    let first = Someone::register(&server.url(), "alice").await?;
    let second = Someone::sign_in(&server.url(), "alice").await?;
    let mut states = second.account.connection();
    until("online", &mut states, |it| *it == Connection::Online).await?;
    let ids = [second.account.device_id().to_owned()];
    let error =
        first.account.sign_out_devices(&ids, "wrong").await.err().context("any password")?;
    ensure!(error.kind() == ErrorKind::WrongPassword, "{error:?}");
    first.account.sign_out_devices(&ids, PASSWORD).await?;
    until("the session is lost", &mut states, |it| *it == Connection::SessionLost).await?;
    ensure!(first.account.devices().await?.len() == 1);
    let storage = second.storage();
    second.account.clone().sign_out().await?;
    ensure!(Account::restore(&storage).await?.is_none());
    Ok(())
}
