//! People find each other.

use anyhow::{Result, ensure};
use kith_client_core::{ErrorKind, rooms::RoomName};
use kith_spec_tests::TestServer;

use super::someone::{Shown, Someone};

#[tokio::test]
async fn two_people_find_each_other_ask_and_accept() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Someone::register(&proxy.url(), "alice").await?;
    let bob = Someone::register(&proxy.url(), "bob").await?;
    bob.account.set_display_name("Bob the Builder").await?;

    let found = alice.account.search_people("builder").await?;
    ensure!(found.people.len() == 1 && !found.more, "{found:?}");
    ensure!(found.people[0].person.name == "Bob the Builder");
    ensure!(found.people[0].person.id == bob.id() && found.people[0].room_id.is_none());

    let room = alice.account.ask(bob.id()).await?;
    let mut friends = Shown::of_states(alice.account.friends());
    friends.until("Bob, who has not answered", |it| it.len() == 1 && it[0].waiting).await?;
    let mut requests = Shown::of_states(bob.account.friend_requests());
    requests.until("the request", |it| it.len() == 1).await?;
    ensure!(requests.rows[0].from.id == alice.id() && requests.rows[0].room_id == room);

    bob.account.accept_request(&room).await?;
    requests.until("no more requests", <[_]>::is_empty).await?;
    friends.until("Bob has answered", |it| it.len() == 1 && !it[0].waiting).await?;
    ensure!(friends.rows[0].person.name == "Bob the Builder", "{:?}", friends.rows);
    let mut friends = Shown::of_states(bob.account.friends());
    friends.until("Alice is Bob's friend", |it| it.len() == 1 && it[0].room_id == room).await?;

    // Asking again leads to the same chat, and the search knows it too.
    ensure!(alice.account.ask(bob.id()).await? == room);
    let found = alice.account.search_people(bob.id()).await?;
    ensure!(found.people[0].room_id.as_deref() == Some(&*room), "{found:?}");
    let list = alice.account.rooms().await?;
    let mut rooms = Shown::new(list.rows());
    rooms
        .until("the chat bears Bob's name", |it| {
            it.len() == 1 && it[0].name == RoomName::Named("Bob the Builder".to_owned())
        })
        .await?;
    let row = &rooms.rows[0];
    ensure!(row.is_direct && row.with.as_deref() == Some(bob.id()), "{row:?}");
    ensure!(row.encrypted == Some(true), "{row:?}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_declined_is_gone_for_both() -> Result<()> {
    let server = TestServer::start().await;
    let proxy = server.recording_proxy().await;
    let alice = Someone::register(&proxy.url(), "alice").await?;
    let bob = Someone::register(&proxy.url(), "bob").await?;
    let room = alice.account.ask(bob.id()).await?;
    let mut friends = Shown::of_states(alice.account.friends());
    friends.until("Bob, who has not answered", |it| it.len() == 1).await?;
    let mut requests = Shown::of_states(bob.account.friend_requests());
    requests.until("the request", |it| it.len() == 1).await?;
    bob.account.decline_request(&room).await?;
    requests.until("no request", <[_]>::is_empty).await?;
    friends.until("no friend", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_is_asked_who_is_nobody_or_oneself() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    for nobody in ["bob", alice.id()] {
        let error = alice.account.ask(nobody).await.err();
        ensure!(error.map(|it| it.kind()) == Some(ErrorKind::InvalidAddress), "{nobody}");
    }
    ensure!(alice.account.search_people("alice").await?.people.is_empty());
    ensure!(alice.account.search_people(" ").await?.people.is_empty());
    Ok(())
}
