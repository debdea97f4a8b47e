//! When did something last happen in a room that people would call activity?

use kith_store::StreamPosition;

use super::Sync;
use crate::room::{Room, RoomError};

/// Types of events that bring a room up in a client's list.
const ACTIVITY: [&str; 9] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
    "org.matrix.msc3672.beacon_info",
];
/// So many events are looked at; where all of them are something else, the oldest of them counts.
const LOOKED_AT: usize = 200;

impl Sync {
    /// The position of the room's last such event. Only events since the last time are looked at.
    pub(super) async fn bump_stamp(&self, room: &Room) -> Result<StreamPosition, RoomError> {
        let next = room.head().next_event;
        let known = self.memory.bump_stamps.get(&room.number);
        let from = known.map_or(0, |(index, _)| index);
        let mut stamp = known.map(|(_, stamp)| stamp);
        let mut oldest = 0;
        for index in (from..next).rev().take(LOOKED_AT) {
            let event = self.rooms.event(room, index).await?;
            let position = event.position();
            if position <= 0 {
                continue;
            }
            let position = position.unsigned_abs();
            oldest = position;
            if ACTIVITY.contains(&event.kind.to_string().as_str()) {
                stamp = Some(position);
                break;
            }
        }
        let stamp = stamp.unwrap_or(oldest);
        if next > from {
            self.memory.bump_stamps.insert(room.number, (next, stamp));
        }
        Ok(stamp)
    }
}
