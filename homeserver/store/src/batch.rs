//! What is one change to the world?

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{Change, Key, StreamPosition, Table, Value, table::encoded};

type Deferred = Box<dyn FnOnce(StreamPosition, &mut Batch) + Send>;
pub(crate) type Hook = Box<dyn FnOnce(StreamPosition) + Send>;

/// Rows to write together: all of them or none. Built without I/O, committed once.
#[derive(Default)]
pub struct Batch {
    /// Keys without the team's prefix; `None` deletes.
    pub(crate) writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) expectations: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Behind a lock only so that a `&Batch` may cross an `await`; never contended.
    pub(crate) deferred: Mutex<Vec<Deferred>>,
    pub(crate) hooks: Mutex<Vec<Hook>>,
    pub(crate) changes: Vec<Change>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: &K, value: &V) {
        self.writes.insert(row_key(table, key), Some(value.encode()));
    }

    pub fn delete<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: &K) {
        self.writes.insert(row_key(table, key), None);
    }

    /// The batch is written only if the row has this value (or is absent) when its turn comes.
    /// Otherwise the commit answers [`crate::Error::Conflict`].
    pub fn expect<K: Key, V: Value>(&mut self, table: &Table<K, V>, key: &K, value: Option<&V>) {
        self.expectations.push((row_key(table, key), value.map(Value::encode)));
    }

    /// Tells the readers of the log. Each change is given a stream position of its own; those of one
    /// batch follow each other. Answers how far this one is from the batch's first position.
    pub fn publish(&mut self, change: Change) -> u64 {
        self.changes.push(change);
        self.changes.len() as u64 - 1
    }

    /// Adds rows that contain stream positions; it is given that of the batch's first change. Runs on
    /// the writer just before the commit, so keep it to a few `put`s.
    pub fn at_position(&mut self, rows: impl FnOnce(StreamPosition, &mut Batch) + Send + 'static) {
        self.deferred.get_mut().push(Box::new(rows));
    }

    /// Runs on the writer when the batch is durable and before anybody is told: the place to bring
    /// caches up to date, so that whoever learns of a position finds them so. Keep it short.
    pub fn on_commit(&mut self, hook: impl FnOnce(StreamPosition) + Send + 'static) {
        self.hooks.get_mut().push(Box::new(hook));
    }

    /// The value this batch would leave in the row: `None` if it does not touch it,
    /// `Some(None)` if it deletes it.
    pub fn pending<K: Key, V: Value>(&self, table: &Table<K, V>, key: &K) -> Option<Option<V>> {
        let value = self.writes.get(&row_key(table, key))?;
        Some(value.as_ref().and_then(|value| V::decode(value).ok()))
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.deferred.lock().is_empty() && self.changes.is_empty()
    }
}

pub(crate) fn row_key<K: Key, V>(table: &Table<K, V>, key: &K) -> Vec<u8> {
    let mut bytes = vec![table.id];
    bytes.extend(encoded(key));
    bytes
}
