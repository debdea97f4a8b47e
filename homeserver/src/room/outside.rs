//! What do users of this server have to do with rooms that it is not in?
//!
//! They are invited, they knock, they take it back. Of such a room is known its ID and its version, the
//! member events of our users, and what others said of its state: enough for a sync to show it.

use std::{collections::HashSet, sync::Arc};

use kith_store::{
    Json,
    tables::{self, EventIndex, OutsideRow, Verdict},
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedServerName, RoomId, RoomVersionId, ServerName, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Room, RoomError, Rooms, draft::raw, event::Event, pdu::Pdu, visibility::membership_of,
};

/// How many state events of a room that we are not in are kept, and how many bytes of them.
/// More than any server sends: eight types, and members to name the room after.
pub const MAX_STATE_EVENTS: usize = 100;
pub const MAX_STATE_BYTES: usize = 128 * 1024;
/// How many servers that are in the room are remembered.
const MAX_VIA: usize = 20;

/// One entry of a room's stripped state.
#[derive(Deserialize)]
struct Stripped {
    #[serde(rename = "type")]
    kind: String,
    sender: ruma::OwnedUserId,
    state_key: String,
    content: serde_json::Map<String, Value>,
}

/// The four fields of each entry that has them; what is malformed is left out, and so is what exceeds
/// the limits.
pub fn stripped_state<'a>(entries: impl IntoIterator<Item = &'a RawValue>) -> Vec<Box<RawValue>> {
    let mut state: Vec<Box<RawValue>> = Vec::new();
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for entry in entries {
        let Ok(entry) = serde_json::from_str::<Stripped>(entry.get()) else { continue };
        if !seen.insert((entry.kind.clone(), entry.state_key.clone())) {
            continue;
        }
        let stripped = raw(&json!({
            "type": entry.kind,
            "sender": entry.sender,
            "state_key": entry.state_key,
            "content": entry.content,
        }));
        bytes += stripped.get().len();
        if bytes > MAX_STATE_BYTES || state.len() == MAX_STATE_EVENTS {
            break;
        }
        state.push(stripped);
    }
    state
}

impl Rooms {
    /// A room that this server may never have heard of.
    pub(super) async fn room_of_version(
        &self,
        room_id: &RoomId,
        version: &RoomVersionId,
    ) -> Result<Arc<Room>, RoomError> {
        loop {
            if let Some(room) = self.get(room_id).await? {
                return Ok(room);
            }
            let rules = version
                .rules()
                .ok_or_else(|| RoomError::UnknownVersion(room_id.to_owned(), version.clone()))?;
            let room = self.new_room(room_id.to_owned(), version.clone(), rules);
            let writer = self.new_room_writer(&room).await;
            match writer.commit().await {
                Ok(_) => return Ok(room),
                // Somebody else was first.
                Err(RoomError::Store(kith_store::Error::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps a member event of a user of ours, if the user's membership still is what it was when the
    /// event was made: `None` if somebody else was faster.
    pub(super) async fn keep_outside(
        &self,
        room: &Arc<Room>,
        (event_id, pdu): (OwnedEventId, &CanonicalJsonObject),
        state: Vec<Box<RawValue>>,
        via: &[OwnedServerName],
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let writer = self.writer(room).await?;
        if self.is_resident(room).await? {
            return Ok(None);
        }
        let via = via.iter().take(MAX_VIA).cloned().collect();
        let event = writer.commit_outside(event_id, pdu, OutsideRow { state, via }).await?;
        Ok(Some(event))
    }

    /// Whether the sender of this event entered or left through this server.
    pub async fn was_handed_in(
        &self,
        room: &Room,
        index: EventIndex,
    ) -> Result<bool, kith_store::Error> {
        let row = self.store().get(&tables::HANDED_IN, &(room.number, index)).await?;
        Ok(row.is_some())
    }

    /// What is known of the room of an event that is no part of it; `None` for any other event.
    pub async fn outside(
        &self,
        room: &Room,
        event: &Event,
    ) -> Result<Option<OutsideRow>, kith_store::Error> {
        if event.standing.verdict != Verdict::Outlier {
            return Ok(None);
        }
        self.outside_row(room, event.index()).await
    }

    async fn outside_row(
        &self,
        room: &Room,
        index: EventIndex,
    ) -> Result<Option<OutsideRow>, kith_store::Error> {
        let row = self.store().get(&tables::OUTSIDE_EVENTS, &(room.number, index)).await?;
        Ok(row.map(|Json(row)| row))
    }

    /// Takes a member event of a room that this server is not in: an invite is taken back, a knock
    /// refused. Answers the event if there was anything to take. Nobody here can tell whether the room's
    /// rules allow it; who knows the invite or the knock is in the room, and may as well never have
    /// sent it.
    pub async fn receive_outside(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Pdu,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(user_id) = pdu.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) else {
            return Ok(None);
        };
        let ends = matches!(membership_of(pdu), MembershipState::Leave | MembershipState::Ban);
        let is_member = pdu.kind == ruma::events::TimelineEventType::RoomMember;
        if !is_member || !ends || !self.team().is_ours(&user_id) || pdu.room_id != room.room_id {
            return Ok(None);
        }
        let Some(row) = self.members().get(room.number, &user_id).await? else { return Ok(None) };
        let pending = matches!(row.membership, MembershipState::Invite | MembershipState::Knock);
        if !pending || self.is_resident(room).await? {
            return Ok(None);
        }
        let before = self.event(room, row.event).await?;
        let from_inviter = pdu.sender.server_name() == origin;
        if !from_inviter || !pdu.auth_events.contains(&before.event_id) {
            return Ok(None);
        }
        let Ok(object) = serde_json::from_str(pdu.pdu.get()) else { return Ok(None) };
        let event = (pdu.event_id.clone(), &object);
        self.keep_outside(room, event, Vec::new(), &[]).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_STATE_BYTES, MAX_STATE_EVENTS, raw, stripped_state};

    fn stripped(entries: &[Value]) -> Vec<Value> {
        let entries: Vec<_> = entries.iter().map(raw).collect();
        let state = stripped_state(entries.iter().map(|entry| &**entry));
        state.iter().map(|entry| serde_json::from_str(entry.get()).expect("JSON")).collect()
    }

    fn entry(kind: &str, content: &Value) -> Value {
        json!({ "type": kind, "state_key": "", "sender": "@a:b", "content": content, "depth": 7 })
    }

    #[test]
    fn malformed_entries_are_left_out() {
        let good = json!({
            "type": "m.room.name", "state_key": "", "sender": "@a:b", "content": { "name": "x" },
        });
        let entries = [
            json!(7),
            json!("m.room.name"),
            json!(null),
            json!([]),
            json!({}),
            json!({ "type": "m.room.name", "sender": "@a:b", "content": {} }),
            json!({ "type": "m.room.name", "state_key": "", "sender": "a", "content": {} }),
            json!({ "type": "m.room.name", "state_key": "", "sender": "@a:b", "content": [] }),
            json!({ "type": 1, "state_key": "", "sender": "@a:b", "content": {} }),
            entry("m.room.name", &json!({ "name": "x" })),
            entry("m.room.name", &json!({ "name": "another" })),
        ];
        assert_eq!(stripped(&entries), [good]);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let many: Vec<Value> = (0..1_000).map(|n| entry(&format!("type{n}"), &json!({}))).collect();
        assert_eq!(stripped(&many).len(), MAX_STATE_EVENTS);
        let large = entry("m.room.topic", &json!({ "topic": "x".repeat(MAX_STATE_BYTES) }));
        let state = stripped(&[entry("m.room.name", &json!({})), large]);
        assert_eq!(state.len(), 1);
    }
}
