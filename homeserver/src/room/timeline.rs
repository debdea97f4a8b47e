//! In which order did a room's events come, and which of them lie between two positions?

use std::sync::Arc;

use kith_store::{
    Scan, StreamPosition,
    tables::{self, EventIndex, Verdict},
};

use super::{Room, RoomError, Rooms, event::Event};

/// Which way to read a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards older events.
    Backward,
    /// Towards newer events.
    Forward,
}

impl Direction {
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Forward => Self::Backward,
        }
    }
}

impl Rooms {
    /// Up to `limit` places of the timeline beside `from`, nearest first, `from` itself left out.
    pub async fn timeline(
        &self,
        room: &Room,
        from: i64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(i64, EventIndex)>, RoomError> {
        let scan = Scan::prefix(&(room.number,)).limit(limit);
        let scan = match direction {
            Direction::Backward => scan.before(&(room.number, from)).reverse(),
            Direction::Forward => scan.after(&(room.number, from)),
        };
        let rows = self.store().scan(&tables::TIMELINE, scan).await?;
        Ok(rows.into_iter().map(|((_, position), index)| (position, index)).collect())
    }

    /// The newest `limit` places between two others, newest first, those two left out.
    pub async fn newest_between(
        &self,
        room: &Room,
        after: i64,
        before: i64,
        limit: usize,
    ) -> Result<Vec<(i64, EventIndex)>, RoomError> {
        if let Some(newest) = self.newest_by_index(room, after, before, limit).await? {
            return Ok(newest);
        }
        let scan = Scan::prefix(&(room.number,))
            .after(&(room.number, after))
            .before(&(room.number, before))
            .reverse()
            .limit(limit);
        let rows = self.store().scan(&tables::TIMELINE, scan).await?;
        Ok(rows.into_iter().map(|((_, position), index)| (position, index)).collect())
    }

    /// The same for the room's newest events, without reading the timeline: the events are dense, in
    /// the order in which they came, and mostly in memory. `None` if that does not find them all.
    async fn newest_by_index(
        &self,
        room: &Room,
        after: i64,
        before: i64,
        limit: usize,
    ) -> Result<Option<Vec<(i64, EventIndex)>>, RoomError> {
        /// Events that may lie beyond `before` or in no timeline.
        const PASSED_OVER: usize = 32;
        if after < 0 {
            return Ok(None);
        }
        let (mut found, mut passed_over) = (Vec::new(), 0);
        for index in (0..room.head().next_event).rev() {
            if found.len() == limit {
                break;
            }
            let event = self.event(room, index).await?;
            let position = event.position();
            if event.standing.verdict != Verdict::Accepted || position <= 0 || position >= before {
                passed_over += 1;
                if passed_over > PASSED_OVER {
                    return Ok(None);
                }
                continue;
            }
            if position <= after {
                break;
            }
            found.push((position, index));
        }
        Ok(Some(found))
    }

    /// The position of the room's newest event; 0 if it has none.
    pub async fn newest_position(&self, room: &Room) -> Result<StreamPosition, RoomError> {
        let newest = self.newest_between(room, 0, i64::MAX, 1).await?;
        Ok(newest.first().map_or(0, |(position, _)| position.cast_unsigned()))
    }

    /// The newest event at or before a position, as the room stood then.
    pub async fn newest_at(
        &self,
        room: &Room,
        upto: StreamPosition,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let before = upto.cast_signed().saturating_add(1);
        let mut rows = self.newest_between(room, 0, before, 1).await?;
        if rows.is_empty() {
            rows = self.timeline(room, before, Direction::Backward, 1).await?;
        }
        match rows.first() {
            Some((_, index)) => Ok(Some(self.event(room, *index).await?)),
            None => Ok(None),
        }
    }
}
