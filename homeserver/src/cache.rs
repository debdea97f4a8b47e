//! What may be kept in memory, and how much of it?

use std::hash::Hash;

use quick_cache::{UnitWeighter, sync::Cache};

/// A cache of at most this many values. It takes memory for what is in it: an idle server holds
/// next to nothing.
pub fn of_at_most<K: Eq + Hash, V: Clone>(values: usize) -> Cache<K, V> {
    // The estimate decides what is allocated at once.
    let estimate = (values / 64).max(16);
    Cache::with_weighter(estimate, values as u64, UnitWeighter)
}
