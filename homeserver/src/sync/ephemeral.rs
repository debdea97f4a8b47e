//! Who types in a room, and how far has everybody read?

use std::collections::BTreeSet;

use ruma::{OwnedUserId, api::client::sync::sync_events::v3::JoinedRoom};
use serde_json::json;

use super::{
    Sync,
    changes::Changes,
    v3::{Asked, raw},
};
use crate::{
    receipts::receipt_content,
    room::{Room, RoomError, event_filter},
};

impl Sync {
    /// Adds typing and receipts that are new to the client.
    pub(super) async fn add_ephemeral(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        known: bool,
        changes: &Changes,
        joined: &mut JoinedRoom,
    ) -> Result<(), RoomError> {
        let filter = &asked.request.filter.room.ephemeral;
        if !event_filter::wants_room(filter, &room.room_id) {
            return Ok(());
        }
        if event_filter::matches_names(filter, "m.typing", None) {
            let since = if known { asked.since.ephemeral } else { 0 };
            if let Some(mut users) = self.typing.since(room.number, since)
                && (known || !users.is_empty())
            {
                users.retain(|user_id| !asked.ignored.contains(user_id));
                let event = json!({ "type": "m.typing", "content": { "user_ids": users } });
                joined.ephemeral.events.push(raw(&event));
            }
        }
        if event_filter::matches_names(filter, "m.receipt", None) {
            let since = if known { asked.since.position } else { 0 };
            let mut rows = Vec::new();
            if !known || changes.everything {
                rows = self.receipts.of_room(room.number).await?;
            } else {
                let moved = changes.receipts.iter().filter(|(number, _)| *number == room.number);
                let users: BTreeSet<&OwnedUserId> = moved.map(|(_, user_id)| user_id).collect();
                for user_id in users {
                    let row = self.receipts.get(room.number, user_id).await?;
                    rows.push((user_id.clone(), row));
                }
            }
            rows.retain(|(user_id, _)| !asked.ignored.contains(user_id));
            let content = receipt_content(&rows, &asked.requester.user_id, since);
            if !content.is_empty() {
                let event = json!({ "type": "m.receipt", "content": content });
                joined.ephemeral.events.push(raw(&event));
            }
        }
        Ok(())
    }
}
