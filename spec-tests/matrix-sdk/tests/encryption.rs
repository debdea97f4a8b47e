//! Is what people say in encrypted rooms theirs alone, on all of their devices? Every test has real
//! cryptography at both ends; the server only carries and keeps.

mod devices;
mod one_time_keys;
mod recovery;
mod verification;

use anyhow::{Context, Result, ensure};
use matrix_sdk::{
    Room,
    ruma::{
        EventId, OwnedEventId,
        api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
        events::{
            AnySyncMessageLikeEvent, AnySyncTimelineEvent, room::message::RoomMessageEventContent,
        },
    },
};

use crate::person::Person;

/// An encrypted direct chat, as each of them has it.
async fn direct_chat(alice: &Person, bob: &Person) -> Result<(Room, Room)> {
    let alices = alice.client.create_dm(bob.id()).await?;
    let room = alices.room_id();
    let bobs = bob.until("the invitation", |_| bob.client.get_room(room)).await?;
    bobs.join().await?;
    alice.until("the join", |_| (alices.joined_members_count() == 2).then_some(())).await?;
    bob.until("the room", |_| (bobs.joined_members_count() == 2).then_some(())).await?;
    ensure!(alice.room(&alices)?.latest_encryption_state().await?.is_encrypted());
    ensure!(bobs.latest_encryption_state().await?.is_encrypted());
    Ok((alice.room(&alices)?, bobs))
}

/// Sends it encrypted: its event ID.
async fn say(room: &Room, text: &str) -> Result<OwnedEventId> {
    let sent = room.send(RoomMessageEventContent::text_plain(text)).await?;
    ensure!(sent.encryption_info.is_some(), "`{text}` was sent in the clear");
    Ok(sent.response.event_id)
}

/// What a message that the server gives now says, `None` if it cannot be decrypted.
async fn read(room: &Room, id: &EventId) -> Result<Option<String>> {
    let event = room.event(id, None).await?;
    if event.kind.is_utd() {
        return Ok(None);
    }
    ensure!(event.encryption_info().is_some(), "the message was in the clear");
    Ok(Some(text(event.raw().deserialize()?)?))
}

/// What a message says that this device gets with its next syncs.
async fn hear(person: &Person, room: &Room, id: &EventId) -> Result<String> {
    text(person.event(room, id).await?)
}

fn text(event: AnySyncTimelineEvent) -> Result<String> {
    let AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomMessage(message)) = event
    else {
        anyhow::bail!("not a readable message: {event:?}");
    };
    let message = message.as_original().context("the message is redacted")?;
    Ok(message.content.body().to_owned())
}

/// The stage of the authentication.
fn password(person: &Person, password: &str, session: Option<String>) -> AuthData {
    let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(person.id().to_string()));
    let mut stage = Password::new(user, password.to_owned());
    stage.session = session;
    AuthData::Password(stage)
}
