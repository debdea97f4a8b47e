//! Which rows follow from an event? Memberships, counts and relations, written with it.

use std::sync::Arc;

use kith_store::{
    Batch, Json, StreamPosition,
    tables::{self, EventIndex, MemberRow, RoomHead, RoomNumber},
};
use ruma::{
    OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    Room, RoomError, Rooms,
    event::{Event, THREAD},
    relations::Child,
};

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

/// What a relation of an event changes. Positions are not known before the commit.
#[derive(Clone)]
pub(super) struct Related {
    pub parent: EventIndex,
    pub child: Child,
}

impl Related {
    /// The relation of the event at this place of the timeline.
    pub(super) fn at(mut self, position: i64) -> Self {
        self.child.position = position;
        self
    }
}

/// An event that relates to another of the same room is found from there. One that relates to an event
/// that this server does not have is not: whoever brings that event later finds it by its content.
pub(super) async fn relation(
    rooms: &Rooms,
    room: &Room,
    event: &Event,
) -> Result<Option<Related>, RoomError> {
    let Some(child) = Child::of(event) else { return Ok(None) };
    let Some(parent) = parent(rooms, room, event).await? else { return Ok(None) };
    Ok(Some(Related { parent: parent.index(), child }))
}

/// Writes a relation, now that the child's place is known.
pub(super) fn put_relation(batch: &mut Batch, room: RoomNumber, related: &Related) {
    let Related { parent, child } = related;
    batch.put(&tables::RELATIONS, &(room, *parent, child.index), &child.to_row());
    if child.rel_type == THREAD {
        batch.put(&tables::THREADS, &(room, child.position), parent);
    }
}

/// The row of a thread's newest event before this one is not needed any more. It may be unknown, or be
/// that of an event on its way to the disk: then a row stays that readers pass over.
pub(super) async fn move_thread(
    rooms: &Rooms,
    room: &Room,
    batch: &mut Batch,
    related: &Related,
) -> Result<(), RoomError> {
    if related.child.rel_type != THREAD {
        return Ok(());
    }
    if let Some(newest) = rooms.newest_reply(room, related.parent, None).await? {
        batch.delete(&tables::THREADS, &(room.number, newest));
    }
    Ok(())
}

/// A redacted event relates to nothing any more. Answers what its parent was.
pub(super) async fn remove_relation(
    rooms: &Rooms,
    room: &Room,
    batch: &mut Batch,
    event: &Event,
) -> Result<Option<EventIndex>, RoomError> {
    let Some(parent) = parent(rooms, room, event).await? else { return Ok(None) };
    let parent = parent.index();
    batch.delete(&tables::RELATIONS, &(room.number, parent, event.index()));
    if event.thread_root().is_some() {
        batch.delete(&tables::THREADS, &(room.number, event.position()));
        // Under the room's lock nothing new is on its way: the reply that becomes the newest is known.
        rooms.store().settled().await?;
        if let Some(newest) = rooms.newest_reply(room, parent, Some(event.index())).await? {
            batch.put(&tables::THREADS, &(room.number, newest), &parent);
        }
    }
    Ok(Some(parent))
}

async fn parent(
    rooms: &Rooms,
    room: &Room,
    event: &Event,
) -> Result<Option<Arc<Event>>, RoomError> {
    let Some(relation) = event.relation() else { return Ok(None) };
    match (&relation.rel_type, &relation.event_id) {
        (Some(_), Some(parent)) => rooms.event_by_id(room, parent).await,
        _ => Ok(None),
    }
}
