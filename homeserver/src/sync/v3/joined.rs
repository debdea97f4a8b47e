//! What is new in a room that the user is in?

use kith_store::{
    StreamPosition,
    tables::{EventIndex, MemberRow},
};
use ruma::{
    UInt,
    api::client::sync::sync_events::{
        UnreadNotificationsCount,
        v3::{JoinedRoom, State, Timeline},
    },
    events::TimelineEventType,
};

use super::Asked;
use crate::{
    push::unread::{Count, Counts, MAIN},
    room::{Room, RoomError, event_filter},
    sync::{
        Sync,
        changes::Changes,
        timeline::{Found, Stretch},
    },
};

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
        joined.state = asked.no_state();
        let completed = known
            && self
                .rooms
                .members_known_since(room)
                .is_some_and(|position| since < position && position <= asked.upto.position);
        let changed = !known
            || completed
            || changes.everything
            || asked.request.full_state
            || changes.events.contains_key(&room.number);
        if changed {
            let new = changes.events.get(&room.number).filter(|_| known && !changes.everything);
            let new = new.map(Vec::as_slice);
            let found = self.timeline(asked.reader(), room, stretch, new).await?;
            if !known
                || completed
                || found.limited
                || self.renames(room, new.unwrap_or_default()).await?
            {
                joined.summary = self.summary(room, &asked.requester.user_id).await?;
            }
            let state =
                self.state(asked, room, stretch, &found, &joined.summary.heroes, completed).await?;
            joined.state = self.state_events(asked, room, &state).await?;
            joined.timeline = self.v3_timeline(asked, room, found, stretch).await?;
        }
        let filter = &asked.request.filter.room.account_data;
        if event_filter::wants_room(filter, &room.room_id) {
            let wants = |kind: &str| event_filter::matches_names(filter, kind, None);
            let (user_id, since) = (&asked.requester.user_id, known.then_some(since));
            joined.account_data.events =
                self.account_data_of(user_id, room.number, since, wants).await?;
        }
        self.add_ephemeral(asked, room, known, changes, &mut joined).await?;
        if known && !asked.request.full_state && is_empty(&joined) {
            return Ok(None);
        }
        let upto = asked.upto.position;
        let counts = self.unread.counts(room, &asked.requester.user_id, row, upto).await?;
        add_counts(asked, &counts, &mut joined);
        Ok(Some(joined))
    }

    /// Whether one of these events may change what the room is called, or how many are in it. The
    /// client's filter need not let it pass.
    async fn renames(
        &self,
        room: &Room,
        events: &[(StreamPosition, EventIndex)],
    ) -> Result<bool, RoomError> {
        for (_, index) in events {
            let kind = &self.rooms.event(room, *index).await?.kind;
            if matches!(
                kind,
                TimelineEventType::RoomMember
                    | TimelineEventType::RoomName
                    | TimelineEventType::RoomCanonicalAlias
            ) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds typing and receipts that are new to the client.
    async fn add_ephemeral(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        known: bool,
        changes: &Changes,
        joined: &mut JoinedRoom,
    ) -> Result<(), RoomError> {
        let filter = &asked.request.filter.room.ephemeral;
        if !event_filter::wants_room(filter, &room.room_id) {
            return Ok(());
        }
        let events = &mut joined.ephemeral.events;
        if event_filter::matches_names(filter, "m.typing", None) {
            let since = known.then_some(asked.since.ephemeral);
            events.extend(self.typing_event(asked.viewpoint(), room.number, since));
        }
        if event_filter::matches_names(filter, "m.receipt", None) {
            let since = known.then_some(asked.since.position);
            let viewpoint = asked.viewpoint();
            let event = self.receipts_event(viewpoint, room.number, since, Some(changes));
            events.extend(event.await?);
        }
        Ok(())
    }

    pub(super) async fn v3_timeline(
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
        timeline.events = self.timeline_events(asked.reader(), room, &found, stretch).await?;
        timeline.limited = found.limited;
        timeline.prev_batch = Some(found.prev_batch.to_string());
        Ok(timeline)
    }
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

fn no_events(state: &State) -> bool {
    match state {
        State::Before(events) | State::After(events) => events.events.is_empty(),
        _ => false,
    }
}

fn is_empty(joined: &JoinedRoom) -> bool {
    joined.timeline.is_empty()
        && no_events(&joined.state)
        && joined.account_data.is_empty()
        && joined.ephemeral.is_empty()
        && joined.summary.is_empty()
}
