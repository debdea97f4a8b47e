//! What came before the event that it is about, and waits for it?

use std::sync::Arc;

use kith_store::{
    Scan,
    tables::{self, Awaits, Verdict},
};

use super::{RoomWriter, Spot, foreign::Gaps};
use crate::room::{RoomError, event::Event, index::Related, relations::Child};

impl RoomWriter {
    /// What waited for this event: if a redaction did, it is applied.
    pub(super) async fn adopt(&mut self, event: Event) -> Result<Event, RoomError> {
        let prefix = (self.room.number, event.event_id.clone(), Awaits::Redaction as u8);
        let waiting = self.rooms.store().scan(&tables::AWAITED, Scan::prefix(&prefix)).await?;
        for (key, ()) in waiting {
            let redaction = self.rooms.event(&self.room, key.3).await?;
            self.batch.delete(&tables::AWAITED, &key);
            if self.rooms.redaction_applies(&self.room, &redaction, &event).await? {
                let rules = &self.room.rules.redaction;
                return event.redacted(rules, redaction.index()).map_err(|reason| {
                    RoomError::UnreadableEvent(self.room.room_id.clone(), event.index(), reason)
                });
            }
        }
        Ok(event)
    }

    /// Events that came before the one they relate to are found from it now; what says that it was
    /// missing is not true any more.
    pub(super) async fn adopt_children(&mut self) -> Result<(), RoomError> {
        let Some(newest) = self.appended.last() else { return Ok(()) };
        let (event, spot) = (Arc::clone(&newest.event), newest.spot);
        for why in [Awaits::Previous, Awaits::Relation] {
            if why == Awaits::Relation && spot == Spot::Nowhere {
                break;
            }
            let prefix = (self.room.number, event.event_id.clone(), why as u8);
            let waiting = self.rooms.store().scan(&tables::AWAITED, Scan::prefix(&prefix)).await?;
            for (key, ()) in waiting {
                self.batch.delete(&tables::AWAITED, &key);
                if why == Awaits::Relation {
                    let child = self.rooms.event(&self.room, key.3).await?;
                    let child = Child::of(&child).filter(|child| child.position != 0);
                    if let (Some(child), Some(newest)) = (child, self.appended.last_mut()) {
                        newest.children.push(Related { parent: event.index(), child });
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes which of the events before this one are not there: history ends at them.
    pub(super) async fn await_previous(
        &mut self,
        event: &Event,
        gaps: &Gaps,
    ) -> Result<(), RoomError> {
        for event_id in &event.prev_events {
            let there = !gaps.contains_key(event_id)
                && self
                    .rooms
                    .stored_event(&self.room, event_id)
                    .await?
                    .is_some_and(|before| before.standing.verdict != Verdict::Outlier);
            if !there {
                self.await_event(event_id, Awaits::Previous, event.index());
            }
        }
        Ok(())
    }
}
