//! What relates to an event, page by page, and what relates to that.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#relationships-api)

use std::{collections::HashSet, sync::Arc};

use kith_store::tables::EventIndex;
use ruma::events::TimelineEventType;

use super::{
    Room, RoomError, Rooms,
    event::Event,
    history::{Page, TimelineToken},
    relations::Child,
    timeline::Direction,
    visibility::Visibility,
};
use crate::account_data::IgnoredUsers;

/// How many relations are followed from the event: its children, theirs, and theirs.
pub const RECURSION_DEPTH: u32 = 3;
/// Of how many children their own are looked for.
const PARENTS: usize = 2_000;
/// How many events one request reads before it answers with what it has.
const LOOKED_AT: usize = 1_000;

/// Which events are asked for.
#[derive(Debug)]
pub struct RelatedAsk<'a> {
    pub rel_type: Option<&'a str>,
    pub kind: Option<&'a TimelineEventType>,
    /// Also what relates to what relates to the event.
    pub recurse: bool,
    pub from: Option<TimelineToken>,
    pub to: Option<TimelineToken>,
    pub direction: Direction,
    pub limit: usize,
    pub ignored: &'a IgnoredUsers,
}

impl RelatedAsk<'_> {
    fn wants(&self, child: &Child) -> bool {
        self.rel_type.is_none_or(|rel_type| child.rel_type == rel_type)
            && self.kind.is_none_or(|kind| child.kind == *kind)
            && !self.ignored.contains(&child.sender)
    }

    /// Whether a place lies between `from` and `to`.
    fn covers(&self, position: i64) -> bool {
        let (from, to) = (self.from.map(|t| t.0), self.to.map(|t| t.0));
        let (after, upto) = match self.direction {
            Direction::Forward => (from, to),
            Direction::Backward => (to, from),
        };
        after.is_none_or(|after| position > after) && upto.is_none_or(|upto| position <= upto)
    }
}

impl Rooms {
    /// Events that relate to an event, as far as the user sees them, in the order of the timeline.
    pub async fn related(
        &self,
        room: &Room,
        parent: &Event,
        visibility: &mut Visibility<'_>,
        ask: RelatedAsk<'_>,
    ) -> Result<Page, RoomError> {
        let mut places = self.places_of_related(room, parent, &ask).await?;
        places.sort_unstable();
        if ask.direction == Direction::Backward {
            places.reverse();
        }
        let reached = ask.from.unwrap_or(TimelineToken(0));
        let mut page = Page { events: Vec::new(), reached, more: false };
        for (looked_at, (position, index)) in places.into_iter().enumerate() {
            if page.events.len() == ask.limit || looked_at == LOOKED_AT {
                page.more = true;
                break;
            }
            page.reached = TimelineToken::beyond(position, ask.direction);
            let event = self.event(room, index).await?;
            if visibility.sees(&event).await? {
                page.events.push(event);
            }
        }
        Ok(page)
    }

    /// Level by level, over events that are asked for themselves.
    async fn places_of_related(
        &self,
        room: &Room,
        parent: &Event,
        ask: &RelatedAsk<'_>,
    ) -> Result<Vec<(i64, EventIndex)>, RoomError> {
        let mut seen = HashSet::from([parent.index()]);
        let (mut found, mut parents) = (Vec::new(), vec![parent.index()]);
        let depth = if ask.recurse { RECURSION_DEPTH } else { 1 };
        for _ in 0..depth {
            self.find_children(room, &parents).await?;
            let mut children = Vec::new();
            for parent in parents {
                let of_parent = self.children(room, parent).await?;
                for child in of_parent.read().iter().filter(|child| ask.wants(child)) {
                    if seen.insert(child.index) {
                        children.push(child.index);
                        if ask.covers(child.position) {
                            found.push((child.position, child.index));
                        }
                    }
                }
            }
            let most = children.len().saturating_sub(PARENTS);
            parents = children.split_off(most);
        }
        Ok(found)
    }

    /// As [`Self::find_children`], for events.
    pub async fn find_children_of(
        &self,
        room: &Room,
        parents: &[Arc<Event>],
    ) -> Result<(), RoomError> {
        let parents: Vec<EventIndex> = parents.iter().map(|parent| parent.index()).collect();
        self.find_children(room, &parents).await
    }
}
