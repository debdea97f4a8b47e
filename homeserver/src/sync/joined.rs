//! What is new in a room that the user is in, or has just left?

use std::{collections::BTreeSet, sync::Arc};

use kith_store::{
    StreamPosition,
    tables::{EventIndex, MemberRow, SnapshotId},
};
use ruma::{
    OwnedUserId, UInt,
    api::client::{
        filter::{LazyLoadOptions, RoomEventFilter},
        sync::sync_events::{
            UnreadNotificationsCount,
            v3::{JoinedRoom, LeftRoom, State, StateEvents, Timeline},
        },
    },
    events::{AnySyncStateEvent, StateEventType, TimelineEventType, room::member::MembershipState},
    serde::Raw,
};

use super::{
    Sync,
    changes::Changes,
    v3::{Asked, account_data_event},
};
use crate::{
    push::unread::{Count, Counts, MAIN},
    room::{
        Room, RoomError, client_event::Viewer, event::Event, event_filter, history::TimelineToken,
        timeline::Direction, visibility::Visibility,
    },
};

/// Events of a room that a client gets without asking for a number.
const DEFAULT_LIMIT: usize = 10;
/// The most that it gets, whatever it asks.
const MAX_LIMIT: usize = 200;
/// Events that are looked at to find as many as pass the filter.
const LOOKED_AT: usize = 1_000;

/// The events that go into `timeline`, oldest first.
struct Found {
    events: Vec<Arc<Event>>,
    limited: bool,
    /// Where the events before these begin.
    prev_batch: TimelineToken,
}

/// Which stretch of a room's history one answer covers.
#[derive(Clone, Copy)]
struct Stretch {
    /// 0 for a room that the client does not know yet.
    since: StreamPosition,
    upto: StreamPosition,
    /// The user was in the room all the while: everything in it is visible.
    stayed: bool,
}

impl Sync {
    /// `None` if there is nothing new.
    pub(super) async fn joined_room(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        row: &MemberRow,
        changes: &Changes,
    ) -> Result<Option<JoinedRoom>, RoomError> {
        let since = asked.since.position;
        let stayed = row.joined_at.is_some_and(|joined_at| joined_at <= since);
        let known = stayed && asked.request.since.is_some();
        let stretch =
            Stretch { since: if known { since } else { 0 }, upto: asked.upto.position, stayed };
        let mut joined = JoinedRoom::new();
        let changed = !known
            || changes.everything
            || asked.request.full_state
            || changes.events.contains_key(&room.number);
        if changed {
            let new = changes.events.get(&room.number).filter(|_| known && !changes.everything);
            let found = self.timeline(asked, room, stretch, new.map(Vec::as_slice)).await?;
            let state = self.state(asked, room, stretch, &found).await?;
            let members_changed = !known
                || found.limited
                || found.events.iter().any(|event| event.kind == TimelineEventType::RoomMember);
            if members_changed {
                joined.summary = self.summary(room, &asked.requester.user_id).await?;
            }
            joined.state = self.state_events(asked, room, &state).await?;
            joined.timeline = self.timeline_events(asked, room, found, stretch).await?;
        }
        self.add_account_data(asked, room, known, &mut joined).await?;
        self.add_ephemeral(asked, room, known, changes, &mut joined).await?;
        if known && !asked.request.full_state && is_empty(&joined) {
            return Ok(None);
        }
        let upto = asked.upto.position;
        let counts = self.unread.counts(room, &asked.requester.user_id, row, upto).await?;
        add_counts(asked, &counts, &mut joined);
        Ok(Some(joined))
    }

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
            let found = self.timeline(asked, room, stretch, None).await?;
            let state = self.state(asked, room, stretch, &found).await?;
            left.state = self.state_events(asked, room, &state).await?;
            left.timeline = self.timeline_events(asked, room, found, stretch).await?;
        } else {
            // Declined or taken back: the user learns of nothing but that.
            let event = self.rooms.event(room, row.event).await?;
            let event = self.client_event(asked, room, &event, Some(row.membership.clone()));
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

    /// The newest events of the stretch that the user may see and wants. `new` are all events of the
    /// stretch, where they are known without reading.
    async fn timeline(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        stretch: Stretch,
        new: Option<&[(StreamPosition, EventIndex)]>,
    ) -> Result<Found, RoomError> {
        let filter = &asked.request.filter.room.timeline;
        let limit = limit(filter);
        let upto = stretch.upto.cast_signed();
        let mut found =
            Found { events: Vec::new(), limited: false, prev_batch: TimelineToken(upto) };
        if !event_filter::wants_room(filter, &room.room_id) {
            return Ok(found);
        }
        let mut visibility = match stretch.stayed {
            true => None,
            false => Some(self.rooms.visibility(room, &asked.requester.user_id).await?),
        };
        let (mut before, mut looked_at) = (upto + 1, 0);
        'pages: loop {
            let rows = match new {
                Some(new) => {
                    let old_first =
                        new.iter().map(|(position, index)| (position.cast_signed(), *index));
                    old_first.rev().filter(|(position, _)| *position < before).collect()
                }
                None => {
                    let after = stretch.since.cast_signed();
                    self.rooms.newest_between(room, after, before, limit.max(20) + 1).await?
                }
            };
            let last = new.is_some() || rows.len() <= limit.max(20);
            for (position, index) in rows {
                if found.events.len() == limit || looked_at == LOOKED_AT {
                    found.limited = true;
                    break 'pages;
                }
                looked_at += 1;
                before = position;
                let event = self.rooms.event(room, index).await?;
                if self.wanted(asked, &event, visibility.as_mut()).await? {
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

    async fn wanted(
        &self,
        asked: &Asked<'_>,
        event: &Event,
        visibility: Option<&mut Visibility<'_>>,
    ) -> Result<bool, RoomError> {
        if !event_filter::matches(&asked.request.filter.room.timeline, event)
            || (!event.is_state() && asked.ignored.contains(&event.sender))
        {
            return Ok(false);
        }
        let own = event.kind == TimelineEventType::RoomMember
            && event.state_key.as_deref() == Some(asked.requester.user_id.as_str());
        match visibility {
            Some(visibility) if !own => visibility.sees(event).await,
            _ => Ok(true),
        }
    }

    /// The state that the client needs to make sense of the timeline.
    async fn state(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        stretch: Stretch,
        found: &Found,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let lazy = lazy(&asked.request.filter.room.state);
        let gapless = stretch.since > 0 && !found.limited;
        if gapless && !asked.request.full_state && !asked.request.use_state_after && lazy.is_none()
        {
            return Ok(Vec::new());
        }
        let to = match found.events.first() {
            Some(first) if !asked.request.use_state_after => first.standing.state_before,
            _ => self.snapshot_at(room, stretch.upto).await?,
        };
        let from = match stretch.since {
            _ if asked.request.full_state => 0,
            0 => 0,
            // Without a gap the timeline begins with the state that the client has.
            _ if gapless && !asked.request.use_state_after => to,
            since => self.snapshot_at(room, since).await?,
        };
        let mut events = match (from, lazy) {
            _ if from == to && from != 0 => Vec::new(),
            (0, Some(_)) => self.state_without_members(room, to).await?,
            (from, _) => self.rooms.state_difference(room, from, to).await?,
        };
        if let Some(redundant) = lazy {
            let gap: BTreeSet<_> = events.iter().map(|event| event.index()).collect();
            let mut senders: BTreeSet<&OwnedUserId> =
                found.events.iter().map(|event| &event.sender).collect();
            if stretch.since == 0 {
                senders.insert(&asked.requester.user_id);
            }
            let members: Vec<OwnedUserId> = senders.into_iter().cloned().collect();
            for user_id in members {
                let kind = StateEventType::RoomMember;
                let member = self.rooms.state_event(room, to, &kind, user_id.as_str()).await?;
                let Some(member) = member else { continue };
                let key = (room.number, member.index());
                let (since, upto) = (stretch.since, stretch.upto);
                let known = self.lazy_members.knows(asked.requester, key, since, upto);
                if (redundant || !known) && !gap.contains(&member.index()) {
                    events.push(member);
                }
            }
        }
        let filter = &asked.request.filter.room.state;
        events.retain(|event| event_filter::matches(filter, event));
        if !asked.request.use_state_after {
            // What is in the timeline is not said twice.
            events.retain(|event| !found.events.iter().any(|known| known.index() == event.index()));
        }
        Ok(events)
    }

    /// A whole state but for the members, of whom there may be very many.
    async fn state_without_members(
        &self,
        room: &Room,
        snapshot: SnapshotId,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut events = self.rooms.full_state(room, snapshot).await?;
        events.retain(|event| event.kind != TimelineEventType::RoomMember);
        Ok(events)
    }

    /// The room's state as it stood at a stream position.
    async fn snapshot_at(
        &self,
        room: &Room,
        position: StreamPosition,
    ) -> Result<SnapshotId, RoomError> {
        match self.rooms.newest_at(room, position).await? {
            Some(event) => self.rooms.state_after(room, &event).await,
            None => Ok(0),
        }
    }

    async fn state_events(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        state: &[Arc<Event>],
    ) -> Result<State, RoomError> {
        let mut events: Vec<Raw<AnySyncStateEvent>> = Vec::with_capacity(state.len());
        for event in state {
            events.push(self.client_event(asked, room, event, None).await?);
        }
        let events = StateEvents::with_events(events);
        Ok(if asked.request.use_state_after { State::After(events) } else { State::Before(events) })
    }

    async fn timeline_events(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        found: Found,
        stretch: Stretch,
    ) -> Result<Timeline, RoomError> {
        let mut timeline = Timeline::new();
        if found.events.is_empty() && !found.limited {
            return Ok(timeline);
        }
        let mut visibility = self.rooms.visibility(room, &asked.requester.user_id).await?;
        // Without a gap the client sees what relates to an event, and sums it up itself.
        let bundling = found.limited.then_some(&asked.ignored);
        if found.limited {
            self.rooms.find_children_of(room, &found.events).await?;
        }
        let viewer = Viewer { requester: asked.requester, with_room_id: false, bundling };
        for event in &found.events {
            let membership = match stretch.stayed {
                true => MembershipState::Join,
                false => visibility.membership_at(event).await?,
            };
            let event = self.rooms.client_event(room, event, viewer, Some(membership));
            timeline.events.push(event.await?);
        }
        timeline.limited = found.limited;
        timeline.prev_batch = Some(found.prev_batch.to_string());
        Ok(timeline)
    }

    async fn client_event<T>(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        event: &Event,
        membership: Option<MembershipState>,
    ) -> Result<Raw<T>, RoomError> {
        let viewer = Viewer { requester: asked.requester, with_room_id: false, bundling: None };
        self.rooms.client_event(room, event, viewer, membership).await
    }

    async fn add_account_data(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        known: bool,
        joined: &mut JoinedRoom,
    ) -> Result<(), RoomError> {
        let data = self.account_data.all(&asked.requester.user_id).await?;
        let since = if known { asked.since.position } else { 0 };
        let of_room = data.range((room.number, String::new())..(room.number + 1, String::new()));
        let filter = &asked.request.filter.room.account_data;
        for ((_, kind), row) in of_room {
            if row.position > since
                && (known || !row.content.is_null())
                && event_filter::wants_room(filter, &room.room_id)
                && event_filter::matches_names(filter, kind, None)
            {
                joined.account_data.events.push(account_data_event(kind, &row.content));
            }
        }
        Ok(())
    }
}

/// Whether the client wants members only as it needs them, and if so, whether it wants to hear of
/// those that it knows.
fn lazy(filter: &RoomEventFilter) -> Option<bool> {
    match filter.lazy_load_options {
        LazyLoadOptions::Enabled { include_redundant_members } => Some(include_redundant_members),
        LazyLoadOptions::Disabled => None,
    }
}

fn limit(filter: &RoomEventFilter) -> usize {
    let asked = filter.limit.and_then(|limit| usize::try_from(limit).ok());
    asked.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
}

fn add_counts(asked: &Asked<'_>, counts: &Counts, joined: &mut JoinedRoom) {
    let count = |count: Count| {
        let mut unread = UnreadNotificationsCount::new();
        unread.notification_count = UInt::new(count.notifications);
        unread.highlight_count = UInt::new(count.highlights);
        unread
    };
    if !asked.request.filter.room.timeline.unread_thread_notifications {
        joined.unread_notifications = count(counts.total());
        return;
    }
    joined.unread_notifications = count(counts.main());
    for (thread, unread) in &counts.threads {
        if thread != MAIN
            && let Ok(root) = ruma::OwnedEventId::try_from(thread.as_str())
        {
            joined.unread_thread_notifications.insert(root, count(*unread));
        }
    }
}

fn is_empty(joined: &JoinedRoom) -> bool {
    joined.timeline.is_empty()
        && joined.state.is_empty()
        && joined.account_data.is_empty()
        && joined.ephemeral.is_empty()
}
