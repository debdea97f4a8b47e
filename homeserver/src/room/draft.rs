//! How does what a user wants become a PDU?

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId,
    RoomId,
    canonical_json::{CanonicalJsonError, try_from_json_map},
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    signatures::{JsonError, hash_and_sign_event, reference_hash},
};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::event::SentBy;
use crate::team::Team;

/// A whole event as canonical JSON.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#size-limits)
const MAX_EVENT_BYTES: usize = 65_535;
/// `sender`, `room_id`, `state_key` and `type`.
const MAX_FIELD_BYTES: usize = 255;
/// `depth` stays an integer of canonical JSON: 2^53 - 1.
const MAX_DEPTH: u64 = (1 << 53) - 1;

/// An event before it has a place in its room.
#[derive(Debug, Clone)]
pub struct Draft {
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    pub state_key: Option<String>,
    pub content: Box<RawValue>,
    pub redacts: Option<OwnedEventId>,
    /// Only an application service may choose it.
    pub timestamp: Option<MilliSecondsSinceUnixEpoch>,
    pub sent_by: Option<SentBy>,
}

#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    #[error("the content is not canonical JSON: {0}")]
    NotCanonical(String),
    #[error("the event is too large")]
    TooLarge,
    #[error("the event cannot be signed: {0}")]
    Signing(String),
}

impl Draft {
    pub fn message(sender: OwnedUserId, kind: TimelineEventType, content: Box<RawValue>) -> Self {
        Self {
            sender,
            kind,
            state_key: None,
            content,
            redacts: None,
            timestamp: None,
            sent_by: None,
        }
    }

    pub fn state(
        sender: OwnedUserId,
        kind: &StateEventType,
        state_key: impl Into<String>,
        content: Box<RawValue>,
    ) -> Self {
        let state_key = Some(state_key.into());
        let kind = kind.to_string().into();
        Self { sender, kind, state_key, content, redacts: None, timestamp: None, sent_by: None }
    }

    /// A state event whose content we made ourselves.
    pub fn own_state(
        sender: OwnedUserId,
        kind: &StateEventType,
        state_key: impl Into<String>,
        content: &impl Serialize,
    ) -> Self {
        Self::state(sender, kind, state_key, raw(content))
    }
}

/// Where in the room's graph a new event goes.
#[derive(Debug)]
pub struct Place<'a> {
    /// Absent for a create event whose hash becomes the room's ID.
    pub room_id: Option<&'a RoomId>,
    pub prev_events: Vec<OwnedEventId>,
    pub auth_events: Vec<OwnedEventId>,
    pub depth: u64,
}

/// Completes, hashes and signs the event.
pub fn build(
    draft: &Draft,
    place: Place<'_>,
    rules: &RoomVersionRules,
    team: &Team,
) -> Result<(OwnedEventId, CanonicalJsonObject), DraftError> {
    let mut pdu = complete(draft, place, rules)?;
    let server = team.server_name().as_str();
    hash_and_sign_event(server, team.signing_key(), &mut pdu, &rules.redaction)?;
    let hash = reference_hash(&pdu, rules)?;
    let length = serde_json::to_string(&pdu).map_or(usize::MAX, |json| json.len());
    if length > MAX_EVENT_BYTES {
        return Err(DraftError::TooLarge);
    }
    let event_id = OwnedEventId::try_from(format!("${hash}"))
        .map_err(|error| DraftError::Signing(error.to_string()))?;
    Ok((event_id, pdu))
}

/// The event without hashes and signatures.
pub(super) fn complete(
    draft: &Draft,
    place: Place<'_>,
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonObject, DraftError> {
    let kind = draft.kind.to_string();
    let fields = [Some(kind.as_str()), draft.state_key.as_deref()];
    if fields.into_iter().flatten().any(|field| field.len() > MAX_FIELD_BYTES) {
        return Err(DraftError::TooLarge);
    }
    let mut content = canonical_object(&draft.content)?;
    let mut pdu = CanonicalJsonObject::new();
    if let Some(target) = &draft.redacts {
        let holder = if rules.redaction.content_field_redacts { &mut content } else { &mut pdu };
        holder.insert("redacts".into(), string(target.as_str()));
    }
    let ids = |ids: Vec<OwnedEventId>| {
        CanonicalJsonValue::Array(ids.iter().map(|id| string(id.as_str())).collect())
    };
    let now = draft.timestamp.unwrap_or_else(MilliSecondsSinceUnixEpoch::now);
    let depth = ruma::UInt::try_from(place.depth.min(MAX_DEPTH)).unwrap_or_default();
    pdu.insert("auth_events".into(), ids(place.auth_events));
    pdu.insert("content".into(), CanonicalJsonValue::Object(content));
    pdu.insert("depth".into(), CanonicalJsonValue::Integer(depth.into()));
    pdu.insert("origin_server_ts".into(), CanonicalJsonValue::Integer(now.get().into()));
    pdu.insert("prev_events".into(), ids(place.prev_events));
    if let Some(room_id) = place.room_id {
        pdu.insert("room_id".into(), string(room_id.as_str()));
    }
    pdu.insert("sender".into(), string(draft.sender.as_str()));
    if let Some(state_key) = &draft.state_key {
        pdu.insert("state_key".into(), string(state_key));
    }
    pdu.insert("type".into(), string(&kind));
    Ok(pdu)
}

impl From<JsonError> for DraftError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::PduTooLarge => Self::TooLarge,
            other => Self::Signing(other.to_string()),
        }
    }
}

/// Content that we made ourselves, as JSON.
pub fn raw(content: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(content).expect("our own types serialise")
}

/// A JSON object as canonical JSON: no floats, no integers beyond 2^53.
pub fn canonical_object(content: &RawValue) -> Result<CanonicalJsonObject, DraftError> {
    let not_canonical = |error: &dyn std::fmt::Display| DraftError::NotCanonical(error.to_string());
    let map: Map<String, Value> =
        serde_json::from_str(content.get()).map_err(|error| not_canonical(&error))?;
    try_from_json_map(map).map_err(|error: CanonicalJsonError| not_canonical(&error))
}

fn string(text: &str) -> CanonicalJsonValue {
    CanonicalJsonValue::String(text.to_owned())
}
