//! Who of those whom the user knows came or went?

use ruma::{
    OwnedUserId, api::client::sync::sync_events::v3::Response, events::presence::PresenceEvent,
    serde::Raw,
};
use serde_json::json;

use super::{Asked, wants};
use crate::{
    room::{RoomError, members::Memberships},
    sync::{Sync, changes::Changes, ephemeral},
};

impl Sync {
    pub(super) async fn add_presence(
        &self,
        asked: &Asked<'_>,
        memberships: &Memberships,
        changes: &Changes,
        response: &mut Response,
    ) -> Result<(), RoomError> {
        let filter = &asked.request.filter.presence;
        if !wants(filter, "m.presence") {
            return Ok(());
        }
        let viewer = &asked.requester.user_id;
        let mut told = self.presence.since(asked.since.ephemeral);
        if asked.request.since.is_some() {
            // Those whom the user met are new to them, however long they have been here.
            let moved = self.met_or_lost(viewer, memberships, changes).await?;
            let known = |user_id: &OwnedUserId| told.iter().any(|(told, _)| told == user_id);
            let met: Vec<_> = moved.into_iter().filter(|user_id| !known(user_id)).collect();
            for user_id in met {
                if let Some(presence) = self.presence.get(&user_id) {
                    told.push((user_id, presence));
                }
            }
        }
        for (user_id, presence) in told {
            let wanted = filter.senders.as_ref().is_none_or(|senders| senders.contains(&user_id))
                && !filter.not_senders.contains(&user_id)
                && !asked.ignored.contains(&user_id);
            let theirs =
                user_id == *viewer || self.rooms.members().share_a_room(viewer, &user_id).await?;
            if wanted && theirs {
                let event: Raw<PresenceEvent> = ephemeral::event(&json!({
                    "type": "m.presence",
                    "sender": user_id,
                    "content": presence.content(),
                }));
                response.presence.events.push(event);
            }
        }
        Ok(())
    }
}
