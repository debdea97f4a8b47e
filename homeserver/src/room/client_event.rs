//! What does a client see of an event?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-event-format)

use std::{fmt::Write, sync::Arc};

use ruma::{
    MilliSecondsSinceUnixEpoch, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{Room, RoomError, Rooms, draft::raw, event::Event};
use crate::{account_data::IgnoredUsers, users::Requester};

/// For whom an event is written, and how.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    pub requester: &'a Requester,
    /// `/sync` says the room elsewhere.
    pub with_room_id: bool,
    /// Bundles what relates to the event, without what these users sent; `None`: bundles nothing.
    pub bundling: Option<&'a IgnoredUsers>,
}

impl Event {
    /// The event without `unsigned` and `room_id`, and without its closing brace. Written once.
    fn base(&self) -> &Arc<str> {
        self.client_json.get_or_init(|| {
            let text = |value: &str| Value::from(value).to_string();
            let mut json = String::with_capacity(self.pdu.get().len());
            let _ = write!(
                json,
                r#"{{"type":{},"sender":{},"event_id":{},"origin_server_ts":{},"content":{}"#,
                text(&self.kind.to_string()),
                text(self.sender.as_str()),
                text(self.event_id.as_str()),
                self.origin_server_ts.get(),
                self.client_content(),
            );
            if let Some(state_key) = &self.state_key {
                let _ = write!(json, r#","state_key":{}"#, text(state_key));
            }
            if let Some(redacts) = &self.redacts {
                let _ = write!(json, r#","redacts":{}"#, text(redacts.as_str()));
            }
            json.into()
        })
    }

    /// Clients find `redacts` in the content too, whatever the room's version.
    fn client_content(&self) -> String {
        if let Some(redacts) = &self.redacts
            && let Some(mut content) = self.content_as::<Map<String, Value>>()
        {
            content.entry("redacts").or_insert_with(|| redacts.as_str().into());
            return Value::Object(content).to_string();
        }
        self.content.get().to_owned()
    }

    fn client_json(&self, with_room_id: bool, unsigned: &Map<String, Value>) -> String {
        let base = self.base();
        let mut json = String::with_capacity(base.len() + 200);
        json.push_str(base);
        if with_room_id {
            let _ = write!(json, r#","room_id":{}"#, Value::from(self.room_id.as_str()));
        }
        if !unsigned.is_empty() {
            json.push_str(r#","unsigned":"#);
            json.push_str(&serde_json::to_string(unsigned).unwrap_or_else(|_| "{}".to_owned()));
        }
        json.push('}');
        json
    }

    /// The four fields of an invite's or a knock's stripped state.
    pub fn stripped<T>(&self) -> Raw<T> {
        let stripped = json!({
            "type": self.kind.to_string(),
            "sender": self.sender,
            "state_key": self.state_key,
            "content": *self.content,
        });
        Raw::from_json(raw(&stripped))
    }
}

impl Rooms {
    /// The event as this viewer is to see it. Whether they may see it is asked elsewhere.
    pub async fn client_event<T>(
        &self,
        room: &Room,
        event: &Event,
        viewer: Viewer<'_>,
        membership: Option<MembershipState>,
    ) -> Result<Raw<T>, RoomError> {
        let hidden = self.erased_copy(room, event, &viewer.requester.user_id).await?;
        let event = hidden.as_ref().unwrap_or(event);
        let mut unsigned = self.unsigned(room, event, viewer).await?;
        if let Some(membership) = membership {
            unsigned.insert("membership".into(), membership.as_str().into());
        }
        if let Some(ignored) = viewer.bundling
            && let Some(bundle) = self.aggregations(room, event, viewer, ignored).await?
        {
            unsigned.insert("m.relations".into(), bundle);
        }
        let json = event.client_json(viewer.with_room_id, &unsigned);
        Ok(Raw::from_json(RawValue::from_string(json).map_err(|error| {
            RoomError::UnreadableEvent(room.room_id.clone(), event.index(), error.to_string())
        })?))
    }

    /// An event as an entry of the room's state, without what it replaced.
    pub async fn state_entry<T>(
        &self,
        room: &Room,
        event: &Event,
        viewer: &UserId,
    ) -> Result<Raw<T>, RoomError> {
        let hidden = self.erased_copy(room, event, viewer).await?;
        let event = hidden.as_ref().unwrap_or(event);
        let mut unsigned = Map::new();
        let now = MilliSecondsSinceUnixEpoch::now().get();
        let age = i64::from(now) - i64::from(event.origin_server_ts.get());
        unsigned.insert("age".into(), age.into());
        let json = event.client_json(false, &unsigned);
        Ok(Raw::from_json(RawValue::from_string(json).map_err(|error| {
            RoomError::UnreadableEvent(room.room_id.clone(), event.index(), error.to_string())
        })?))
    }

    /// An event that another one carries in its `m.relations`, as the same viewer is to see it.
    pub(super) async fn bundled_event(
        &self,
        room: &Room,
        event: &Event,
        viewer: Viewer<'_>,
        bundle: Map<String, Value>,
    ) -> Result<Value, RoomError> {
        let hidden = self.erased_copy(room, event, &viewer.requester.user_id).await?;
        let event = hidden.as_ref().unwrap_or(event);
        let mut unsigned = self.unsigned(room, event, viewer).await?;
        if !bundle.is_empty() {
            unsigned.insert("m.relations".into(), bundle.into());
        }
        // Clients know the room of the outer event and not always that of the inner one.
        Ok(parse(&event.client_json(true, &unsigned)))
    }

    /// What the server adds to an event. The transaction ID is for the device that sent it alone.
    async fn unsigned(
        &self,
        room: &Room,
        event: &Event,
        viewer: Viewer<'_>,
    ) -> Result<Map<String, Value>, RoomError> {
        let mut unsigned = Map::new();
        let now = MilliSecondsSinceUnixEpoch::now().get();
        let age = i64::from(now) - i64::from(event.origin_server_ts.get());
        unsigned.insert("age".into(), age.into());
        if let Some(sent_by) = &event.sent_by
            && event.sender == viewer.requester.user_id
            && sent_by.device_id == viewer.requester.device_id
        {
            unsigned.insert("transaction_id".into(), sent_by.transaction_id.as_str().into());
        }
        if let Some(index) = event.standing.redacted_by {
            let redaction = self.event(room, index).await?;
            let because = redaction.client_json(true, &Map::new());
            unsigned.insert("redacted_because".into(), parse(&because));
        } else if let Some(before) = self.replaced_state(room, event).await? {
            if self.sees_replaced(room, &before, &viewer.requester.user_id).await? {
                unsigned.insert("prev_content".into(), parse(before.content.get()));
                unsigned.insert("prev_sender".into(), before.sender.as_str().into());
            }
            unsigned.insert("replaces_state".into(), before.event_id.as_str().into());
        }
        Ok(unsigned)
    }

    /// Whether the viewer may see what an event took the place of: who was there then need not be
    /// asked about.
    async fn sees_replaced(
        &self,
        room: &Room,
        before: &Event,
        viewer: &UserId,
    ) -> Result<bool, RoomError> {
        let member = self.members().get(room.number, viewer).await?;
        let was_there = member.is_some_and(|row| {
            row.membership == MembershipState::Join
                && row
                    .joined_at
                    .is_some_and(|joined_at| joined_at.cast_signed() <= before.position())
        });
        Ok(was_there || self.visibility(room, viewer).await?.sees(before).await?)
    }

    /// The state event that this one took the place of.
    async fn replaced_state(
        &self,
        room: &Room,
        event: &Event,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(state_key) = &event.state_key else { return Ok(None) };
        if event.kind == TimelineEventType::RoomCreate {
            return Ok(None);
        }
        let kind = StateEventType::from(event.kind.to_string());
        self.state_event(room, event.standing.state_before, &kind, state_key).await
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}
