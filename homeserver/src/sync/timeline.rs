//! Which stretch of a room's timeline does an answer show? The same for both kinds of sync.

use std::sync::Arc;

use kith_store::{
    StreamPosition,
    tables::{EventIndex, SnapshotId},
};
use ruma::{
    api::client::filter::RoomEventFilter,
    events::{AnySyncTimelineEvent, TimelineEventType, room::member::MembershipState},
    serde::Raw,
};

use super::Sync;
use crate::{
    account_data::IgnoredUsers,
    room::{
        Room, RoomError, client_event::Viewer, event::Event, event_filter, history::TimelineToken,
        timeline::Direction, visibility::Visibility,
    },
    users::Requester,
};

/// Events that are looked at to find as many as the client wants.
const LOOKED_AT: usize = 1_000;

/// Places of a timeline that are read at once where those before were not enough.
const NEXT_PAGE: usize = 100;

/// Who reads, and which events they want.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub requester: &'a Requester,
    pub filter: &'a RoomEventFilter,
    pub limit: usize,
    /// Users whose messages are not shown.
    pub ignored: &'a IgnoredUsers,
}

/// Which stretch of a room's history one answer covers.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    /// 0 for a room that the client does not know yet.
    pub since: StreamPosition,
    pub upto: StreamPosition,
    /// The user was in the room all the while: everything in it is visible.
    pub stayed: bool,
}

/// The events that go into `timeline`, oldest first.
pub(super) struct Found {
    pub events: Vec<Arc<Event>>,
    /// There are older ones in the stretch.
    pub limited: bool,
    /// Where the events before these begin.
    pub prev_batch: TimelineToken,
}

impl Sync {
    /// The newest events of the stretch that the user may see and wants. `new` are all events of the
    /// stretch, where they are known without reading.
    pub(super) async fn timeline(
        &self,
        reader: Reader<'_>,
        room: &Room,
        stretch: Stretch,
        new: Option<&[(StreamPosition, EventIndex)]>,
    ) -> Result<Found, RoomError> {
        let limit = reader.limit;
        let upto = stretch.upto.cast_signed();
        let mut found =
            Found { events: Vec::new(), limited: false, prev_batch: TimelineToken(upto) };
        if !event_filter::wants_room(reader.filter, &room.room_id) {
            return Ok(found);
        }
        let mut visibility = match stretch.stayed {
            true => None,
            false => Some(self.rooms.visibility(room, &reader.requester.user_id).await?),
        };
        let (mut before, mut looked_at) = (upto + 1, 0);
        // With the one event more that tells whether there are more.
        let mut page = limit + 1;
        'pages: loop {
            let rows = match new {
                Some(new) => {
                    let old_first =
                        new.iter().map(|(position, index)| (position.cast_signed(), *index));
                    old_first.rev().filter(|(position, _)| *position < before).collect()
                }
                None => {
                    let after = stretch.since.cast_signed();
                    self.rooms.newest_between(room, after, before, page).await?
                }
            };
            let last = new.is_some() || rows.len() < page;
            page = NEXT_PAGE;
            for (position, index) in rows {
                if found.events.len() == limit || looked_at == LOOKED_AT {
                    found.limited = true;
                    break 'pages;
                }
                looked_at += 1;
                before = position;
                let event = self.rooms.event(room, index).await?;
                if wanted(reader, &event, visibility.as_mut()).await? {
                    found.events.push(event);
                }
                found.prev_batch = TimelineToken::beyond(position, Direction::Backward);
            }
            if last {
                break;
            }
        }
        found.events.reverse();
        Ok(found)
    }

    /// The events as the client gets them. With a gap before them they carry what relates to them;
    /// without one the client sees that, and sums it up itself.
    pub(super) async fn timeline_events(
        &self,
        reader: Reader<'_>,
        room: &Room,
        found: &Found,
        stretch: Stretch,
    ) -> Result<Vec<Raw<AnySyncTimelineEvent>>, RoomError> {
        let Reader { requester, ignored, .. } = reader;
        let mut visibility = self.rooms.visibility(room, &requester.user_id).await?;
        let bundling = found.limited.then_some(ignored);
        if found.limited {
            self.rooms.find_children_of(room, &found.events).await?;
        }
        let viewer = Viewer { requester, with_room_id: false, bundling };
        let mut written = Vec::with_capacity(found.events.len());
        for event in &found.events {
            let membership = match stretch.stayed {
                true => MembershipState::Join,
                false => visibility.membership_at(event).await?,
            };
            written.push(self.rooms.client_event(room, event, viewer, Some(membership)).await?);
        }
        Ok(written)
    }

    pub(super) async fn client_event<T>(
        &self,
        requester: &Requester,
        room: &Room,
        event: &Event,
        membership: Option<MembershipState>,
    ) -> Result<Raw<T>, RoomError> {
        let viewer = Viewer { requester, with_room_id: false, bundling: None };
        self.rooms.client_event(room, event, viewer, membership).await
    }

    /// The room's state as it stood at a stream position.
    pub(super) async fn snapshot_at(
        &self,
        room: &Room,
        position: StreamPosition,
    ) -> Result<SnapshotId, RoomError> {
        match self.rooms.newest_at(room, position).await? {
            Some(event) => self.rooms.current_after(room, &event).await,
            None => Ok(0),
        }
    }
}

async fn wanted(
    reader: Reader<'_>,
    event: &Event,
    visibility: Option<&mut Visibility<'_>>,
) -> Result<bool, RoomError> {
    if !event_filter::matches(reader.filter, event)
        || (!event.is_state() && reader.ignored.contains(&event.sender))
    {
        return Ok(false);
    }
    let own = event.kind == TimelineEventType::RoomMember
        && event.state_key.as_deref() == Some(reader.requester.user_id.as_str());
    match visibility {
        Some(visibility) if !own => visibility.sees(event).await,
        _ => Ok(true),
    }
}
