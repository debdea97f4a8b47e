//! What follows a user from a room into the one that replaced it? Tags, push rules, and whether it is
//! a direct chat.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#room-upgrades)

use ruma::{
    OwnedRoomId, UserId,
    events::StateEventType,
    push::{
        NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushCondition, RuleKind, Ruleset,
    },
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    account_data::{AccountData, GLOBAL},
    push::rules::{PushRuleError, PushRules},
    room::{Room, RoomError, Rooms},
};

const TAGS: &str = "m.tag";
const DIRECT: &str = "m.direct";

/// What users set about rooms. Cheap to clone.
#[derive(Clone)]
pub struct RoomSettings {
    rooms: Rooms,
    account_data: AccountData,
    push_rules: PushRules,
}

impl RoomSettings {
    pub fn new(rooms: Rooms, account_data: AccountData, push_rules: PushRules) -> Self {
        Self { rooms, account_data, push_rules }
    }

    /// Called when a user has joined a room: if they were in its predecessor, their settings follow.
    pub async fn carry_over(&self, user_id: &UserId, new: &Room) -> Result<(), RoomError> {
        let Self { rooms, account_data, push_rules } = self;
        #[derive(Deserialize)]
        struct Create {
            predecessor: Predecessor,
        }
        #[derive(Deserialize)]
        struct Predecessor {
            room_id: OwnedRoomId,
        }
        let create: Option<Create> =
            rooms.current_state(new, &StateEventType::RoomCreate, "").await?;
        let Some(Create { predecessor: Predecessor { room_id } }) = create else { return Ok(()) };
        let Some(old) = rooms.get(&room_id).await? else { return Ok(()) };
        let was_there = rooms.members().get(old.number, user_id).await?;
        if was_there.is_none_or(|row| row.joined_at.is_none() || row.forgotten) {
            return Ok(());
        }
        if let Some(tags) = account_data.get(user_id, old.number, TAGS).await? {
            let keep = |own: Option<Value>| own.is_none().then_some(tags);
            account_data.update(user_id, new.number, TAGS, keep).await?;
        }
        let add = |direct: Option<Value>| {
            let mut direct = direct?;
            let mut changed = false;
            for chats in direct.as_object_mut()?.values_mut().filter_map(Value::as_array_mut) {
                let has = |chat: &OwnedRoomId| chats.iter().any(|id| id == chat.as_str());
                if has(&old.room_id) && !has(&new.room_id) {
                    chats.push(new.room_id.as_str().into());
                    changed = true;
                }
            }
            changed.then_some(direct)
        };
        account_data.update(user_id, GLOBAL, DIRECT, add).await?;
        for rule in rules_for(&*push_rules.get(user_id).await?, &old.room_id, &new.room_id) {
            match push_rules.put(user_id, rule, None, None).await {
                Err(PushRuleError::Store(error)) => return Err(error.into()),
                Err(error) => tracing::debug!(%user_id, %error, "a push rule stays behind"),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// The user's own rules about the old room, for the new one.
fn rules_for(rules: &Ruleset, old: &OwnedRoomId, new: &OwnedRoomId) -> Vec<NewPushRule> {
    let mut carried = Vec::new();
    if let Some(rule) = rules.room.get(old.as_str())
        && rule.enabled
        && !rules.room.contains(new.as_str())
    {
        let rule = NewSimplePushRule::new(new.clone(), rule.actions.clone());
        carried.push(NewPushRule::Room(rule));
    }
    // As clients mute a room: a rule above all others, named for the room.
    if let Some(rule) = rules.override_.get(old.as_str())
        && rule.enabled
        && rules.get(RuleKind::Override, new).is_none()
    {
        let mut conditions = rule.conditions.clone();
        for condition in &mut conditions {
            if let PushCondition::EventMatch(matched) = condition
                && matched.key == "room_id"
                && matched.pattern == old.as_str()
            {
                matched.pattern = new.to_string();
            }
        }
        let actions = rule.actions.clone();
        let rule = NewConditionalPushRule::new(new.to_string(), conditions, actions);
        carried.push(NewPushRule::Override(rule));
    }
    carried
}
