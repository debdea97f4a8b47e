//! What may somebody outside know of a room, and may they know that it exists?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-summaries)

use std::sync::Arc;

use kith_store::tables::MemberRow;
use ruma::{
    EventEncryptionAlgorithm, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId,
    ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
    room::{AllowRule, JoinRule, JoinRuleSummary, RoomMembership, RoomSummary},
};
use serde::Deserialize;

use super::{Room, RoomError, Rooms, SendError};

impl Rooms {
    /// What is on a room's sign. Whether somebody may read it is asked by [`Self::may_find`].
    pub async fn summary(&self, room: &Room) -> Result<RoomSummary, RoomError> {
        #[derive(Deserialize)]
        struct Encryption {
            algorithm: EventEncryptionAlgorithm,
        }
        let head = room.head();
        let listing = self.listing(room, head.snapshot).await?;
        let join_rule = self.join_rule(room).await?;
        let encryption: Option<Encryption> =
            self.current_state(room, &StateEventType::RoomEncryption, "").await?;
        let mut summary = RoomSummary::new(
            room.room_id.clone(),
            join_rule.map_or(JoinRuleSummary::Invite, JoinRuleSummary::from),
            listing.guest_can_join,
            head.joined.into(),
            listing.world_readable,
        );
        summary.name = listing.name.clone();
        summary.topic = listing.topic.clone();
        summary.avatar_url = listing.avatar_url.clone();
        summary.canonical_alias = listing.canonical_alias.clone();
        summary.room_type = listing.room_type.clone();
        summary.encryption = encryption.map(|encryption| encryption.algorithm);
        summary.room_version = Some(room.version.clone());
        Ok(summary)
    }

    /// A room by its ID or by an alias of this server.
    pub async fn by_id_or_alias(&self, id: &RoomOrAliasId) -> Result<Option<Arc<Room>>, RoomError> {
        match <&ruma::RoomAliasId>::try_from(id) {
            Ok(alias) => match self.resolve_alias(alias).await? {
                Some(room_id) => self.get(&room_id).await,
                None => Ok(None),
            },
            Err(_) => match <&ruma::RoomId>::try_from(id) {
                Ok(room_id) => self.get(room_id).await,
                Err(_) => Ok(None),
            },
        }
    }

    /// The room ID that a name stands for. `via` grows by servers that know the room of an alias.
    pub async fn id_of(
        &self,
        name: &RoomOrAliasId,
        via: &mut Vec<OwnedServerName>,
    ) -> Result<Option<OwnedRoomId>, SendError> {
        let Ok(alias) = <&RoomAliasId>::try_from(name) else {
            return Ok(RoomId::parse(name.as_str()).ok());
        };
        let Some((room_id, servers)) = self.find_alias(alias).await? else { return Ok(None) };
        via.extend(servers);
        Ok(Some(room_id))
    }

    /// Whether somebody may know that a room exists: its members, those who are invited, those whom its
    /// join rules let in or let knock; anybody, if anybody may read it.
    pub async fn may_find(&self, room: &Room, user_id: Option<&UserId>) -> Result<bool, RoomError> {
        let member = match user_id {
            Some(user_id) => self.members().get(room.number, user_id).await?,
            None => None,
        };
        let is = |row: &MemberRow, membership| row.membership == membership;
        if member
            .as_ref()
            .is_some_and(|row| is(row, MembershipState::Join) || is(row, MembershipState::Invite))
        {
            return Ok(true);
        }
        let banned = member.as_ref().is_some_and(|row| is(row, MembershipState::Ban));
        let open = match self.join_rule(room).await? {
            Some(JoinRule::Public | JoinRule::Knock | JoinRule::KnockRestricted(_)) => true,
            Some(JoinRule::Restricted(restricted)) => match user_id {
                Some(user_id) if !banned => self.is_in_any(&restricted.allow, user_id).await?,
                _ => false,
            },
            _ => false,
        };
        Ok(open || self.is_world_readable(room).await?)
    }

    /// Whether another server may know that a room exists: one with users that are joined or invited,
    /// and any whose users could join, knock or read. A list that denies the server denies this too.
    pub async fn may_server_find(
        &self,
        room: &Room,
        server: &ServerName,
    ) -> Result<bool, RoomError> {
        #[derive(Deserialize)]
        struct Create {
            #[serde(rename = "m.federate", default = "yes")]
            federate: bool,
        }
        fn yes() -> bool {
            true
        }
        let create: Option<Create> =
            self.current_state(room, &StateEventType::RoomCreate, "").await?;
        if create.is_some_and(|create| !create.federate) || !self.check_acl(room, server).await? {
            return Ok(false);
        }
        match self.join_rule(room).await? {
            Some(JoinRule::Public | JoinRule::Knock | JoinRule::KnockRestricted(_)) => {
                return Ok(true);
            }
            Some(JoinRule::Restricted(restricted)) => {
                for room_id in rooms_of(&restricted.allow) {
                    if let Some(other) = self.get(room_id).await?
                        && self.has_server(&other, server).await?
                    {
                        return Ok(true);
                    }
                }
            }
            _ => {}
        }
        let servers = self.members().servers(room.number).await?;
        Ok(servers.is_invited(server) || self.is_world_readable(room).await?)
    }

    async fn is_in_any(&self, allow: &[AllowRule], user_id: &UserId) -> Result<bool, RoomError> {
        for room_id in rooms_of(allow) {
            if let Some(other) = self.get(room_id).await?
                && self.members().is_joined(other.number, user_id).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn join_rule(&self, room: &Room) -> Result<Option<JoinRule>, RoomError> {
        self.current_state(room, &StateEventType::RoomJoinRules, "").await
    }
}

/// The rooms whose members are let in.
fn rooms_of(allow: &[AllowRule]) -> impl Iterator<Item = &OwnedRoomId> {
    allow.iter().filter_map(|rule| match rule {
        AllowRule::RoomMembership(RoomMembership { room_id, .. }) => Some(room_id),
        _ => None,
    })
}
