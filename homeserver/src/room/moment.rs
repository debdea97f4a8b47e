//! Which event is closest to a moment?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch,
    api::{self, federation::event::get_event_by_timestamp},
};

use super::{
    Room, RoomError, Rooms, event::Event, history::TimelineToken, timeline::Direction,
    visibility::Sees,
};

/// How many places of a timeline are read at once, and how far behind the moment's place events that
/// are out of order are looked for.
const ROWS: usize = 100;
/// How many events one request looks at to find one that the viewer sees.
const LOOKED_AT: usize = 2_000;
/// How many pages of history are fetched on the way to an event that another server found.
const FETCHED: usize = 10;

impl Rooms {
    /// The event that the viewer sees closest to a moment: at or after it going forward, at or before
    /// it going backward.
    ///
    /// Times rise along a timeline but for clocks that go wrong, so the place is found by halving.
    pub async fn event_near(
        &self,
        room: &Room,
        viewer: &mut impl Sees,
        moment: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let place = self.place_of(room, moment).await?;
        let mut closest: Option<(u64, Arc<Event>)> = None;
        for (side, most) in [(direction.opposite(), ROWS), (direction, LOOKED_AT)] {
            let (mut at, mut looked_at) = (place, 0);
            while looked_at < most && (looked_at == 0 || closest.is_none()) {
                let rows = self.places(room, at, side, ROWS).await?;
                for (position, index) in &rows {
                    at = TimelineToken::beyond(*position, side);
                    let event = self.event(room, *index).await?;
                    let Some(distance) = distance(&event, moment, direction) else { continue };
                    if closest.as_ref().is_none_or(|(least, _)| distance < *least)
                        && viewer.sees(&event).await?
                    {
                        closest = Some((distance, event));
                    }
                }
                if rows.len() < ROWS {
                    break;
                }
                looked_at += rows.len();
            }
        }
        Ok(closest.map(|(_, event)| event))
    }

    /// The same, also in history that only other servers have. What they find is fetched.
    pub async fn event_near_anywhere(
        &self,
        room: &Arc<Room>,
        viewer: &mut impl Sees,
        moment: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let found = self.event_near(room, viewer, moment, direction).await?;
        let at_our_beginning = match (&found, direction) {
            (None, Direction::Backward) => true,
            (Some(event), Direction::Forward) => {
                self.timeline_end(room, Direction::Forward).await?.after() == event.position()
            }
            _ => false,
        };
        if !at_our_beginning || !self.has_more_history(room).await? {
            return Ok(found);
        }
        for server in self.servers_to_ask(room).await? {
            let dir = match direction {
                Direction::Forward => api::Direction::Forward,
                Direction::Backward => api::Direction::Backward,
            };
            let room_id = room.room_id.clone();
            let request = get_event_by_timestamp::v1::Request::new(room_id, moment, dir);
            let Ok(answer) = self.remotes().request(&server, request).await else { continue };
            for _ in 0..FETCHED {
                if let Some(event) = self.event_by_id(room, &answer.event_id).await? {
                    let closer = distance(&event, moment, direction).is_some_and(|distance| {
                        let ours = found
                            .as_ref()
                            .and_then(|found| self::distance(found, moment, direction));
                        ours.is_none_or(|ours| distance < ours)
                    });
                    return Ok(if closer && viewer.sees(&event).await? {
                        Some(event)
                    } else {
                        found
                    });
                }
                if !self.backfill(room).await? {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The place in the timeline before which events are older than the moment.
    async fn place_of(
        &self,
        room: &Room,
        moment: MilliSecondsSinceUnixEpoch,
    ) -> Result<TimelineToken, RoomError> {
        // Every event up to `low` is older, and none after `high` is.
        let mut low = self.timeline_end(room, Direction::Forward).await?.0;
        let mut high = self.timeline_end(room, Direction::Backward).await?.0;
        while low < high {
            let middle = low + (high - low) / 2;
            let next = self.places(room, TimelineToken(middle), Direction::Forward, 1).await?;
            let older = match next.first() {
                Some((position, index)) if *position <= high => {
                    let event = self.event(room, *index).await?;
                    (event.origin_server_ts < moment).then_some(*position)
                }
                _ => None,
            };
            match older {
                Some(position) => low = position,
                None => high = middle,
            }
        }
        Ok(TimelineToken(low))
    }
}

/// Milliseconds between an event and the moment; `None` if the event is on the wrong side of it.
fn distance(
    event: &Event,
    moment: MilliSecondsSinceUnixEpoch,
    direction: Direction,
) -> Option<u64> {
    let (at, moment) = (u64::from(event.origin_server_ts.get()), u64::from(moment.get()));
    match direction {
        Direction::Forward => at.checked_sub(moment),
        Direction::Backward => moment.checked_sub(at),
    }
}
