//! May this event be in this room? The auth rules, without I/O.

use std::{collections::HashMap, sync::Arc};

use ruma::{
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
    authorise_auth_events(rules, event, state.values())?;
    authorise_in(rules, event, state)
}

/// The rules that depend on no state: whether the event names the right auth events. The create event
/// is to be among them in every room version.
pub fn authorise_auth_events<'a>(
    rules: &AuthorizationRules,
    event: &Event,
    auth_events: impl Iterator<Item = &'a Arc<Event>> + Clone,
) -> Result<(), String> {
    check_state_independent_auth_rules(rules, event, |event_id| {
        auth_events.clone().find(|event| event.event_id == event_id)
    })
}

/// The rules that depend on a state.
pub fn authorise_in(
    rules: &AuthorizationRules,
    event: &Event,
    state: &StateEvents,
) -> Result<(), String> {
    check_state_dependent_auth_rules(rules, event, |kind, state_key| {
        state.get(&(kind.clone(), state_key.to_owned()))
    })
}
