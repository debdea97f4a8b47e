//! May somebody enter a room because they are in another?
//!
//! [Spec](https://spec.matrix.org/latest/server-server-api/#restricted-rooms)

use ruma::{
    OwnedUserId, UserId,
    events::room::member::MembershipState,
    room::{AllowRule, RoomMembership},
};

use crate::room::{Room, RoomError, Rooms};

/// What the conditions of a room's join rule say of a user, as far as this server can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entrance {
    /// No condition is asked for: the room is not restricted, or the user is in it or invited.
    Unconditional,
    /// A condition is met, and this member of our server may vouch for it.
    Via(OwnedUserId),
    /// A condition is met, but nobody of our server may invite.
    NobodyToVouch,
    /// This server is not in all of the rooms that the conditions name.
    Unknown,
    /// No condition is met.
    Closed,
}

impl Rooms {
    pub async fn entrance(&self, room: &Room, user_id: &UserId) -> Result<Entrance, RoomError> {
        if !room.rules.authorization.restricted_join_rule {
            return Ok(Entrance::Unconditional);
        }
        let membership = self.members().membership(room.number, user_id).await?;
        if matches!(membership, MembershipState::Join | MembershipState::Invite) {
            return Ok(Entrance::Unconditional);
        }
        let Some(allow) = self.allowed_rooms(room).await? else {
            return Ok(Entrance::Unconditional);
        };
        let mut unknown = false;
        for rule in allow {
            let AllowRule::RoomMembership(RoomMembership { room_id, .. }) = rule else { continue };
            let other = match self.get(&room_id).await? {
                Some(other) if self.is_resident(&other).await? => other,
                _ => {
                    unknown = true;
                    continue;
                }
            };
            if self.members().is_joined(other.number, user_id).await? {
                return Ok(match self.voucher(room).await? {
                    Some(member) => Entrance::Via(member),
                    None => Entrance::NobodyToVouch,
                });
            }
        }
        Ok(if unknown { Entrance::Unknown } else { Entrance::Closed })
    }

    /// A member of our server who may invite, always the same one.
    async fn voucher(&self, room: &Room) -> Result<Option<OwnedUserId>, RoomError> {
        let power_levels = self.power_levels(room).await?;
        let local = self.local_joined(room).await?;
        let able = local.iter().filter(|member| power_levels.user_can_invite(member));
        Ok(able.min().cloned())
    }
}
