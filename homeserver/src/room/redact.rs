//! Which events may a user redact?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#redactions)

use ruma::{OwnedEventId, UserId, events::TimelineEventType};
use serde_json::{Map, Value};

use super::{
    Room, RoomError, Rooms,
    draft::{Draft, DraftError, raw},
    event::Event,
    persist::{RoomWriter, SendError},
};

impl RoomWriter {
    /// Checks the redaction of a local user, which is not part of the auth rules. The draft may name
    /// the event in its content or beside it; the room's version decides where the PDU does.
    pub(super) async fn check_redaction(&self, draft: &mut Draft) -> Result<(), SendError> {
        take_redacts(draft)?;
        let target = match &draft.redacts {
            Some(target) => self.rooms().event_by_id(self.room(), target).await?,
            None => None,
        };
        let target = target.ok_or(SendError::UnknownEvent)?;
        if matches!(target.kind, TimelineEventType::RoomCreate | TimelineEventType::RoomServerAcl) {
            // The room would lose its type and its predecessor, or its walls.
            return Err(SendError::Unauthorized("this event is never redacted".to_owned()));
        }
        if !self.may_redact(&draft.sender, &target).await? {
            return Err(SendError::Unauthorized("you may not redact this event".to_owned()));
        }
        Ok(())
    }

    /// Users may redact their own events, and those of others with the room's redact level.
    async fn may_redact(&self, sender: &UserId, target: &Event) -> Result<bool, SendError> {
        let power_levels = self.rooms().power_levels(self.room()).await?;
        Ok(if target.sender == sender {
            power_levels.user_can_redact_own_event(sender)
        } else {
            power_levels.user_can_redact_event_of_other(sender)
        })
    }
}

impl Rooms {
    /// Whether a redaction that is in the room takes the content of its target: its sender could redact
    /// others' events then, or the same server sent both.
    /// [Spec](https://spec.matrix.org/latest/rooms/v3/#handling-redactions)
    pub(super) async fn redaction_applies(
        &self,
        room: &Room,
        redaction: &Event,
        target: &Event,
    ) -> Result<bool, RoomError> {
        if matches!(target.kind, TimelineEventType::RoomCreate) {
            return Ok(false);
        }
        if redaction.sender.server_name() == target.sender.server_name() {
            return Ok(true);
        }
        let before = redaction.standing.state_before;
        let levels = self.power_levels_at(room, before).await?;
        Ok(levels.user_can_redact_event_of_other(&redaction.sender))
    }
}

/// Moves `redacts` from the content to its own field.
fn take_redacts(draft: &mut Draft) -> Result<(), DraftError> {
    let malformed = |reason: String| DraftError::NotCanonical(reason);
    let mut content: Map<String, Value> =
        serde_json::from_str(draft.content.get()).map_err(|error| malformed(error.to_string()))?;
    let Some(redacts) = content.remove("redacts") else { return Ok(()) };
    if draft.redacts.is_none() {
        let event_id: OwnedEventId = serde_json::from_value(redacts)
            .map_err(|error| malformed(format!("redacts: {error}")))?;
        draft.redacts = Some(event_id);
    }
    draft.content = raw(&content);
    Ok(())
}
