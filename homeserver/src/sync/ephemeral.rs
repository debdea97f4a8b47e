//! Who types in a room, and how far has everybody read?

use kith_store::{StreamPosition, tables::RoomNumber};
use ruma::{UserId, serde::Raw};
use serde_json::{Value, json};

use super::{Sync, changes::Changes};
use crate::{account_data::IgnoredUsers, receipts::receipt_content, room::draft};

/// Who asks for what others do, and whom they ignore.
#[derive(Clone, Copy)]
pub(super) struct Viewpoint<'a> {
    pub user_id: &'a UserId,
    pub ignored: &'a IgnoredUsers,
}

impl Sync {
    /// `m.typing`, if that changed after `since`; without `since`, if somebody types.
    pub(super) fn typing_event<T>(
        &self,
        viewpoint: Viewpoint<'_>,
        room: RoomNumber,
        since: Option<u64>,
    ) -> Option<Raw<T>> {
        let mut users = self.typing.since(room, since.unwrap_or(0))?;
        if since.is_none() && users.is_empty() {
            return None;
        }
        users.retain(|user_id| !viewpoint.ignored.contains(user_id));
        Some(event(&json!({ "type": "m.typing", "content": { "user_ids": users } })))
    }

    /// `m.receipt` with what moved after `since`; without `since`, with all receipts of the room.
    /// `changes` are those after `since`, if they were collected from there.
    pub(super) async fn receipts_event<T>(
        &self,
        viewpoint: Viewpoint<'_>,
        room: RoomNumber,
        since: Option<StreamPosition>,
        changes: Option<&Changes>,
    ) -> Result<Option<Raw<T>>, kith_store::Error> {
        let mut rows = Vec::new();
        match changes {
            Some(changes) if since.is_some() && !changes.everything => {
                for user_id in changes.receipts.get(&room).into_iter().flatten() {
                    rows.push((user_id.clone(), self.receipts.get(room, user_id).await?));
                }
            }
            _ => rows = self.receipts.of_room(room).await?,
        }
        rows.retain(|(user_id, _)| !viewpoint.ignored.contains(user_id));
        let content = receipt_content(&rows, viewpoint.user_id, since.unwrap_or(0));
        let content = (!content.is_empty()).then_some(Value::Object(content));
        Ok(content.map(|content| event(&json!({ "type": "m.receipt", "content": content }))))
    }
}

pub(super) fn event<T>(event: &Value) -> Raw<T> {
    Raw::from_json(draft::raw(event))
}
