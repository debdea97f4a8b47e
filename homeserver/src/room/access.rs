//! Who may read a room, and its state as of when?
//!
//! Single events are judged by [`super::visibility`].

use std::sync::Arc;

use kith_store::tables::{MemberRow, SnapshotId, Verdict};
use ruma::{
    RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    Room, RoomError, Rooms, event::Event, history::TimelineToken, timeline::Direction,
    visibility::membership_of,
};

/// A room that a user may read.
pub struct Readable {
    pub room: Arc<Room>,
    /// The user is gone: they see the room as they left it.
    pub left: Option<Arc<Event>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("you are not and were not a member of this room")]
    NotMember,
    #[error("you may not see this part of the room's history")]
    Hidden,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<kith_store::Error> for ReadError {
    fn from(error: kith_store::Error) -> Self {
        Self::Room(error.into())
    }
}

/// The state before a room's first event.
const EMPTY: SnapshotId = 0;
/// How many changes of a membership are followed back to the one that ended the user's last stay.
const CHANGES_FOLLOWED: usize = 1_000;

impl Rooms {
    /// The room, if the user is joined to it, or was, or if anybody may read it now.
    pub async fn readable(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Readable, ReadError> {
        let room = self.get(room_id).await?.ok_or(ReadError::NotMember)?;
        let row = self.members().get(room.number, user_id).await?;
        let row = row.filter(|row| !row.forgotten);
        if row.as_ref().is_some_and(|row| row.membership == MembershipState::Join) {
            return Ok(Readable { room, left: None });
        }
        if let Some(row) = row
            && let Some(left) = self.last_departure(&room, user_id, &row).await?
        {
            return Ok(Readable { room, left: Some(left) });
        }
        if self.is_world_readable(&room).await? {
            return Ok(Readable { room, left: None });
        }
        Err(ReadError::NotMember)
    }

    /// The state that the user may read: the current one, or that of when they left.
    pub async fn readable_state(&self, readable: &Readable) -> Result<SnapshotId, RoomError> {
        match &readable.left {
            None => Ok(readable.room.head().snapshot),
            Some(left) => self.current_after(&readable.room, left).await,
        }
    }

    /// As [`Self::readable_state`], at a point of the timeline if that is earlier and the user may see
    /// what happened there.
    pub async fn readable_state_at(
        &self,
        readable: &Readable,
        user_id: &UserId,
        at: Option<TimelineToken>,
    ) -> Result<SnapshotId, ReadError> {
        let Some(at) = at else { return Ok(self.readable_state(readable).await?) };
        let left = readable.left.as_ref().map(|left| left.position());
        if left.is_some_and(|left| left <= at.0) {
            return Ok(self.readable_state(readable).await?);
        }
        let rows = self.timeline(&readable.room, at.after(), Direction::Backward, 1).await?;
        let Some((_, index)) = rows.first() else { return Ok(EMPTY) };
        let event = self.event(&readable.room, *index).await?;
        if !self.visibility(&readable.room, user_id).await?.sees(&event).await? {
            return Err(ReadError::Hidden);
        }
        Ok(self.current_after(&readable.room, &event).await?)
    }

    /// Where paging through the room begins if the client does not say: at its end, or where the user
    /// left it, or at its beginning.
    pub async fn readable_end(
        &self,
        readable: &Readable,
        direction: Direction,
    ) -> Result<TimelineToken, RoomError> {
        match &readable.left {
            Some(left)
                if direction == Direction::Backward
                    && !self.is_world_readable(&readable.room).await? =>
            {
                Ok(TimelineToken(left.position()))
            }
            _ => self.timeline_end(&readable.room, direction).await,
        }
    }

    /// The member event that ended the last stay of a user who is not joined. A ban or an invite
    /// after that changes nothing of what they saw.
    pub async fn last_departure(
        &self,
        room: &Room,
        user_id: &UserId,
        row: &MemberRow,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        if row.joined_at.is_none() {
            return Ok(None);
        }
        let kind = StateEventType::RoomMember;
        let mut event = self.event(room, row.event).await?;
        if event.standing.verdict == Verdict::Outlier {
            // An invite that came when this server had left: the stay ended before.
            match self.current_state_event(room, &kind, user_id.as_str()).await? {
                Some(current) => event = current,
                None => return Ok(None),
            }
        }
        for _ in 0..CHANGES_FOLLOWED {
            let before = event.standing.state_before;
            let before = self.state_event(room, before, &kind, user_id.as_str()).await?;
            match before {
                Some(before) if membership_of(&before) == MembershipState::Join => {
                    return Ok(Some(event));
                }
                Some(before) => event = before,
                None => break,
            }
        }
        Ok(None)
    }
}
