//! Up to where is everything delivered, and how is that found again after a restart?

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use kith_federation::{queue::Standing, sender::Sender};
use kith_store::{
    Batch, Json, Scan, Store, StreamPosition,
    tables::{self, DestinationRow},
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};
use tokio::time::Instant;

/// How far the cursor may fall behind while nothing is sent.
const BEHIND: u64 = 10_000;
/// How much of the log is read again for a server that was down before a restart. What it missed
/// before that it finds by what refers to it.
const READ_AGAIN: u64 = 1_000_000;

/// Where the last run ended.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// Servers without a row have everything up to here.
    cursor: StreamPosition,
    rows: HashMap<OwnedServerName, DestinationRow>,
}

impl Start {
    pub(super) async fn load(store: &Store) -> Result<Self, kith_store::Error> {
        let cursor = match store.get(&tables::OUTBOUND_CURSOR, &()).await? {
            Some(cursor) => cursor,
            None => {
                let now = store.stream().position();
                let mut batch = Batch::new();
                batch.put(&tables::OUTBOUND_CURSOR, &(), &now);
                store.commit(batch).await?;
                now
            }
        };
        // One for each server that fails.
        let rows = store.scan(&tables::DESTINATIONS, Scan::all()).await?;
        let rows = rows.into_iter().map(|(server, Json(row))| (server, row)).collect();
        Ok(Self { cursor, rows })
    }

    pub(super) fn standings(&self) -> impl Iterator<Item = (OwnedServerName, Standing)> {
        self.rows.iter().map(|(server, row)| {
            let DestinationRow { failures, retry_at, .. } = *row;
            (server.clone(), Standing { delivered: None, failures, retry_at })
        })
    }
}

/// How far the log was read, and what is written of that.
pub(super) struct Cursor {
    pub(super) seen: StreamPosition,
    /// What is read again is for those that lack it.
    start: Start,
    stored: StreamPosition,
    rows: HashMap<OwnedServerName, DestinationRow>,
    due: Option<Instant>,
    /// Something was put into a queue since the last flush.
    dispatched: bool,
    /// Of each user the newest update of a device that was put into the queues since the last flush.
    announced: BTreeMap<OwnedUserId, StreamPosition>,
}

impl Cursor {
    pub(super) fn new(start: &Start) -> Self {
        let waiting = start.rows.values().filter_map(|row| row.delivered).min();
        let from = waiting.map_or(start.cursor, |from| from.min(start.cursor));
        Self {
            seen: from.max(start.cursor.saturating_sub(READ_AGAIN)),
            start: start.clone(),
            stored: start.cursor,
            rows: start.rows.clone(),
            due: None,
            dispatched: false,
            announced: BTreeMap::new(),
        }
    }

    /// Whether a server lacks what is at this position.
    pub(super) fn lacks(&self, server: &ServerName, position: StreamPosition) -> bool {
        let Start { cursor, rows } = &self.start;
        match rows.get(server).map(|row| row.delivered) {
            Some(Some(delivered)) => position > delivered,
            // It had everything up to the cursor.
            Some(None) | None => position > *cursor,
        }
    }

    /// Whether the log is read again from before the last run's end.
    pub(super) fn is_behind(&self) -> bool {
        self.seen < self.start.cursor
    }

    pub(super) fn dispatched(&mut self) {
        self.dispatched = true;
    }

    pub(super) fn announce(&mut self, user_id: &OwnedUserId, position: StreamPosition) {
        self.announced.insert(user_id.clone(), position);
    }

    pub(super) fn announced(&self, user_id: &OwnedUserId) -> Option<StreamPosition> {
        self.announced.get(user_id).copied()
    }

    /// The log was read further.
    pub(super) fn moved(&mut self, due: Instant) {
        if self.dispatched || self.seen.saturating_sub(self.stored) >= BEHIND {
            self.is_due(due);
        }
    }

    /// There is something to write, at the latest then.
    pub(super) fn is_due(&mut self, due: Instant) {
        self.due.get_or_insert(due);
    }

    /// When the next flush is due; far away if nothing is.
    pub(super) fn due(&self) -> Instant {
        self.due.unwrap_or_else(|| Instant::now() + Duration::from_secs(24 * 3600))
    }

    pub(super) async fn flush(
        &mut self,
        store: &Store,
        sender: &Sender,
    ) -> Result<(), kith_store::Error> {
        self.due = None;
        if self.is_behind() {
            // What is not read yet is in no queue: the rows say it still.
            self.is_due(Instant::now() + super::FLUSH);
            return Ok(());
        }
        let (delivered, failing) = sender.standing();
        let cursor = delivered.map_or(self.seen, |delivered| delivered.min(self.seen));
        // What is on its way now is written as delivered by a later flush.
        self.dispatched = delivered.is_some();
        let mut batch = Batch::new();
        if cursor > self.stored {
            batch.put(&tables::OUTBOUND_CURSOR, &(), &cursor);
        }
        let rows: HashMap<_, _> =
            failing.into_iter().map(|(server, standing)| (server, row(standing))).collect();
        for (server, row) in &rows {
            if self.rows.get(server) != Some(row) {
                batch.put(&tables::DESTINATIONS, server, &Json(*row));
            }
        }
        for server in self.rows.keys().filter(|server| !rows.contains_key(*server)) {
            batch.delete(&tables::DESTINATIONS, server);
        }
        for (user_id, position) in &self.announced {
            batch.put(&tables::ANNOUNCED_DEVICES, user_id, position);
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        self.announced.clear();
        self.rows = rows;
        self.stored = self.stored.max(cursor);
        if self.dispatched {
            self.is_due(Instant::now() + super::FLUSH);
        }
        Ok(())
    }
}

fn row(standing: Standing) -> DestinationRow {
    let Standing { delivered, failures, retry_at } = standing;
    DestinationRow { delivered, failures, retry_at }
}
