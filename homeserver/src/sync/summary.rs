//! By whom is a room without a name called?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#calculating-the-display-name-for-a-room)

use std::{collections::BTreeSet, sync::Arc};

use kith_store::tables::MemberRow;
use ruma::{
    OwnedUserId, UInt, UserId,
    api::client::sync::sync_events::v3::RoomSummary,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{Sync, memory::Faces};
use crate::room::{Room, RoomError};

/// Heroes that a client is told of.
const HEROES: usize = 5;

#[derive(Deserialize)]
struct Name {
    #[serde(default, alias = "alias")]
    name: Option<String>,
}

/// [MSC4171](https://github.com/matrix-org/matrix-spec-proposals/pull/4171): bots and bridges.
#[derive(Deserialize)]
struct Hints {
    #[serde(default)]
    service_members: BTreeSet<OwnedUserId>,
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
        let heroes = self.heroes(room, user_id).await?;
        summary.heroes = heroes.into_iter().map(|(hero, _)| hero).collect();
        Ok(summary)
    }

    /// Members other than the user, longest first; those who left only if nobody else is there. Who
    /// only serves the room is not among them.
    pub(super) async fn heroes(
        &self,
        room: &Room,
        user_id: &UserId,
    ) -> Result<Vec<(OwnedUserId, MemberRow)>, RoomError> {
        let faces = self.faces(room).await?;
        let others = |members: &[(OwnedUserId, MemberRow)]| -> Vec<_> {
            let others = members.iter().filter(|(member, _)| member != user_id);
            others.take(HEROES).cloned().collect()
        };
        let present = others(&faces.present);
        Ok(if present.is_empty() { others(&faces.gone) } else { present })
    }

    /// Read once for each state of the room, whoever asks.
    async fn faces(&self, room: &Room) -> Result<Arc<Faces>, RoomError> {
        let snapshot = room.head().snapshot;
        if let Some((known, faces)) = self.memory.heroes.get(&room.number)
            && known == snapshot
        {
            return Ok(faces);
        }
        let kind = StateEventType::from("io.element.functional_members");
        let hints: Option<Hints> = self.rooms.state_content(room, snapshot, &kind).await?;
        let serves = hints.map(|hints| hints.service_members).unwrap_or_default();
        let mut members = self.rooms.members().of_room(room.number).await?;
        members.retain(|(member, _)| !serves.contains(member));
        members.sort_by_key(|(_, row)| row.joined_at.unwrap_or(row.position));
        let mut faces = Faces::default();
        for (member, row) in members {
            let side = match row.membership {
                MembershipState::Join | MembershipState::Invite => &mut faces.present,
                MembershipState::Leave | MembershipState::Ban => &mut faces.gone,
                _ => continue,
            };
            // One of them may be the user who asks.
            if side.len() <= HEROES {
                side.push((member, row));
            }
        }
        let faces = Arc::new(faces);
        self.memory.heroes.insert(room.number, (snapshot, Arc::clone(&faces)));
        Ok(faces)
    }
}
