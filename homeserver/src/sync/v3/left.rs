//! What was new in a room that the user has left?

use kith_store::tables::MemberRow;
use ruma::{api::client::sync::sync_events::v3::LeftRoom, events::StateEventType};

use super::Asked;
use crate::{
    room::{Room, RoomError},
    sync::{Sync, timeline::Stretch},
};

impl Sync {
    /// A room that the user has left: up to the event by which they went.
    pub(super) async fn left_room(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        row: &MemberRow,
    ) -> Result<LeftRoom, RoomError> {
        let since = asked.since.position;
        let was_in = row.joined_at.is_some_and(|joined_at| joined_at <= since);
        let mut left = LeftRoom::new();
        if row.joined_at.is_some() {
            let stretch = Stretch {
                since: if was_in { since } else { 0 },
                upto: row.position.min(asked.upto.position),
                stayed: false,
            };
            let found = self.timeline(asked.reader(), room, stretch, None).await?;
            let state = self.state(asked, room, stretch, &found).await?;
            left.state = self.state_events(asked, room, &state).await?;
            left.timeline = self.v3_timeline(asked, room, found, stretch).await?;
        } else {
            // Declined or taken back: the user learns of nothing but that.
            let event = self.rooms.event(room, row.event).await?;
            let event =
                self.client_event(asked.requester, room, &event, Some(row.membership.clone()));
            left.timeline.events = vec![event.await?];
        }
        if left.state.is_empty() && !asked.request.use_state_after {
            // matrix-nio fails on a left room that has no `state.events`, and ruma does not write an
            // empty list: say again what never changes.
            let create = StateEventType::RoomCreate;
            let create = self.rooms.current_state_event(room, &create, "").await?;
            left.state = self.state_events(asked, room, create.as_slice()).await?;
        }
        Ok(left)
    }
}
