//! What may somebody outside know of the room that they are asked into?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#stripped-state)

use kith_store::tables::MemberRow;
use ruma::{events::AnyStrippedStateEvent, serde::Raw};

use super::Sync;
use crate::room::{Room, RoomError};

impl Sync {
    /// As of the invite or the knock that the row names; where this server was not in the room, what
    /// others said of it then.
    pub(super) async fn stripped_state(
        &self,
        room: &Room,
        row: &MemberRow,
    ) -> Result<Vec<Raw<AnyStrippedStateEvent>>, RoomError> {
        let invite = self.rooms.event(room, row.event).await?;
        let mut events: Vec<Raw<AnyStrippedStateEvent>> =
            match self.rooms.outside(room, &invite).await? {
                Some(outside) => outside.state.into_iter().map(Raw::from_json).collect(),
                None => {
                    let before = invite.standing.state_before;
                    let inviter = Some(&*invite.sender);
                    let state = self.rooms.state_for_outside(room, before, inviter).await?;
                    state.iter().map(|event| event.stripped()).collect()
                }
            };
        events.push(invite.stripped());
        Ok(events)
    }
}
