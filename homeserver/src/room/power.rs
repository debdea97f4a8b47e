//! How much may each user do in a room?

use std::sync::Arc;

use kith_store::tables::{EventIndex, SnapshotId};
use ruma::{
    OwnedUserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
    },
    state_res::events::RoomCreateEvent,
};

use super::{Room, RoomError, Rooms};

/// Power levels that were read, and from which event.
pub(super) type Known = (Option<(EventIndex, Option<EventIndex>)>, Arc<RoomPowerLevels>);

impl Rooms {
    /// The room's current power levels; the defaults if the event is missing or malformed.
    pub async fn power_levels(&self, room: &Room) -> Result<Arc<RoomPowerLevels>, RoomError> {
        let power_levels =
            self.current_state_event(room, &StateEventType::RoomPowerLevels, "").await?;
        // A redaction changes the event and keeps its index.
        let event = power_levels.as_ref().map(|event| (event.index(), event.standing.redacted_by));
        if let Some((known, power_levels)) = &*room.power_levels.read()
            && *known == event
        {
            return Ok(Arc::clone(power_levels));
        }
        let source: RoomPowerLevelsSource =
            power_levels.and_then(|event| event.content_as::<RoomPowerLevelsEventContent>()).into();
        let creators = self.creators(room).await?;
        let rules = &room.rules.authorization;
        let power_levels = Arc::new(RoomPowerLevels::new(source, rules, creators));
        *room.power_levels.write() = Some((event, Arc::clone(&power_levels)));
        Ok(power_levels)
    }

    /// The power levels of a state; the defaults if the event is missing or malformed.
    pub async fn power_levels_at(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<RoomPowerLevels, RoomError> {
        let kind = StateEventType::RoomPowerLevels;
        let content: Option<RoomPowerLevelsEventContent> =
            self.state_content(room, snapshot, &kind).await?;
        let creators = self.creators(room).await?;
        Ok(RoomPowerLevels::new(content.into(), &room.rules.authorization, creators))
    }

    /// Who created the room: more than one only from room version 12 on.
    pub async fn creators(&self, room: &Room) -> Result<Vec<OwnedUserId>, RoomError> {
        let create = self.current_state_event(room, &StateEventType::RoomCreate, "").await?;
        let Some(create) = create else { return Ok(Vec::new()) };
        let rules = &room.rules.authorization;
        let creators = RoomCreateEvent::new(&*create).creators(rules).unwrap_or_default();
        Ok(creators.into_iter().collect())
    }
}
