//! Who of those whom the user knows came or went?

use ruma::{
    api::client::sync::sync_events::v3::Response, events::presence::PresenceEvent, serde::Raw,
};
use serde_json::json;

use super::{Asked, wants};
use crate::{
    room::RoomError,
    sync::{Sync, ephemeral},
};

impl Sync {
    pub(super) async fn add_presence(
        &self,
        asked: &Asked<'_>,
        response: &mut Response,
    ) -> Result<(), RoomError> {
        let viewer = &asked.requester.user_id;
        for (user_id, presence) in self.presence.since(asked.since.ephemeral) {
            let filter = &asked.request.filter.presence;
            if !wants(filter, "m.presence") || filter.not_senders.contains(&user_id) {
                continue;
            }
            let theirs =
                user_id == *viewer || self.rooms.members().share_a_room(viewer, &user_id).await?;
            if theirs && !asked.ignored.contains(&user_id) {
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
