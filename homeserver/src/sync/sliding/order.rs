//! In which order does a list show its rooms? Latest activity first.
//!
//! A change costs as much as the rooms that it overtakes, a place is found by halving.

use std::collections::HashMap;

use kith_store::{StreamPosition, tables::RoomNumber};

/// The rooms of one list.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// By activity, the latest at the end.
    rooms: Vec<(StreamPosition, RoomNumber)>,
    activity: HashMap<RoomNumber, StreamPosition>,
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Puts the room where its activity belongs; without any it is not in the list. Answers whether
    /// it was there before.
    pub(super) fn set(&mut self, room: RoomNumber, activity: Option<StreamPosition>) -> bool {
        let before = self.activity.get(&room).copied();
        if before == activity {
            return before.is_some();
        }
        if let Some(before) = before
            && let Ok(at) = self.rooms.binary_search(&(before, room))
        {
            self.rooms.remove(at);
            self.activity.remove(&room);
        }
        if let Some(activity) = activity
            && let Err(at) = self.rooms.binary_search(&(activity, room))
        {
            self.rooms.insert(at, (activity, room));
            self.activity.insert(room, activity);
        }
        before.is_some()
    }

    /// The room's place, 0 for the one with the latest activity.
    pub(super) fn place(&self, room: RoomNumber) -> Option<usize> {
        let activity = self.activity.get(&room)?;
        let at = self.rooms.binary_search(&(*activity, room)).ok()?;
        Some(self.rooms.len() - 1 - at)
    }

    /// The rooms at these places, both included.
    pub(super) fn between(
        &self,
        first: usize,
        last: usize,
    ) -> impl Iterator<Item = RoomNumber> + '_ {
        let count = last.saturating_add(1).saturating_sub(first);
        self.rooms.iter().rev().skip(first).take(count).map(|(_, room)| *room)
    }
}

impl FromIterator<(RoomNumber, StreamPosition)> for Order {
    fn from_iter<I: IntoIterator<Item = (RoomNumber, StreamPosition)>>(rooms: I) -> Self {
        let activity: HashMap<_, _> = rooms.into_iter().collect();
        let mut rooms: Vec<_> = activity.iter().map(|(room, at)| (*at, *room)).collect();
        rooms.sort_unstable();
        Self { rooms, activity }
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn all(order: &Order) -> Vec<u32> {
        order.between(0, usize::MAX).collect()
    }

    #[test]
    fn the_latest_activity_is_first() {
        let mut order: Order = [(1, 10), (2, 30), (3, 20)].into_iter().collect();
        assert_eq!(all(&order), [2, 3, 1]);
        assert!(order.set(1, Some(40)));
        assert_eq!(all(&order), [1, 2, 3]);
        assert!(!order.set(4, Some(35)));
        assert_eq!(all(&order), [1, 4, 2, 3]);
        assert!(order.set(2, None));
        assert_eq!(all(&order), [1, 4, 3]);
        assert_eq!((order.place(4), order.place(2), order.len()), (Some(1), None, 3));
    }

    #[test]
    fn a_window_ends_where_the_list_does() {
        let order: Order = (1..=5).map(|room| (room, u64::from(room))).collect();
        assert_eq!(order.between(0, 1).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(order.between(3, 100).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(order.between(9, 10).count(), 0);
        assert_eq!(order.between(3, 1).count(), 0);
    }
}
