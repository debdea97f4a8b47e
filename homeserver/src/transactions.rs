//! Which transactions of other servers were answered, and how?

use std::{collections::BTreeMap, sync::Arc};

use quick_cache::sync::Cache;
use ruma::{OwnedEventId, OwnedServerName, OwnedTransactionId};

use crate::locks::{KeyedGuard, KeyedLocks};

/// How many transactions are known again. They are in memory alone: to take one again after a restart
/// changes nothing, since events are known by their IDs and messages to devices by theirs.
const TRANSACTIONS: usize = 4_096;
/// What became of each event of a transaction.
pub type Results = BTreeMap<OwnedEventId, Result<(), String>>;

/// A server, and its name for a transaction.
pub type TransactionKey = (OwnedServerName, OwnedTransactionId);

/// The transactions that came lately. Cheap to clone.
#[derive(Clone)]
pub struct Transactions {
    turns: KeyedLocks<OwnedServerName>,
    answered: Arc<Cache<TransactionKey, Arc<Results>>>,
}

impl Default for Transactions {
    fn default() -> Self {
        let answered = Arc::new(crate::cache::of_at_most(TRANSACTIONS));
        Self { turns: KeyedLocks::default(), answered }
    }
}

impl Transactions {
    /// One of each server at a time: a second one comes after the first, or is the first again. Those
    /// who wait are bounded by how much one server may ask at once.
    pub async fn turn(&self, server: &OwnedServerName) -> KeyedGuard<OwnedServerName> {
        self.turns.lock(server.clone()).await
    }

    pub fn answered(&self, key: &TransactionKey) -> Option<Arc<Results>> {
        self.answered.get(key)
    }

    pub fn remember(&self, key: TransactionKey, results: Results) {
        self.answered.insert(key, Arc::new(results));
    }
}
