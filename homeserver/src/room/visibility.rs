//! May this user see this event? History visibility, as the text says, at every read.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-history-visibility)

use std::{collections::HashMap, future::Future, sync::Arc};

use kith_store::tables::{MemberRow, SnapshotId, Verdict};
use ruma::{
    EventId, OwnedUserId, UserId,
    events::{
        StateEventType, TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde::Deserialize;

use super::{Room, RoomError, Rooms, event::Event};

/// Somebody's eyes on one room.
pub trait Sees {
    fn sees(&mut self, event: &Event) -> impl Future<Output = Result<bool, RoomError>> + Send;
}

/// Answers for one user and one room; remembers what it found for each state, since neighbours in a
/// timeline mostly share one.
pub struct Visibility<'a> {
    rooms: &'a Rooms,
    room: &'a Room,
    user_id: OwnedUserId,
    member: Option<MemberRow>,
    seen: HashMap<SnapshotId, (HistoryVisibility, MembershipState)>,
    /// See [`Visibility::sees_all_after`].
    sees_all_after: Option<Option<i64>>,
}

impl Rooms {
    pub async fn visibility<'a>(
        &'a self,
        room: &'a Room,
        user_id: &UserId,
    ) -> Result<Visibility<'a>, RoomError> {
        let member = self.members().get(room.number, user_id).await?;
        let user_id = user_id.to_owned();
        Ok(Visibility {
            rooms: self,
            room,
            user_id,
            member,
            seen: HashMap::new(),
            sees_all_after: None,
        })
    }

    /// Whether anybody may read the room now, joined or not.
    pub async fn is_world_readable(&self, room: &Room) -> Result<bool, RoomError> {
        let kind = StateEventType::RoomHistoryVisibility;
        let content: Option<Content> = self.current_state(room, &kind, "").await?;
        Ok(content.is_some_and(|c| c.history_visibility == HistoryVisibility::WorldReadable))
    }
}

#[derive(Deserialize)]
struct Content {
    history_visibility: HistoryVisibility,
}

#[derive(Deserialize)]
struct Member {
    membership: MembershipState,
}

impl Visibility<'_> {
    /// An event of the room, if the user may see it.
    pub async fn event(&mut self, event_id: &EventId) -> Result<Option<Arc<Event>>, RoomError> {
        match self.rooms.event_by_id(self.room, event_id).await? {
            Some(event) if self.sees(&event).await? => Ok(Some(event)),
            _ => Ok(None),
        }
    }

    /// Whether the user joined before this event, or by it, and has been there ever since.
    fn in_last_stay(&self, event: &Event) -> bool {
        self.member.as_ref().is_some_and(|member| {
            member.membership == MembershipState::Join
                && member
                    .joined_at
                    .is_some_and(|joined_at| joined_at.cast_signed() <= event.position())
        })
    }

    /// The user's membership when the event was sent; their own member event counts as after it.
    pub async fn membership_at(&mut self, event: &Event) -> Result<MembershipState, RoomError> {
        if self.in_last_stay(event) {
            return Ok(MembershipState::Join);
        }
        if event.kind == TimelineEventType::RoomMember
            && event.state_key.as_deref() == Some(self.user_id.as_str())
        {
            return Ok(membership_of(event));
        }
        Ok(self.at(event.standing.state_before).await?.1)
    }

    /// Whose eyes these are.
    pub fn user_id(&self) -> &OwnedUserId {
        &self.user_id
    }

    /// A place in the timeline after which the user sees everything; `None` if there is none. It spares
    /// looking at each event: members of a room that always shared its history see all of it.
    pub async fn sees_all_after(&mut self) -> Result<Option<i64>, RoomError> {
        if let Some(known) = self.sees_all_after {
            return Ok(known);
        }
        let joined = self.member.as_ref().filter(|row| row.membership == MembershipState::Join);
        let after = match joined.and_then(|row| row.joined_at) {
            Some(_) if self.always_shared().await? => Some(i64::MIN),
            joined_at => joined_at.map(u64::cast_signed),
        };
        self.sees_all_after = Some(after);
        Ok(after)
    }

    /// Whether the room's history was open to every member from the beginning.
    async fn always_shared(&self) -> Result<bool, RoomError> {
        let kind = StateEventType::RoomHistoryVisibility;
        let Some(current) = self.rooms.current_state_event(self.room, &kind, "").await? else {
            return Ok(true);
        };
        let closed = current.content_as::<Content>().is_some_and(|content| {
            matches!(
                content.history_visibility,
                HistoryVisibility::Invited | HistoryVisibility::Joined
            )
        });
        if current.standing.verdict == Verdict::Outlier {
            // What was before it is for other servers to say.
            return Ok(false);
        }
        let before = current.standing.state_before;
        let before = self.rooms.state_event(self.room, before, &kind, "").await?;
        Ok(!closed && before.is_none())
    }

    pub async fn sees(&mut self, event: &Event) -> Result<bool, RoomError> {
        if self.in_last_stay(event) {
            return Ok(true);
        }
        let (before, membership) = self.at(event.standing.state_before).await?;
        let own = event.kind == TimelineEventType::RoomMember
            && event.state_key.as_deref() == Some(self.user_id.as_str());
        let memberships = [Some(membership), own.then(|| membership_of(event))];
        // A change of the visibility itself counts by the more open of the two.
        let changed = (event.kind == TimelineEventType::RoomHistoryVisibility)
            .then(|| event.content_as::<Content>().map(|content| content.history_visibility))
            .flatten();
        for visibility in [Some(before), changed].into_iter().flatten() {
            for membership in memberships.iter().flatten() {
                if self.allows(&visibility, membership, event) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The rules, in the order of the text.
    fn allows(
        &self,
        visibility: &HistoryVisibility,
        membership: &MembershipState,
        event: &Event,
    ) -> bool {
        match visibility {
            HistoryVisibility::WorldReadable => true,
            // Whoever forgets a room gives up its history.
            _ if self.member.as_ref().is_some_and(|member| member.forgotten) => false,
            _ if *membership == MembershipState::Join => true,
            HistoryVisibility::Invited => {
                *membership == MembershipState::Invite && self.joined_after(event)
            }
            HistoryVisibility::Joined => false,
            // An unknown visibility is treated as shared.
            _ => self.joined_after(event),
        }
    }

    /// Whether the user joined at some time after the event: a member who left sees what was sent
    /// up to their last stay.
    fn joined_after(&self, event: &Event) -> bool {
        let Some(member) = &self.member else { return false };
        match member.membership {
            MembershipState::Join => true,
            _ => member
                .joined_at
                .is_some_and(|joined_at| event.position() <= joined_at.cast_signed()),
        }
    }

    /// Visibility and the user's membership in a state.
    async fn at(
        &mut self,
        snapshot: SnapshotId,
    ) -> Result<(HistoryVisibility, MembershipState), RoomError> {
        if let Some(known) = self.seen.get(&snapshot) {
            return Ok(known.clone());
        }
        let kind = StateEventType::RoomHistoryVisibility;
        let visibility = self.rooms.state_event(self.room, snapshot, &kind, "").await?;
        let visibility = visibility
            .and_then(|event| event.content_as::<Content>())
            .map_or(HistoryVisibility::Shared, |content| content.history_visibility);
        let kind = StateEventType::RoomMember;
        let member =
            self.rooms.state_event(self.room, snapshot, &kind, self.user_id.as_str()).await?;
        let membership = member.map_or(MembershipState::Leave, |event| membership_of(&event));
        self.seen.insert(snapshot, (visibility.clone(), membership.clone()));
        Ok((visibility, membership))
    }
}

impl Sees for Visibility<'_> {
    async fn sees(&mut self, event: &Event) -> Result<bool, RoomError> {
        Visibility::sees(self, event).await
    }
}

/// What a member event says; `Leave` if it says nothing sensible.
pub fn membership_of(event: &Event) -> MembershipState {
    event.content_as::<Member>().map_or(MembershipState::Leave, |content| content.membership)
}
