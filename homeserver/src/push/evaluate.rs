//! Which push rule does an event match for a user?
//!
//! The rules are ruma's; matching them is our own: linear in the event, without a regular expression
//! that may not compile, without a recursion as deep as a message is long.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#conditions-1)

use std::{borrow::Cow, collections::BTreeMap, ops::RangeBounds, sync::Arc};

use ruma::{
    OwnedUserId, UInt, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, UserPowerLevel},
    },
    push::{
        Action, AnyPushRuleRef, ConditionalPushRule, PushCondition, Ruleset, ScalarJsonValue,
        SenderNotificationPermissionConditionData,
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::glob::{self, Budget, Part};
use crate::room::{Room, RoomError, Rooms, event::Event};

/// The power level that a kind of notification takes if the room does not say.
const NOTIFICATION_LEVEL: i64 = 50;

/// What the conditions of push rules look at beside the event.
pub struct Context {
    pub user_id: OwnedUserId,
    /// The user's name in the room.
    pub display_name: String,
    /// How many have joined the room.
    pub joined: u32,
    pub power_levels: Arc<RoomPowerLevels>,
    /// The event that sets them.
    pub power_levels_event: Option<Arc<Event>>,
    /// Whether the user has subscribed to the thread that the event is in; `None` if it is in none, or
    /// the user does not use subscriptions.
    pub subscribed: Option<bool>,
}

impl Context {
    /// For events of a room as it stands now. `display_name` is the user's in the room.
    pub async fn new(
        rooms: &Rooms,
        room: &Room,
        user_id: &UserId,
        display_name: Option<&str>,
    ) -> Result<Self, RoomError> {
        let kind = StateEventType::RoomPowerLevels;
        Ok(Self {
            user_id: user_id.to_owned(),
            display_name: display_name.unwrap_or(user_id.localpart()).to_owned(),
            joined: room.head().joined,
            power_levels: rooms.power_levels(room).await?,
            power_levels_event: rooms.current_state_event(room, &kind, "").await?,
            subscribed: None,
        })
    }
}

/// What an event does to a user whom it notifies.
#[derive(Debug, Clone, Copy)]
pub struct Notifies<'a> {
    pub actions: &'a [Action],
    pub highlight: bool,
}

/// What the rules say of an event: `None` if it is to go unnoticed.
pub fn evaluate<'a>(rules: &'a Ruleset, event: &Event, context: &Context) -> Option<Notifies<'a>> {
    if event.sender == context.user_id || event.standing.redacted_by.is_some() {
        return None;
    }
    let kind = event.kind.to_string();
    let mut matcher = Matcher { event, kind, context, budget: Budget::default() };
    let rule = rules.iter().find(|rule| rule.enabled() && matcher.matches(*rule))?;
    let actions = rule.actions();
    let notifies = actions.iter().any(Action::should_notify);
    notifies.then(|| Notifies { actions, highlight: actions.iter().any(Action::is_highlight) })
}

struct Matcher<'a> {
    event: &'a Event,
    kind: String,
    context: &'a Context,
    budget: Budget,
}

impl Matcher<'_> {
    fn matches(&mut self, rule: AnyPushRuleRef<'_>) -> bool {
        match rule {
            AnyPushRuleRef::Override(rule)
            | AnyPushRuleRef::PostContent(rule)
            | AnyPushRuleRef::Underride(rule) => self.all_hold(rule),
            AnyPushRuleRef::Content(rule) => self.event_match("content.body", &rule.pattern),
            AnyPushRuleRef::Room(rule) => rule.rule_id == self.event.room_id,
            AnyPushRuleRef::Sender(rule) => rule.rule_id == self.event.sender,
            _ => false,
        }
    }

    fn all_hold(&mut self, rule: &ConditionalPushRule) -> bool {
        rule.conditions.iter().all(|condition| self.holds(condition))
    }

    fn holds(&mut self, condition: &PushCondition) -> bool {
        match condition {
            PushCondition::EventMatch(data) => self.event_match(&data.key, &data.pattern),
            #[allow(deprecated, reason = "the specification keeps it for rules that users made")]
            PushCondition::ContainsDisplayName => {
                let body = self.event.content_value().get("body").and_then(Value::as_str);
                let Some(body) = body else { return false };
                let name = &self.context.display_name;
                !name.is_empty() && glob::contains(name, body, &mut self.budget)
            }
            PushCondition::RoomMemberCount(data) => {
                data.is.contains(&UInt::from(self.context.joined))
            }
            PushCondition::SenderNotificationPermission(data) => self.sender_may(data),
            PushCondition::EventPropertyIs(data) => {
                self.property(&data.key).is_some_and(|value| is(&value, &data.value))
            }
            PushCondition::EventPropertyContains(data) => {
                let Some(found) = self.property(&data.key) else { return false };
                let values = found.as_array().map(Vec::as_slice).unwrap_or_default();
                values.iter().any(|value| is(value, &data.value))
            }
            PushCondition::ThreadSubscription(data) => {
                self.context.subscribed == Some(data.subscribed)
            }
            // A condition that this server does not know never holds.
            _ => false,
        }
    }

    fn event_match(&mut self, key: &str, pattern: &str) -> bool {
        let part = if key == "content.body" { Part::Words } else { Part::Whole };
        let event = self.event;
        let budget = &mut self.budget;
        match key {
            "type" => glob::matches(pattern, &self.kind, part, budget),
            "sender" => glob::matches(pattern, event.sender.as_str(), part, budget),
            "room_id" => glob::matches(pattern, event.room_id.as_str(), part, budget),
            "state_key" => event
                .state_key
                .as_deref()
                .is_some_and(|state_key| glob::matches(pattern, state_key, part, budget)),
            _ => match property(event, key).as_deref() {
                Some(Value::String(value)) => glob::matches(pattern, value, part, budget),
                _ => false,
            },
        }
    }

    fn sender_may(&self, data: &SenderNotificationPermissionConditionData) -> bool {
        let power_levels = &self.context.power_levels;
        let key = data.key.as_str();
        let needed = if key == "room" {
            i64::from(power_levels.notifications.room)
        } else {
            let event = self.context.power_levels_event.as_ref();
            let content = event.and_then(|event| event.content_as::<Notifications>());
            let level = content.and_then(|content| content.notifications.get(key)?.as_i64());
            level.unwrap_or(NOTIFICATION_LEVEL)
        };
        match power_levels.for_user(&self.event.sender) {
            UserPowerLevel::Infinite => true,
            UserPowerLevel::Int(level) => i64::from(level) >= needed,
            _ => false,
        }
    }

    fn property(&self, key: &str) -> Option<Cow<'_, Value>> {
        property(self.event, key)
    }
}

#[derive(Deserialize)]
struct Notifications {
    #[serde(default)]
    notifications: BTreeMap<String, Value>,
}

/// The property of the event, as clients see the event, at a path of names with dots between them.
/// [Spec](https://spec.matrix.org/latest/appendices/#dot-separated-property-paths)
fn property<'a>(event: &'a Event, key: &str) -> Option<Cow<'a, Value>> {
    if let Some(path) = key.strip_prefix("content.") {
        let mut names = Names(Some(path));
        let found = names.try_fold(event.content_value(), |value, name| value.get(&*name));
        return found.map(Cow::Borrowed);
    }
    let value: Value = match key {
        "type" => event.kind.to_string().into(),
        "sender" => event.sender.as_str().into(),
        "room_id" => event.room_id.as_str().into(),
        "event_id" => event.event_id.as_str().into(),
        "state_key" => event.state_key.as_deref()?.into(),
        "redacts" => event.redacts.as_ref()?.as_str().into(),
        "origin_server_ts" => u64::from(event.origin_server_ts.get()).into(),
        _ => return None,
    };
    Some(Cow::Owned(value))
}

/// The names of a path; a backslash before a dot or a backslash takes its meaning away.
struct Names<'a>(Option<&'a str>);

impl<'a> Iterator for Names<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let path = self.0?;
        let (mut end, mut escaped) = (path.len(), false);
        let mut has_escapes = false;
        for (at, character) in path.char_indices() {
            match character {
                '.' if !escaped => {
                    end = at;
                    break;
                }
                '\\' if !escaped => (escaped, has_escapes) = (true, true),
                _ => escaped = false,
            }
        }
        let name = &path[..end];
        self.0 = path.get(end + 1..);
        if !has_escapes {
            return Some(Cow::Borrowed(name));
        }
        let mut unescaped = String::with_capacity(name.len());
        let mut characters = name.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek()) {
                ('\\', Some('.' | '\\')) => unescaped.extend(characters.next()),
                _ => unescaped.push(character),
            }
        }
        Some(Cow::Owned(unescaped))
    }
}

/// Whether two values are the same, of the same type.
fn is(value: &Value, wanted: &ScalarJsonValue) -> bool {
    match wanted {
        ScalarJsonValue::Null => value.is_null(),
        ScalarJsonValue::Bool(wanted) => value.as_bool() == Some(*wanted),
        ScalarJsonValue::Integer(wanted) => value.as_i64() == Some((*wanted).into()),
        ScalarJsonValue::String(wanted) => value.as_str() == Some(wanted),
    }
}

#[cfg(test)]
mod tests;
