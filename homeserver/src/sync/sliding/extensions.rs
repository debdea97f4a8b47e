//! What is new in a room beside its events? Account data, receipts and typing.

use std::sync::Arc;

use ruma::{
    RoomId, UserId, api::client::sync::sync_events::v5::request::ExtensionRoomConfig,
    events::receipt::SyncReceiptEvent, serde::Raw,
};
use serde_json::{Value, json};

use super::{
    Asked, SlidingAnswer,
    connection::{SentRoom, Shown},
    room::Look,
    rules::Matched,
};
use crate::{
    receipts::receipt_content,
    room::{RoomError, event::Event},
    sync::{Sync, changes::Changes, ephemeral},
};

/// For which rooms an extension is asked.
#[derive(Clone, Copy)]
struct Scope<'a> {
    enabled: Option<bool>,
    lists: Option<&'a Vec<String>>,
    rooms: Option<&'a Vec<ExtensionRoomConfig>>,
}

impl Scope<'_> {
    fn includes(&self, matched: &Matched, room_id: &RoomId) -> bool {
        if self.enabled != Some(true) {
            return false;
        }
        let by_list = self.lists.is_none_or(|lists| {
            lists.iter().any(|name| name == "*" || matched.lists.contains(name))
        });
        let by_room = self.rooms.is_none_or(|rooms| {
            rooms.iter().any(|room| match room {
                ExtensionRoomConfig::AllSubscribed => true,
                ExtensionRoomConfig::Room(room) => room == room_id,
                _ => false,
            })
        });
        // Either way only rooms that the request names at all.
        (by_list && !matched.lists.is_empty()) || (by_room && matched.subscribed)
    }
}

impl Sync {
    /// Adds what extensions say of one room, and notes how far they got.
    pub(super) async fn add_of_room(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        changes: &Changes,
        events: &[Arc<Event>],
        sent: &mut SentRoom,
        answer: &mut SlidingAnswer,
    ) -> Result<(), RoomError> {
        // Whoever is not in the room hears nothing more of it.
        if sent.shown != Shown::Joined {
            return Ok(());
        }
        let (number, room_id) = (look.room.number, &look.room.room_id);
        let (upto, wanted) = (asked.upto, &asked.rules.extensions);
        let to = &mut answer.extensions;

        let data = &wanted.account_data;
        let scope =
            Scope { enabled: data.enabled, lists: data.lists.as_ref(), rooms: data.rooms.as_ref() };
        if scope.includes(look.matched, room_id) {
            let events = self.account_data_of(asked.user_id(), number, sent.account_data, |_| true);
            let events = events.await?;
            if !events.is_empty() {
                to.account_data.rooms.insert(room_id.clone(), events);
            }
            sent.account_data = Some(upto.position);
        }

        let typing = &wanted.typing;
        let scope = Scope {
            enabled: typing.enabled,
            lists: typing.lists.as_ref(),
            rooms: typing.rooms.as_ref(),
        };
        if scope.includes(look.matched, room_id) {
            if let Some(event) = self.typing_event(asked.viewpoint(), number, sent.typing) {
                to.typing.rooms.insert(room_id.clone(), event);
            }
            sent.typing = Some(upto.ephemeral);
        }

        let receipts = &wanted.receipts;
        let scope = Scope {
            enabled: receipts.enabled,
            lists: receipts.lists.as_ref(),
            rooms: receipts.rooms.as_ref(),
        };
        if scope.includes(look.matched, room_id) {
            let event = match sent.receipts {
                Some(since) => {
                    // What was collected begins at the last answer, or at the room's last look.
                    let collected = look.sent.is_some_and(|known| known.upto <= since);
                    let changes = (collected && look.new.is_some()).then_some(changes);
                    self.receipts_event(asked.viewpoint(), number, Some(since), changes).await?
                }
                None => self.first_receipts(asked, look, events).await?,
            };
            if let Some(event) = event {
                to.receipts.rooms.insert(room_id.clone(), event);
            }
            sent.receipts = Some(upto.position);
        }
        Ok(())
    }

    /// All receipts of the user, and those of others on the events that are shown.
    async fn first_receipts(
        &self,
        asked: &Asked<'_>,
        look: &Look<'_>,
        events: &[Arc<Event>],
    ) -> Result<Option<Raw<SyncReceiptEvent>>, RoomError> {
        let mut rows = self.receipts.of_room(look.room.number).await?;
        rows.retain(|(user_id, _)| !asked.ignored.contains(user_id));
        let mut content = receipt_content(&rows, asked.user_id(), 0);
        content.retain(|event_id, receipts| {
            let shown = events.iter().any(|event| event.event_id.as_str() == event_id);
            shown || keep_own(receipts, asked.user_id())
        });
        let content = (!content.is_empty()).then_some(Value::Object(content));
        Ok(content
            .map(|content| ephemeral::event(&json!({ "type": "m.receipt", "content": content }))))
    }
}

/// Leaves of one event's receipts (`{"m.read": {"@alice:kith.test": ...}}`) only the user's own.
/// Answers whether there are any.
fn keep_own(receipts: &mut Value, user_id: &UserId) -> bool {
    let Some(kinds) = receipts.as_object_mut() else { return false };
    kinds.retain(|_, users| {
        let Some(users) = users.as_object_mut() else { return false };
        users.retain(|user, _| user == user_id.as_str());
        !users.is_empty()
    });
    !kinds.is_empty()
}
