//! Rooms: made, found, entered, left; lists of them.

use anyhow::{Context, Result, ensure};
use kith_client_core::{
    ErrorKind,
    room::{Membership, NewRoom, Role},
    rooms::{Loading, RoomFilter, RoomKind, RoomName, RoomRow},
    timeline::{ChangeKind, Item},
};
use kith_spec_tests::TestServer;

use super::someone::{Shown, Someone, until};

fn names(rows: &[RoomRow]) -> Vec<String> {
    rows.iter().map(|row| row.name.to_string()).collect()
}

#[tokio::test]
async fn a_public_room_is_made_entered_by_its_alias_and_left() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let new = NewRoom {
        name: "Kitchen".to_owned(),
        topic: Some("Food".to_owned()),
        public: true,
        alias: Some("kitchen".to_owned()),
        ..NewRoom::default()
    };
    let room = alice.account.create_room(&new).await?;
    let alias = format!("#kitchen:{}", server.name());
    let link = format!("https://matrix.to/#/{alias}");
    ensure!(bob.account.join_room(&link).await? == room);
    let mut details = bob.account.room_details(&room);
    let name = RoomName::Named("Kitchen".to_owned());
    let both = until("both are there", &mut details, |it| it.joined == 2 && it.row.name == name);
    let seen = both.await?;
    ensure!(seen.topic.as_deref() == Some("Food") && seen.alias == Some(alias), "{seen:?}");
    ensure!(seen.row.is_public && !seen.row.is_direct && seen.membership == Membership::Joined);
    ensure!(seen.can_send && !seen.can_rename && seen.row.encrypted == Some(false), "{seen:?}");
    let members = bob.account.members(&room).await?;
    let roles: Vec<_> = members.iter().map(|it| (&*it.person.id, it.role)).collect();
    ensure!(members.len() == 2 && roles[1] == (bob.id(), Role::Member), "{roles:?}");
    ensure!(roles[0].0 == alice.id() && roles[0].1 < Role::Moderator, "{roles:?}");

    alice.account.rename_room(&room, "Kitchen & Bar").await?;
    let name = RoomName::Named("Kitchen & Bar".to_owned());
    until("the new name", &mut details, |it| it.row.name == name).await?;
    let mut opened = bob.open(&room).await?;
    let renamed = ChangeKind::RoomNamed(Some("Kitchen & Bar".to_owned()));
    opened
        .shown
        .until("the change", |rows| {
            let mut changes = rows.iter().filter_map(|row| match &row.item {
                Item::Change(change) => Some(&change.kind),
                _ => None,
            });
            changes.any(|kind| *kind == renamed)
        })
        .await?;

    bob.account.leave_room(&room).await?;
    until("Bob has left", &mut details, |it| it.membership == Membership::Left).await?;
    let error = bob.account.join_room("#nowhere:kith.test").await.err().context("it exists")?;
    ensure!(error.kind() == ErrorKind::NotFound, "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_list_is_filtered_by_kind_and_by_name() -> Result<()> {
    let server = TestServer::start().await;
    let alice = Someone::register(&server.url(), "alice").await?;
    let bob = Someone::register(&server.url(), "bob").await?;
    let list = alice.account.rooms().await?;
    let mut rows = Shown::new(list.rows());
    for name in ["Garden", "Gärtnerei"] {
        let new = NewRoom { name: name.to_owned(), ..NewRoom::default() };
        alice.account.create_room(&new).await?;
    }
    let chat = alice.befriend(&bob).await?;
    let new = NewRoom {
        name: "Party".to_owned(),
        invite: vec![alice.id().to_owned()],
        ..NewRoom::default()
    };
    let party = bob.account.create_room(&new).await?;
    rows.until("all", |it| it.len() == 4).await?;
    until("loaded", &mut list.loading(), |it| matches!(it, Loading::Loaded { .. })).await?;

    let mut show = async |kind, text: &str, expected: &[&str]| {
        list.set_filter(RoomFilter { kind, text: text.to_owned() });
        rows.until(&format!("{expected:?}"), |it| {
            let mut names = names(it);
            names.sort();
            names == expected
        })
        .await
    };
    show(RoomKind::People, "", &["bob"]).await?;
    show(RoomKind::Invites, "", &["Party"]).await?;
    show(RoomKind::All, "gar", &["Garden", "Gärtnerei"]).await?;
    show(RoomKind::Groups, "", &["Garden", "Gärtnerei", "Party"]).await?;
    alice.account.set_favourite(&chat, true).await?;
    show(RoomKind::Favourites, "", &["bob"]).await?;
    alice.account.mark_room_unread(&chat).await?;
    show(RoomKind::Unread, "", &["bob"]).await?;
    alice.account.mark_room_read(&chat).await?;
    show(RoomKind::Unread, "", &[]).await?;
    alice.account.decline_invite(&party).await?;
    show(RoomKind::All, "", &["Garden", "Gärtnerei", "bob"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_long_list_comes_in_pages() -> Result<()> {
    let server = TestServer::start().await;
    let user = server.register("alice").await;
    for number in 0..75 {
        user.create_room_from(serde_json::json!({ "name": format!("Room {number}") })).await;
    }
    let (storage, folder) = {
        let folder = tempfile::tempdir()?;
        (kith_client_core::Storage::folder(folder.path()), folder)
    };
    let homeserver = kith_client_core::Homeserver::discover(&server.url()).await?;
    let account = kith_client_core::Account::sign_in(
        &storage,
        &homeserver,
        &user.user_id,
        &user.password,
        "device",
    )
    .await?;
    let list = account.rooms().await?;
    let mut rows = Shown::new(list.rows());
    rows.until("the first page", |it| it.len() == 60 && names(it)[0] == "Room 74").await?;
    until("all are known", &mut list.loading(), |it| *it == Loading::Loaded { rooms: Some(75) })
        .await?;
    list.more();
    rows.until("the rest", |it| it.len() == 75).await?;
    account.sign_out().await?;
    drop(folder);
    Ok(())
}
