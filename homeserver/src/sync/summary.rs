//! By whom is a room without a name called?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#calculating-the-display-name-for-a-room)

use kith_store::tables::MemberRow;
use ruma::{
    OwnedUserId, UInt, UserId,
    api::client::sync::sync_events::v3::RoomSummary,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::Sync;
use crate::room::{Room, RoomError};

/// Heroes that a client is told of.
const HEROES: usize = 5;

#[derive(Deserialize)]
struct Name {
    #[serde(default, alias = "alias")]
    name: Option<String>,
}

impl Sync {
    /// Counts, and the heroes if the room has neither name nor alias.
    pub(super) async fn summary(
        &self,
        room: &Room,
        user_id: &UserId,
    ) -> Result<RoomSummary, RoomError> {
        let head = room.head();
        let mut summary = RoomSummary::new();
        summary.joined_member_count = Some(UInt::from(head.joined));
        summary.invited_member_count = Some(UInt::from(head.invited));
        for kind in [StateEventType::RoomName, StateEventType::RoomCanonicalAlias] {
            let name: Option<Name> = self.rooms.current_state(room, &kind, "").await?;
            if name.and_then(|name| name.name).is_some_and(|name| !name.is_empty()) {
                return Ok(summary);
            }
        }
        summary.heroes = self.heroes(room, user_id).await?;
        Ok(summary)
    }

    /// Members other than the user, longest first; those who left only if nobody else is there.
    async fn heroes(&self, room: &Room, user_id: &UserId) -> Result<Vec<OwnedUserId>, RoomError> {
        let mut members = self.rooms.members().of_room(room.number).await?;
        members.retain(|(member, _)| member != user_id);
        let present = |row: &MemberRow| {
            matches!(row.membership, MembershipState::Join | MembershipState::Invite)
        };
        if members.iter().any(|(_, row)| present(row)) {
            members.retain(|(_, row)| present(row));
        } else {
            members.retain(|(_, row)| {
                matches!(row.membership, MembershipState::Leave | MembershipState::Ban)
            });
        }
        members.sort_by_key(|(_, row)| row.joined_at.unwrap_or(row.position));
        Ok(members.into_iter().take(HEROES).map(|(member, _)| member).collect())
    }
}
