//! How is a room replaced by one of another version?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-upgrades)

use std::sync::Arc;

use kith_store::Batch;
use ruma::{
    OwnedUserId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
    int,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Room, RoomError, Rooms,
    create::{CreateError, NewRoom, Preset, raise_tombstone},
    directory::publish,
    draft::{Draft, raw},
    persist::SendError,
};
use crate::config::ROOM_VERSIONS;

/// What the new room takes over. Power levels come after it, since they may take from the creator the
/// right to set the others.
const COPIED: [StateEventType; 8] = [
    StateEventType::RoomServerAcl,
    StateEventType::RoomEncryption,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomJoinRules,
    StateEventType::SpaceChild,
];

/// What creators have where their power is a number.
const CREATOR: i64 = 100;

type InitialState = Vec<(StateEventType, String, Box<RawValue>)>;

impl Rooms {
    /// Makes the room that replaces `old` and closes the old one.
    pub async fn upgrade(
        &self,
        old: &Arc<Room>,
        user_id: &UserId,
        version: RoomVersionId,
        additional_creators: Vec<OwnedUserId>,
    ) -> Result<Arc<Room>, CreateError> {
        let rules = version.rules().filter(|_| ROOM_VERSIONS.contains(&version));
        let rules = rules.ok_or_else(|| CreateError::UnsupportedVersion(version.clone()))?;
        let power_levels = self.power_levels(old).await?;
        if !power_levels.user_can_send_state(user_id, StateEventType::RoomTombstone) {
            let reason = "you may not upgrade this room".to_owned();
            return Err(SendError::Unauthorized(reason).into());
        }
        let several = rules.authorization.additional_room_creators;
        let additional_creators = if several { additional_creators } else { Vec::new() };
        let mut creators = additional_creators.clone();
        creators.push(user_id.to_owned());
        let privileged = rules.authorization.explicitly_privilege_room_creators;
        let mut initial_state = self.transferable(old).await?;
        let levels = self.new_power_levels(old, &creators, privileged).await?;
        let mut first_levels = Map::new();
        if !privileged {
            // Enough to set every other level; the room's own ones come last.
            let highest = levels.as_ref().map_or(CREATOR, highest);
            first_levels.insert("users".into(), json!({ user_id.as_str(): highest }));
        }
        initial_state.extend(
            levels.map(|levels| (StateEventType::RoomPowerLevels, String::new(), raw(&levels))),
        );
        let published = self.is_published(old).await.map_err(RoomError::from)?;
        let new = NewRoom {
            creator: user_id.to_owned(),
            version,
            creation_content: self.create_content(old, &additional_creators, several).await?,
            preset: Preset::PrivateChat,
            power_level_content_override: first_levels,
            initial_state,
            name: None,
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
            published,
        };
        let new = self.create(new).await?;
        self.move_names(old, &new, user_id, published).await?;
        let tombstone =
            json!({ "body": "This room has been replaced", "replacement_room": new.room_id });
        let kind = StateEventType::RoomTombstone;
        let tombstone = Draft::own_state(user_id.to_owned(), &kind, "", &tombstone);
        self.send_state(old, tombstone).await?;
        allowed(old, self.quieten(old, user_id).await)?;
        Ok(new)
    }

    /// What the new room's create event says beside its version.
    async fn create_content(
        &self,
        old: &Room,
        additional_creators: &[OwnedUserId],
        several: bool,
    ) -> Result<Map<String, Value>, RoomError> {
        let before: Option<Map<String, Value>> =
            self.current_state(old, &StateEventType::RoomCreate, "").await?;
        let mut content = before.unwrap_or_default();
        content.retain(|field, _| matches!(field.as_str(), "type" | "m.federate"));
        let mut predecessor = json!({ "room_id": old.room_id });
        if !several {
            // The last event that we know of.
            for index in old.head().forward_extremities.iter().take(1) {
                let event = self.event(old, *index).await?;
                predecessor["event_id"] = event.event_id.as_str().into();
            }
        }
        content.insert("predecessor".into(), predecessor);
        if !additional_creators.is_empty() {
            content.insert("additional_creators".into(), json!(additional_creators));
        }
        Ok(content)
    }

    async fn transferable(&self, old: &Room) -> Result<InitialState, RoomError> {
        let snapshot = old.head().snapshot;
        let mut state = InitialState::new();
        for kind in COPIED {
            for event in self.state_of_type(old, snapshot, &kind).await? {
                let state_key = event.state_key.clone().unwrap_or_default();
                state.push((kind.clone(), state_key, event.content.clone()));
            }
        }
        // A room that does not say keeps guests out; a new one would let them in.
        let kind = StateEventType::RoomGuestAccess;
        let guests = self.current_state_event(old, &kind, "").await?;
        let guests = guests.map_or_else(
            || raw(&json!({ "guest_access": "forbidden" })),
            |event| event.content.clone(),
        );
        state.push((kind, String::new(), guests));
        Ok(state)
    }

    /// The old power levels, in the form that the new version wants; `None` if the room has none.
    async fn new_power_levels(
        &self,
        old: &Room,
        creators: &[OwnedUserId],
        privileged: bool,
    ) -> Result<Option<Map<String, Value>>, RoomError> {
        let kind = StateEventType::RoomPowerLevels;
        let content: Option<Map<String, Value>> = self.current_state(old, &kind, "").await?;
        let Some(mut content) = content else { return Ok(None) };
        content.values_mut().for_each(to_integers);
        let before = self.creators(old).await?;
        let highest = highest(&content);
        let users = content.entry("users").or_insert_with(|| json!({}));
        if let Some(users) = users.as_object_mut() {
            if privileged {
                users.retain(|user, _| !creators.iter().any(|creator| creator == user));
            } else if old.rules.authorization.explicitly_privilege_room_creators {
                // Their power was beyond numbers, now it is one.
                users.extend(before.iter().map(|creator| (creator.to_string(), json!(highest))));
            }
        }
        if privileged {
            raise_tombstone(&mut content);
        }
        Ok(Some(content))
    }

    /// Aliases and the place in the directory go to the new room.
    async fn move_names(
        &self,
        old: &Arc<Room>,
        new: &Arc<Room>,
        user_id: &UserId,
        published: bool,
    ) -> Result<(), SendError> {
        self.move_aliases(&old.room_id, &new.room_id).await?;
        let kind = StateEventType::RoomCanonicalAlias;
        if let Some(canonical) = self.current_state_event(old, &kind, "").await? {
            let content = canonical.content.clone();
            let draft = Draft::state(user_id.to_owned(), &kind, "", content);
            let sent = self.send_state(new, draft).await.map(drop);
            allowed(new, sent)?;
            let draft = Draft::own_state(user_id.to_owned(), &kind, "", &json!({}));
            allowed(old, self.send_state(old, draft).await.map(drop))?;
        }
        if published {
            let mut batch = Batch::new();
            publish(&mut batch, old, false);
            self.store().commit(batch).await?;
        }
        Ok(())
    }

    /// Nobody but moderators goes on talking or inviting in the old room.
    async fn quieten(&self, old: &Arc<Room>, user_id: &UserId) -> Result<(), SendError> {
        let power_levels = self.power_levels(old).await?;
        let level = power_levels.users_default.saturating_add(int!(1)).max(int!(50));
        let kind = StateEventType::RoomPowerLevels;
        let content: Option<Map<String, Value>> = self.current_state(old, &kind, "").await?;
        let mut content = content.unwrap_or_default();
        for (field, now) in
            [("events_default", power_levels.events_default), ("invite", power_levels.invite)]
        {
            if now < level {
                content.insert(field.to_owned(), json!(level));
            }
        }
        // A message type with a level of its own would stay open.
        let message = TimelineEventType::RoomMessage.to_string();
        if let Some(events) = content.get_mut("events").and_then(Value::as_object_mut) {
            events.retain(|kind, now| *kind != message || now.as_i64() >= Some(level.into()));
        }
        let draft = Draft::own_state(user_id.to_owned(), &kind, "", &content);
        self.send_state(old, draft).await.map(drop)
    }
}

/// What an upgrade does on the side may be beyond the user's power, and is left then.
fn allowed(room: &Room, done: Result<(), SendError>) -> Result<(), SendError> {
    match done {
        Err(
            error @ (SendError::Unauthorized(_)
            | SendError::BadAlias(_)
            | SendError::InvalidAlias(_)),
        ) => {
            tracing::info!(room_id = %room.room_id, %error, "left as it is by an upgrade");
            Ok(())
        }
        other => other,
    }
}

/// The highest level that anything needs or anybody has.
fn highest(levels: &Map<String, Value>) -> i64 {
    let numbers = levels.values().flat_map(|value| match value {
        Value::Object(fields) => fields.values().filter_map(Value::as_i64).collect(),
        other => Vec::from_iter(other.as_i64()),
    });
    numbers.max().unwrap_or(CREATOR).max(CREATOR)
}

/// Power levels were text once; room versions since 10 want integers.
fn to_integers(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(number) = text.trim().parse::<i64>() {
                *value = number.into();
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(to_integers),
        _ => {}
    }
}
