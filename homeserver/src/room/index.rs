//! Which rows follow from an event? Memberships, counts and relations, written with it.

use std::sync::Arc;

use kith_store::{
    Batch, Json, StreamPosition,
    tables::{self, MemberRow, RoomHead, RoomNumber},
};
use ruma::{
    OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{Room, RoomError, Rooms, event::Event};

/// The user whose membership this event sets.
pub(super) fn member_of(event: &Event) -> Option<OwnedUserId> {
    let state_key = event.state_key.as_deref()?;
    if event.kind != TimelineEventType::RoomMember {
        return None;
    }
    UserId::parse(state_key).ok()
}

#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
}

#[derive(Deserialize)]
struct ProfileContent {
    #[serde(default)]
    displayname: Option<String>,
    #[serde(default)]
    avatar_url: Option<String>,
}

/// The row that a member event leaves; its positions are filled in by [`at`].
pub(super) fn member_row(event: &Event, before: Option<&MemberRow>) -> MemberRow {
    let membership = event
        .content_as::<MemberContent>()
        .map_or(MembershipState::Leave, |content| content.membership);
    let profile = event.content_as::<ProfileContent>();
    let stays = membership == MembershipState::Join
        && before.is_some_and(|row| row.membership == MembershipState::Join);
    let joined_at = match (&membership, before) {
        // A new join: `at` puts its own position here.
        (MembershipState::Join, _) if !stays => Some(0),
        (_, before) => before.and_then(|row| row.joined_at),
    };
    MemberRow {
        membership,
        event: event.index(),
        position: 0,
        joined_at,
        forgotten: false,
        display_name: profile.as_ref().and_then(|profile| profile.displayname.clone()),
        avatar_url: profile.and_then(|profile| profile.avatar_url),
    }
}

/// The row with the stream position of its event.
pub(super) fn at(mut row: MemberRow, position: StreamPosition) -> MemberRow {
    row.position = position;
    if row.joined_at == Some(0) {
        row.joined_at = Some(position);
    }
    row
}

pub(super) fn put_member(batch: &mut Batch, room: RoomNumber, user: OwnedUserId, row: MemberRow) {
    let row = Json(row);
    batch.put(&tables::MEMBERS, &(room, user.clone()), &row);
    batch.put(&tables::MEMBERSHIPS, &(user, room), &row);
}

/// Moves one user between the counts.
pub(super) fn count(head: &mut RoomHead, before: Option<&MemberRow>, after: &MemberRow) {
    let step = |membership: &MembershipState, of: MembershipState| u32::from(*membership == of);
    let was = before.map_or(MembershipState::Leave, |row| row.membership.clone());
    let is = &after.membership;
    head.joined = head.joined.saturating_sub(step(&was, MembershipState::Join))
        + step(is, MembershipState::Join);
    head.invited = head.invited.saturating_sub(step(&was, MembershipState::Invite))
        + step(is, MembershipState::Invite);
}

/// An event that relates to another of the same room is found from there.
pub(super) async fn relation(
    rooms: &Rooms,
    room: &Room,
    batch: &mut Batch,
    event: &Event,
) -> Result<(), RoomError> {
    if let Some((parent, kind)) = related(rooms, room, event).await? {
        batch.put(&tables::RELATIONS, &(room.number, parent.index(), event.index()), &kind);
    }
    Ok(())
}

/// A redacted event relates to nothing any more.
pub(super) async fn remove_relation(
    rooms: &Rooms,
    room: &Room,
    batch: &mut Batch,
    event: &Event,
) -> Result<(), RoomError> {
    if let Some((parent, _)) = related(rooms, room, event).await? {
        batch.delete(&tables::RELATIONS, &(room.number, parent.index(), event.index()));
    }
    Ok(())
}

async fn related(
    rooms: &Rooms,
    room: &Room,
    event: &Event,
) -> Result<Option<(Arc<Event>, String)>, RoomError> {
    let Some(relation) = event.relation() else { return Ok(None) };
    let (Some(kind), Some(parent)) = (&relation.rel_type, &relation.event_id) else {
        return Ok(None);
    };
    let parent = rooms.event_by_id(room, parent).await?;
    Ok(parent.map(|parent| (parent, kind.clone())))
}
