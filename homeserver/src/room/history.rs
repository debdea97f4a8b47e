//! A room's history, page by page.

use std::{fmt, str::FromStr, sync::Arc};

use kith_store::tables::EventIndex;
use ruma::api::client::filter::RoomEventFilter;

use super::{
    Room, RoomError, Rooms, event::Event, event_filter, timeline::Direction, visibility::Visibility,
};
use crate::account_data::IgnoredUsers;

/// A place in a room's timeline: just after the event at this position. Clients get it as `t345`, or
/// `t-12` in history that was fetched later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelineToken(pub i64);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no token that this server gave")]
pub struct InvalidToken(pub String);

impl TimelineToken {
    /// The far side of an event, going in this direction.
    pub fn beyond(position: i64, direction: Direction) -> Self {
        match direction {
            Direction::Backward => Self(position.saturating_sub(1)),
            Direction::Forward => Self(position),
        }
    }

    /// The first position after this place.
    pub fn after(self) -> i64 {
        self.0.saturating_add(1)
    }
}

impl fmt::Display for TimelineToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl FromStr for TimelineToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let position = text.strip_prefix('t').and_then(|position| position.parse().ok());
        position.map(Self).ok_or_else(|| InvalidToken(text.to_owned()))
    }
}

/// How many events one request looks at before it answers with what it has: where a user sees little,
/// or a filter wants little, a page is short rather than slow.
const LOOKED_AT: usize = 2_000;
/// How many places of a timeline are read at once.
const ROWS: usize = 200;

/// What of a timeline is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    pub from: TimelineToken,
    pub to: Option<TimelineToken>,
    pub direction: Direction,
    pub limit: usize,
    pub filter: &'a RoomEventFilter,
    /// Of these only state is told.
    pub ignored: &'a IgnoredUsers,
}

/// Events that the user sees, nearest to `from` first.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Arc<Event>>,
    /// Where to go on.
    pub reached: TimelineToken,
    /// Whether there is anything beyond.
    pub more: bool,
}

impl Ask<'_> {
    /// Whether a position is past the end of what is asked for.
    fn is_past(&self, position: i64) -> bool {
        self.to.is_some_and(|to| match self.direction {
            Direction::Backward => position <= to.0,
            Direction::Forward => position > to.0,
        })
    }
}

impl Rooms {
    /// Up to `limit` events of a room that a user sees and a filter lets pass.
    pub async fn page(
        &self,
        room: &Arc<Room>,
        visibility: &mut Visibility<'_>,
        ask: Ask<'_>,
    ) -> Result<Page, RoomError> {
        let mut page = Page { events: Vec::new(), reached: ask.from, more: false };
        if !event_filter::wants_room(ask.filter, &room.room_id) {
            return Ok(page);
        }
        let (mut looked_at, mut fetched) = (0, false);
        while page.events.len() < ask.limit && looked_at < LOOKED_AT {
            let rows = (ask.limit - page.events.len()).clamp(20, ROWS);
            let rows = self.places(room, page.reached, ask.direction, rows).await?;
            if rows.is_empty() {
                if ask.direction == Direction::Backward && !fetched && self.backfill(room).await? {
                    fetched = true;
                    continue;
                }
                return Ok(page);
            }
            for (position, index) in rows {
                if ask.is_past(position) {
                    return Ok(page);
                }
                if page.events.len() == ask.limit {
                    break;
                }
                looked_at += 1;
                page.reached = TimelineToken::beyond(position, ask.direction);
                let event = self.event(room, index).await?;
                let wanted = event_filter::matches(ask.filter, &event)
                    && (event.is_state() || !ask.ignored.contains(&event.sender));
                if wanted && visibility.sees(&event).await? {
                    page.events.push(event);
                }
            }
        }
        let next = self.places(room, page.reached, ask.direction, 1).await?;
        page.more = match next.first() {
            Some((position, _)) => !ask.is_past(*position),
            None => ask.direction == Direction::Backward && self.has_more_history(room).await?,
        };
        Ok(page)
    }

    /// The next places of a timeline from a token on.
    pub(super) async fn places(
        &self,
        room: &Room,
        from: TimelineToken,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(i64, EventIndex)>, RoomError> {
        let from = match direction {
            Direction::Backward => from.after(),
            Direction::Forward => from.0,
        };
        self.timeline(room, from, direction, limit).await
    }

    /// The end of a timeline: where reading in this direction begins.
    pub async fn timeline_end(
        &self,
        room: &Room,
        direction: Direction,
    ) -> Result<TimelineToken, RoomError> {
        let outermost = match direction {
            Direction::Backward => TimelineToken(i64::MAX),
            Direction::Forward => TimelineToken(i64::MIN),
        };
        let rows = self.places(room, outermost, direction, 1).await?;
        Ok(match (rows.first(), direction) {
            (Some((position, _)), Direction::Backward) => TimelineToken(*position),
            (Some((position, _)), Direction::Forward) => TimelineToken(position - 1),
            (None, _) => TimelineToken(0),
        })
    }
}
