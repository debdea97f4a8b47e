//! Which state does a client need to make sense of a timeline?

use std::{collections::BTreeSet, sync::Arc};

use kith_store::tables::SnapshotId;
use ruma::{
    OwnedUserId,
    api::client::{
        filter::{LazyLoadOptions, RoomEventFilter},
        sync::sync_events::v3::State,
    },
    events::{AnySyncStateEvent, StateEventType, TimelineEventType},
    serde::Raw,
};

use super::Asked;
use crate::{
    room::{Room, RoomError, event::Event, event_filter},
    sync::{
        Sync,
        timeline::{Found, Stretch},
    },
};

impl Sync {
    /// The state that the client needs to make sense of the timeline, and to call the room by its
    /// `heroes`. `completed`: members became known who were there before, which is told of as a whole.
    pub(super) async fn state(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        stretch: Stretch,
        found: &Found,
        heroes: &[OwnedUserId],
        completed: bool,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let filter = &asked.request.filter.room.state;
        if !event_filter::wants_room(filter, &room.room_id) {
            return Ok(Vec::new());
        }
        let lazy = lazy(filter);
        let full = asked.request.full_state || (completed && lazy.is_none());
        let gapless = stretch.since > 0 && !found.limited;
        if gapless && !full && !asked.request.use_state_after && lazy.is_none() {
            return Ok(Vec::new());
        }
        let to = match found.events.first() {
            Some(first) if !asked.request.use_state_after => {
                self.rooms.current_before(room, first).await?
            }
            _ => self.snapshot_at(room, stretch.upto).await?,
        };
        let from = match stretch.since {
            _ if full => 0,
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
        if !gapless && hides_events(&asked.request.filter.room.timeline) {
            // State that the timeline would have told of.
            let end = self.snapshot_at(room, stretch.upto).await?;
            if end != to {
                let hidden = self.rooms.state_difference(room, to, end).await?;
                let replaced = |event: &Arc<Event>| {
                    let same = |new: &Arc<Event>| {
                        new.kind == event.kind && new.state_key == event.state_key
                    };
                    hidden.iter().any(same)
                };
                events.retain(|event| !replaced(event));
                events.extend(hidden);
            }
        }
        if let Some(redundant) = lazy {
            if full && stretch.since > 0 {
                // Whoever changed meanwhile, as without `full_state`.
                let since = self.snapshot_at(room, stretch.since).await?;
                let changed = self.rooms.state_difference(room, since, to).await?;
                let is_member = |event: &Arc<Event>| event.kind == TimelineEventType::RoomMember;
                events.extend(changed.into_iter().filter(is_member));
            }
            let gap: BTreeSet<_> = events.iter().map(|event| event.index()).collect();
            let mut senders: BTreeSet<&OwnedUserId> =
                found.events.iter().map(|event| &event.sender).chain(heroes).collect();
            if stretch.since == 0 || full {
                senders.insert(&asked.requester.user_id);
            }
            let members: Vec<OwnedUserId> = senders.into_iter().cloned().collect();
            for user_id in members {
                let kind = StateEventType::RoomMember;
                let mut member = self.rooms.state_event(room, to, &kind, user_id.as_str()).await?;
                if member.is_none() && self.rooms.members_were_unknown(room) {
                    // Whoever became known only by what they said.
                    let end = self.snapshot_at(room, stretch.upto).await?;
                    member = self.rooms.state_event(room, end, &kind, user_id.as_str()).await?;
                }
                let Some(member) = member else { continue };
                let key = (room.number, member.index());
                let (since, upto) = (stretch.since, stretch.upto);
                let known = self.memory.lazy_members.knows(asked.requester, key, since, upto);
                if (redundant || full || !known) && !gap.contains(&member.index()) {
                    events.push(member);
                }
            }
        }
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

    pub(super) async fn state_events(
        &self,
        asked: &Asked<'_>,
        room: &Room,
        state: &[Arc<Event>],
    ) -> Result<State, RoomError> {
        let mut events: Vec<Raw<AnySyncStateEvent>> = Vec::with_capacity(state.len());
        for event in state {
            events.push(self.client_event(asked.requester, room, event, None).await?);
        }
        let mut answer = asked.no_state();
        if let State::Before(told) | State::After(told) = &mut answer {
            told.events = events;
        }
        Ok(answer)
    }
}

/// Whether events of a room may be missing in its timeline.
fn hides_events(filter: &RoomEventFilter) -> bool {
    filter.types.is_some()
        || filter.senders.is_some()
        || filter.url_filter.is_some()
        || !filter.not_types.is_empty()
        || !filter.not_senders.is_empty()
}

/// Whether the client wants members only as it needs them, and if so, whether it wants to hear of
/// those that it knows.
fn lazy(filter: &RoomEventFilter) -> Option<bool> {
    match filter.lazy_load_options {
        LazyLoadOptions::Enabled { include_redundant_members } => Some(include_redundant_members),
        LazyLoadOptions::Disabled => None,
    }
}
