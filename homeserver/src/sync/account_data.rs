//! What did the user keep, about themselves and about a room? As the events that clients get.

use kith_store::{StreamPosition, tables::RoomNumber};
use ruma::{UserId, serde::Raw};
use serde_json::{Value, json};

use super::Sync;
use crate::{account_data::GLOBAL, push::rules::PUSH_RULES, room::draft};

impl Sync {
    /// The user's own data that changed after `since`; all of it, with the default push rules, for a
    /// client that begins.
    pub(super) async fn global_account_data<T>(
        &self,
        user_id: &UserId,
        since: Option<StreamPosition>,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Vec<Raw<T>>, kith_store::Error> {
        let mut events = self.account_data_of(user_id, GLOBAL, since, &wants).await?;
        // Clients rely on the rules being there, also before the user changed any.
        if since.is_none() && wants(PUSH_RULES) {
            let data = self.account_data.all(user_id).await?;
            if !data.contains_key(&(GLOBAL, PUSH_RULES.to_owned())) {
                let rules = ruma::push::Ruleset::server_default(user_id);
                events.push(event(PUSH_RULES, &json!({ "global": rules })));
            }
        }
        Ok(events)
    }

    /// What changed after `since` of the data about one room; everything without `since`.
    pub(super) async fn account_data_of<T>(
        &self,
        user_id: &UserId,
        room: RoomNumber,
        since: Option<StreamPosition>,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Vec<Raw<T>>, kith_store::Error> {
        let data = self.account_data.all(user_id).await?;
        let of_room = data.range((room, String::new())..(room + 1, String::new()));
        let mut events = Vec::new();
        for ((_, kind), row) in of_room {
            // Whoever begins need not hear of what was deleted.
            let news = since.map_or(!row.content.is_null(), |since| row.position > since);
            if news && wants(kind) {
                events.push(event(kind, &row.content));
            }
        }
        Ok(events)
    }
}

fn event<T>(kind: &str, content: &Value) -> Raw<T> {
    // A deleted row is told as an empty content, as clients expect.
    let content = if content.is_null() { &json!({}) } else { content };
    Raw::from_json(draft::raw(&json!({ "type": kind, "content": content })))
}
