//! May this event be in this room? The auth rules, without I/O.

use std::{collections::HashMap, sync::Arc};

use ruma::{
    EventId,
    events::StateEventType,
    room_version_rules::AuthorizationRules,
    state_res::{check_state_dependent_auth_rules, check_state_independent_auth_rules},
};

use super::event::Event;

/// State events by type and state key: as many as a check needs.
pub type StateEvents = HashMap<(StateEventType, String), Arc<Event>>;

/// Checks an event against its auth events and against a room state that holds at least what
/// `auth_types_for_event` names, and the create event.
/// [Spec](https://spec.matrix.org/latest/server-server-api/#authorization-rules)
pub fn authorise(
    rules: &AuthorizationRules,
    event: &Event,
    state: &StateEvents,
) -> Result<(), String> {
    let by_id = |event_id: &EventId| state.values().find(|event| event.event_id == event_id);
    check_state_independent_auth_rules(rules, event, by_id)?;
    check_state_dependent_auth_rules(rules, event, |kind, state_key| {
        state.get(&(kind.clone(), state_key.to_owned()))
    })
}
