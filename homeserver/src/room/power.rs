//! How much may each user do in a room?

use ruma::{
    OwnedUserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
    },
    state_res::events::RoomCreateEvent,
};

use super::{Room, RoomError, Rooms};

impl Rooms {
    /// The room's current power levels; the defaults if the event is missing or malformed.
    pub async fn power_levels(&self, room: &Room) -> Result<RoomPowerLevels, RoomError> {
        let snapshot = room.head().snapshot;
        let power_levels =
            self.state_event(room, snapshot, &StateEventType::RoomPowerLevels, "").await?;
        let source: RoomPowerLevelsSource =
            power_levels.and_then(|event| event.content_as::<RoomPowerLevelsEventContent>()).into();
        let creators = self.creators(room).await?;
        Ok(RoomPowerLevels::new(source, &room.rules.authorization, creators))
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
