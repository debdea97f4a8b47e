//! What was new in a room that the user has left?

use kith_store::tables::MemberRow;
use ruma::{api::client::sync::sync_events::v3::LeftRoom, events::StateEventType};

use super::Asked;
use crate::{
    room::{Room, RoomError, event_filter},
    sync::{Sync, timeline::Stretch},
};

impl Sync {
    /// A room that the user has left: up to the event by which they went, and what became of their
    /// membership after that.
    pub(super) async fn left_room(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        row: &MemberRow,
    ) -> Result<LeftRoom, RoomError> {
        let user_id = &asked.requester.user_id;
        let since = asked.since.position;
        let was_in = row.joined_at.is_some_and(|joined_at| joined_at <= since);
        let newest = self.rooms.event(room, row.event).await?;
        let departure = self.rooms.last_departure(room, user_id, row).await?;
        let mut left = LeftRoom::new();
        left.state = asked.no_state();
        if let Some(departure) = &departure
            && departure.position() > since.cast_signed()
        {
            let stretch = Stretch {
                since: if was_in { since } else { 0 },
                upto: departure.position().unsigned_abs().min(asked.upto.position),
                stayed: false,
            };
            let found = self.timeline(asked.reader(), room, stretch, None).await?;
            let state = self.state(asked, room, stretch, &found, &[], false).await?;
            left.state = self.state_events(asked, room, &state).await?;
            left.timeline = self.v3_timeline(asked, room, found, stretch).await?;
        }
        // Declined, taken back or banned: of that alone the user learns, and not what the room was
        // like then.
        if departure.is_none_or(|departure| departure.index() != newest.index()) {
            let membership = Some(row.membership.clone());
            let event = self.client_event(asked.requester, room, &newest, membership);
            left.timeline.events.push(event.await?);
        }
        let filter = &asked.request.filter.room.account_data;
        if event_filter::wants_room(filter, &room.room_id) {
            let wants = |kind: &str| event_filter::matches_names(filter, kind, None);
            let since = was_in.then_some(since);
            left.account_data.events =
                self.account_data_of(user_id, room.number, since, wants).await?;
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
