//! Which events relate to an event? Kept in memory for those that somebody looks at.
//!
//! Most events have no children, and that is remembered too: a new event's list is empty without a
//! look at the disk, and the commit of a child adds it to its parent's list.

use std::{borrow::Cow, sync::Arc};

use kith_store::{
    Scan,
    tables::{self, EventIndex, RelatedRow, RelationRow, RoomNumber},
};
use parking_lot::{RwLock, RwLockReadGuard};
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, events::TimelineEventType,
};

use super::{
    Room, RoomError, Rooms,
    event::{ANNOTATION, Event, REFERENCE, REPLACE, THREAD},
};

#[cfg(test)]
mod tests;

/// How many children of one event are looked at: the newest.
const MOST: usize = 20_000;
/// How much is remembered: one for each event, and one for each [`CHILDREN_A_UNIT`] of its children,
/// of some 200 bytes each.
const REMEMBERED: u64 = 100_000;
const CHILDREN_A_UNIT: usize = 4;
/// Few, so that one long list fits into one.
const SHARDS: usize = 4;
/// How many rows are read at once to find the children of a page of events.
const ROWS: usize = 5_000;
/// Events whose indices are closer than this are looked up together.
const NEAR: EventIndex = 64;

/// An event that relates to another.
#[derive(Debug, Clone)]
pub struct Child {
    pub index: EventIndex,
    /// Its place in the timeline.
    pub position: i64,
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    pub rel_type: Cow<'static, str>,
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    pub event_id: OwnedEventId,
}

/// The children of one event, in the order of the timeline.
#[derive(Default)]
pub struct Children {
    list: RwLock<Vec<Child>>,
    /// What the cache counts it for. Never changes, though the list does: a list that outgrows it is
    /// put into a new one.
    weight: u64,
}

impl Children {
    fn new(list: Vec<Child>) -> Self {
        Self { weight: weight_of(list.len()), list: RwLock::new(list) }
    }

    /// Never hold it across an `await`.
    pub fn read(&self) -> RwLockReadGuard<'_, Vec<Child>> {
        self.list.read()
    }
}

/// In steps that double, so that a growing list is seldom copied.
fn weight_of(children: usize) -> u64 {
    let units = children / CHILDREN_A_UNIT;
    if units == 0 { 0 } else { units.next_power_of_two() as u64 }
}

pub(super) struct RelationMemory {
    known: Cache<(RoomNumber, EventIndex), Arc<Children>, ByLength>,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<(RoomNumber, EventIndex), Arc<Children>> for ByLength {
    fn weight(&self, _: &(RoomNumber, EventIndex), children: &Arc<Children>) -> u64 {
        1 + children.weight
    }
}

impl Default for RelationMemory {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(256)
            .weight_capacity(REMEMBERED)
            .shards(SHARDS)
            .build()
            .expect("both capacities are given");
        let known = Cache::with_options(
            options,
            ByLength,
            quick_cache::DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { known }
    }
}

impl Child {
    /// The child as its own event says; `None` if that is in no relation.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(Self {
            index: event.index(),
            position: event.position(),
            origin_server_ts: event.origin_server_ts,
            rel_type: known(event.relation()?.rel_type.as_deref()?),
            sender: event.sender.clone(),
            kind: event.kind.clone(),
            event_id: event.event_id.clone(),
        })
    }

    fn from_row(index: EventIndex, row: RelationRow) -> Option<Self> {
        let child = row.child?;
        Some(Self {
            index,
            position: child.position,
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
                child.origin_server_ts,
            )),
            rel_type: known(&row.rel_type),
            sender: child.sender,
            kind: child.kind.into(),
            event_id: child.event_id,
        })
    }

    pub(super) fn to_row(&self) -> RelationRow {
        RelationRow {
            rel_type: self.rel_type.to_string(),
            child: Some(RelatedRow {
                position: self.position,
                origin_server_ts: self.origin_server_ts.get().into(),
                sender: self.sender.clone(),
                kind: self.kind.to_string(),
                event_id: self.event_id.clone(),
            }),
        }
    }
}

fn known(rel_type: &str) -> Cow<'static, str> {
    let known = [ANNOTATION, REFERENCE, REPLACE, THREAD].into_iter().find(|k| *k == rel_type);
    known.map_or_else(|| Cow::Owned(rel_type.to_owned()), Cow::Borrowed)
}

impl Rooms {
    /// The children of an event: the newest, if there are very many.
    pub async fn children(
        &self,
        room: &Room,
        parent: EventIndex,
    ) -> Result<Arc<Children>, RoomError> {
        if let Some(children) = self.relations().known.get(&(room.number, parent)) {
            return Ok(children);
        }
        let changes = *room.relation_changes.lock();
        let scan = Scan::prefix(&(room.number, parent)).reverse().limit(MOST);
        let rows = self.store().scan(&tables::RELATIONS, scan).await?;
        let mut children = Vec::with_capacity(rows.len());
        for ((_, _, index), row) in rows {
            children.extend(self.child(room, index, row).await?);
        }
        Ok(self.remember_children(room, parent, children, changes))
    }

    /// Finds the children of a page of events with few reads, so that [`Self::children`] need not
    /// read for each.
    pub(super) async fn find_children(
        &self,
        room: &Room,
        parents: &[EventIndex],
    ) -> Result<(), RoomError> {
        let mut missing: Vec<EventIndex> = parents
            .iter()
            .copied()
            .filter(|parent| self.relations().known.peek(&(room.number, *parent)).is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        for run in missing.chunk_by(|a, b| b - a <= NEAR) {
            let ([first, .., last] | [first @ last]) = run else { continue };
            if first == last {
                // One event is as well looked up when it is needed.
                continue;
            }
            let changes = *room.relation_changes.lock();
            let mut scan = Scan::prefix(&(room.number,))
                .before(&(room.number, last.saturating_add(1)))
                .limit(ROWS);
            if let Some(before) = first.checked_sub(1) {
                scan = scan.after(&(room.number, before));
            }
            let rows = self.store().scan(&tables::RELATIONS, scan).await?;
            // Where the rows end, those of one event may be incomplete.
            let complete = match rows.last() {
                Some(((_, parent, _), _)) if rows.len() == ROWS => *parent,
                _ => last.saturating_add(1),
            };
            let mut rows = rows.into_iter().peekable();
            for parent in run.iter().take_while(|parent| **parent < complete) {
                let mut children = Vec::new();
                while let Some(((_, of, index), row)) = rows.next_if(|((_, of, _), _)| of <= parent)
                {
                    if of == *parent {
                        children.extend(self.child(room, index, row).await?);
                    }
                }
                self.remember_children(room, *parent, children, changes);
            }
        }
        Ok(())
    }

    /// A child from its row; rows of old do not have all of it.
    async fn child(
        &self,
        room: &Room,
        index: EventIndex,
        row: RelationRow,
    ) -> Result<Option<Child>, RoomError> {
        match Child::from_row(index, row) {
            Some(child) => Ok(Some(child)),
            None => Ok(Child::of(&*self.event(room, index).await?)),
        }
    }

    /// Keeps a list that was read, unless the room's relations changed meanwhile.
    fn remember_children(
        &self,
        room: &Room,
        parent: EventIndex,
        mut children: Vec<Child>,
        changes: u64,
    ) -> Arc<Children> {
        children.sort_unstable_by_key(|child| child.position);
        let children = Arc::new(Children::new(children));
        let now = room.relation_changes.lock();
        if *now == changes {
            self.relations().known.insert((room.number, parent), Arc::clone(&children));
        }
        children
    }

    /// Called by the writer when an event is durable: nothing relates to it yet.
    pub(super) fn has_no_children(&self, room: &Room, event: EventIndex) {
        let _changes = room.relation_changes.lock();
        self.relations().known.insert((room.number, event), Arc::default());
    }

    /// Called by the writer when a relation is durable.
    pub(super) fn add_child(&self, room: &Room, parent: EventIndex, child: Child) {
        let mut changes = room.relation_changes.lock();
        *changes += 1;
        let key = (room.number, parent);
        let Some(children) = self.relations().known.get(&key) else { return };
        let mut list = children.list.write();
        // A reader may have found it on the disk already.
        let not_before = list.iter().rev().take_while(|c| c.position >= child.position);
        if not_before.into_iter().any(|known| known.index == child.index) {
            return;
        }
        let place = list.partition_point(|known| known.position <= child.position);
        list.insert(place, child);
        if list.len() > MOST {
            list.remove(0);
        }
        if weight_of(list.len()) != children.weight {
            let outgrown = Arc::new(Children::new(list.clone()));
            drop(list);
            self.relations().known.insert(key, outgrown);
        }
    }

    /// Called by the writer when a child lost its relation.
    pub(super) fn remove_child(&self, room: &Room, parent: EventIndex, child: EventIndex) {
        let mut changes = room.relation_changes.lock();
        *changes += 1;
        if let Some(children) = self.relations().known.get(&(room.number, parent)) {
            children.list.write().retain(|known| known.index != child);
        }
    }
}
